"""Who has a file open, stands in a folder, or was given its name."""

import os
import subprocess
import sys

import pytest

from tailflip.base import platform_calls
from tailflip.observe.host.open_files import OpenFiles, read_open_files

SLEEP = "import sys, time; print('here', flush=True); time.sleep(60)"


@pytest.fixture
def start():
    started = []

    def begin(code=SLEEP, *argv, **how):
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, argv)], stdout=subprocess.PIPE, **how
        )
        started.append(process)
        assert process.stdout.readline() == b"here\n"

    yield begin
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def look(path):
    return read_open_files(frozenset({path.stat().st_dev}), ("openclaw-",))


def test_a_file_that_a_process_has_open_is_found_by_its_inode(tmp_path, start):
    file, other = tmp_path / "a", tmp_path / "b"
    file.write_bytes(b"x")
    other.write_bytes(b"x")
    start(
        "import sys, time; f = open(sys.argv[1]); print('here', flush=True); time.sleep(60)", file
    )
    (tmp_path / "a").rename(tmp_path / "c")
    users = look(tmp_path)
    assert users.uses_file((tmp_path / "c").stat())
    assert not users.uses_file(other.stat())


def test_a_mapped_file_is_in_use_after_its_descriptor_was_closed(tmp_path, start):
    file = tmp_path / "openclaw-mapped"
    file.write_bytes(b"x" * 8192)
    start(
        "import mmap, sys, time\n"
        "with open(sys.argv[1], 'r+b') as f: m = mmap.mmap(f.fileno(), 0)\n"
        "import ctypes, os; print('here', flush=True); time.sleep(60)",
        file,
    )
    users = look(tmp_path)
    assert users.uses_file(file.stat())
    assert users.uses_folder(str(file))


def test_a_folder_is_in_use_by_who_stands_in_it_or_was_given_it(tmp_path, start):
    folders = [tmp_path / f"openclaw-{n}" for n in range(3)]
    for folder in folders:
        folder.mkdir()
    start(cwd=folders[0])
    start(SLEEP, f"--build={folders[1]}/x")
    users = look(tmp_path)
    assert [users.uses_folder(str(folder)) for folder in folders] == [True, True, False]


def test_our_own_files_do_not_count(tmp_path):
    with (tmp_path / "own").open("w") as file:
        assert not look(tmp_path).uses_file(os.fstat(file.fileno()))


def test_what_cannot_be_seen_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(platform_calls, "here", platform_calls.MacOS())
    assert look(tmp_path).hidden == "open files cannot be seen on this system"
    monkeypatch.setattr(platform_calls, "here", platform_calls.Linux())
    monkeypatch.setattr(platform_calls.Linux, "is_in_container", lambda _: True)
    assert "container" in look(tmp_path).hidden
    assert OpenFiles().hidden is None


def test_a_process_of_ours_that_hides_is_told(tmp_path, monkeypatch):
    proc = tmp_path / "proc"
    (proc / "1").mkdir(parents=True)
    (proc / "1" / "cmdline").write_bytes(b"")
    (proc / "77" / "fd").mkdir(parents=True)
    (proc / "1" / "fd").mkdir()
    monkeypatch.setattr(platform_calls, "here", platform_calls.Linux(proc))
    real = os.listdir
    hidden = ("1/fd",)  # the machine's init is not one of ours

    def listdir(path):
        if str(path).endswith(hidden):
            raise PermissionError(13, "denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "listdir", listdir)
    assert look(tmp_path).hidden is None
    hidden = ("77/fd",)
    assert "process 77" in look(tmp_path).hidden
