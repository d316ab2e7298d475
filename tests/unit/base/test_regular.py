"""Whatever lies in a file's place, nobody waits for it, and every reader says the same."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

import tailflip
from tailflip.base.durable import open_regular
from tailflip.base.errors import ConfigInvalid, StoreInvalid
from tailflip.base.regular import NotRegular, open_to_read
from tailflip.config.file import fingerprint, read_config
from tailflip.observe.files import read_regular


@pytest.fixture(params=["a directory", "a FIFO", "a character device", "a socket"])
def place(request, tmp_path, monkeypatch):
    """A path with something else than a file at it, and what that is."""
    path = tmp_path / "x"
    if request.param == "a directory":
        path.mkdir()
    elif request.param == "a FIFO":
        os.mkfifo(path)
    elif request.param == "a socket":
        monkeypatch.chdir(tmp_path)  # the name of a socket must be short
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("x")
    else:
        path.symlink_to("/dev/zero")
    return path, request.param


def test_every_reader_refuses_what_is_not_a_regular_file(place):
    path, kind = place
    refused = errno.ENXIO if kind == "a socket" else errno.EINVAL  # a socket cannot be opened
    with pytest.raises(OSError, check=lambda e: e.errno == refused):
        os.close(open_to_read(path))
    with pytest.raises(OSError, check=lambda e: e.errno == refused):
        read_regular(path, 10)
    if kind != "a socket":
        told = f"not a regular file: {path}: {kind}"
        with pytest.raises(StoreInvalid, match=told), open_regular(path):
            pass
    with pytest.raises(ConfigInvalid):
        read_config(path)
    assert fingerprint(path).startswith("unreadable: ")


def test_a_file_is_read_and_no_descriptor_stays_open(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    os.mkfifo(tmp_path / "pipe")
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert read_regular(tmp_path / "file", 3) == b"abc"
    with pytest.raises(OSError, check=lambda e: e.errno == errno.EFBIG):
        read_regular(tmp_path / "file", 2)
    with pytest.raises(NotRegular):
        open_to_read(tmp_path / "pipe")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_no_other_module_opens_files_that_way():
    package = Path(tailflip.__file__).parent
    opens = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if "O_NONBLOCK" in path.read_text()
    }
    allowed = {
        "observe/gateway/lock_owner.py",  # follows no link, and takes its age all the same
        "observe/holders.py",  # asks the kernel who holds a lock on it; reads nothing
        "supervise/process/stderr.py",  # it is a FIFO, on purpose
        "base/platform_calls.py",  # reads a mark off anything that is there
    }
    assert opens - allowed == {"base/regular.py"}
