"""Effects on a disk: what each refuses, and which error an errno becomes."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat

import pytest

from tailflip.base import platform_calls
from tailflip.base.durable import (
    RealDisk,
    explain_os_error,
    identify,
    naming,
    open_regular,
    open_scratch,
    resolve,
)
from tailflip.base.errors import (
    ArchiveDamaged,
    CannotCreate,
    InternalError,
    IoFailed,
    NoPermission,
    StoreInvalid,
    TryLater,
)

DISK = RealDisk()
ERRNOS = [
    (errno.ENOSPC, CannotCreate),
    (errno.EDQUOT, CannotCreate),
    (errno.EFBIG, CannotCreate),
    (errno.EACCES, NoPermission),
    (errno.EPERM, NoPermission),
    (errno.EROFS, NoPermission),
    (errno.ENOENT, StoreInvalid),
    (errno.ENOTDIR, StoreInvalid),
    (errno.ELOOP, StoreInvalid),
    (errno.EISDIR, StoreInvalid),
    (errno.ENXIO, StoreInvalid),
    (errno.EIO, IoFailed),
    (errno.ESTALE, IoFailed),
    (errno.EMFILE, IoFailed),
]


@pytest.mark.parametrize(("number", "kind"), ERRNOS, ids=lambda x: errno.errorcode.get(x, ""))
def test_an_errno_becomes_the_error_with_its_exit_code(tmp_path, number, kind):
    told = explain_os_error(tmp_path / "x", OSError(number, os.strerror(number)))
    assert type(told) is kind
    assert told.message.startswith(f"cannot use {tmp_path / 'x'}: {os.strerror(number)}")


def test_the_file_that_the_system_named_is_told_before_the_one_we_meant(tmp_path):
    told = explain_os_error(tmp_path, OSError(errno.EIO, "bad", str(tmp_path / "inner")))
    assert told.message == f"cannot use {tmp_path / 'inner'}: bad"


def test_a_path_is_put_into_an_error_that_does_not_know_it(tmp_path):
    with pytest.raises(TryLater) as caught, naming(tmp_path):
        raise TryLater("store is locked: by pid 7", hint="wait")
    assert (caught.value.message, caught.value.hint) == (
        f"store is locked: {tmp_path}: by pid 7",
        "wait",
    )


def test_a_path_that_an_error_names_is_not_told_twice(tmp_path):
    with pytest.raises(InternalError) as caught, naming(tmp_path):
        raise InternalError(f"odd: {tmp_path}/file")
    assert caught.value.message == f"odd: {tmp_path}/file"
    with pytest.raises(ArchiveDamaged) as caught, naming(tmp_path):
        raise ArchiveDamaged("archive is damaged: /elsewhere", hint="let it go")
    assert caught.value.message == "archive is damaged: /elsewhere"


def test_a_database_that_fails_is_an_error_of_its_file(tmp_path):
    with pytest.raises(IoFailed, match=f"^cannot use {tmp_path}: no such table"), naming(tmp_path):
        raise sqlite3.OperationalError("no such table: x")


@pytest.mark.parametrize("make", ["file", "link"])
def test_a_new_file_takes_no_place_that_is_taken(tmp_path, make):
    path = tmp_path / "x"
    path.write_bytes(b"old") if make == "file" else path.symlink_to(tmp_path / "gone")
    with pytest.raises(FileExistsError):
        DISK.open_new(path, 0o600)
    assert list(tmp_path.iterdir()) == [path]


def test_a_lock_is_made_once_for_us_alone_and_follows_no_link(tmp_path):
    os.close(DISK.open_lock(tmp_path / "lock"))
    (tmp_path / "lock").write_bytes(b"note")
    os.close(DISK.open_lock(tmp_path / "lock"))
    assert (tmp_path / "lock").read_bytes() == b"note"
    assert stat.S_IMODE((tmp_path / "lock").stat().st_mode) == 0o600
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, check=lambda e: e.errno == errno.ELOOP):
        DISK.open_lock(tmp_path / "link")
    assert not (tmp_path / "elsewhere").exists()


def test_all_is_written_whatever_the_kernel_takes_at_once(tmp_path, monkeypatch):
    fd, write = DISK.open_new(tmp_path / "x", 0o600), os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, bytes(data[:3])))
    DISK.write(fd, b"0123456789")
    os.close(fd)
    assert (tmp_path / "x").read_bytes() == b"0123456789"


def test_a_folder_that_cannot_be_synced_is_no_error_and_a_broken_disk_is_one(tmp_path, monkeypatch):
    def fail(number):
        def fsync(_self, _fd):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(type(platform_calls.here), "fsync", fsync)

    for number in (errno.EINVAL, errno.ENOTSUP):
        fail(number)
        DISK.fsync_dir(tmp_path)
    fail(errno.EIO)
    with pytest.raises(OSError, check=lambda e: e.errno == errno.EIO):
        DISK.fsync_dir(tmp_path)


def test_a_file_is_the_same_until_anything_about_it_changes(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    before = identify(path.stat())
    assert identify(path.stat()) == before
    assert before.size_bytes == 3
    os.utime(path, ns=(1, 1))
    assert identify(path.stat()) != before
    path.unlink()
    path.write_bytes(b"abc")
    assert identify(path.stat()) != before


def test_only_a_regular_file_is_opened_and_it_is_closed_again(tmp_path):
    with pytest.raises(StoreInvalid, match=f"not a regular file: {tmp_path}: "):
        open_regular(tmp_path).__enter__()
    (tmp_path / "x").write_bytes(b"abc")
    with open_regular(tmp_path / "x") as fd:
        assert os.read(fd, 9) == b"abc"
    with pytest.raises(OSError, check=lambda e: e.errno == errno.EBADF):
        os.fstat(fd)


def test_scratch_has_no_name_and_can_be_read_back():
    fd = open_scratch()
    try:
        assert os.fstat(fd).st_nlink == 0
        os.write(fd, b"abc")
        assert os.pread(fd, 9, 0) == b"abc"
    finally:
        os.close(fd)


def test_where_no_scratch_can_be_made_that_is_said(monkeypatch):
    def fail(**_):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("tempfile.TemporaryFile", fail)
    assert open_scratch() == -1


def test_links_are_followed_and_a_loop_of_them_is_no_error(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    assert resolve(tmp_path / "link") == (tmp_path / "file").resolve()
    (tmp_path / "loop").symlink_to("loop")
    assert resolve(tmp_path / "loop").name == "loop"
