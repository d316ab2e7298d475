"""Who has a database open is found by the kernel's locks, whatever it does with it."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import struct
import subprocess
import sys
from contextlib import closing, contextmanager

import pytest

from tailflip.base import platform_calls
from tailflip.observe.holders import HIDDEN, NOT_KNOWN, ask_lock_owner, find_holder, opened

# Opens a database, does one thing with it, says so, and waits.
_HOLD = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2:]:
    db.execute(statement).fetchall()
print("ready", flush=True)
sys.stdin.read()
"""
READ = "SELECT count(*) FROM t"
WAYS = {
    "idle": (READ,),
    "reading": ("BEGIN", READ),
    "writing": ("BEGIN IMMEDIATE", "INSERT INTO t VALUES (2)"),
    "exclusive": ("BEGIN EXCLUSIVE",),
    "without -shm": ("PRAGMA locking_mode=EXCLUSIVE", READ),
}


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "openclaw-agent.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE t (x)")
        db.commit()
    return path


@contextmanager
def holding(database, *statements):
    argv = [sys.executable, "-c", _HOLD, database, *statements]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout.readline() == b"ready\n"
            yield child.pid
        finally:
            child.kill()


@pytest.mark.parametrize("way", WAYS)
def test_who_has_it_open_is_named(database, way):
    with holding(database, *WAYS[way]) as pid:
        before = {path.name: path.stat().st_mtime_ns for path in database.parent.iterdir()}
        assert find_holder(database) == pid
        after = {path.name: path.stat().st_mtime_ns for path in database.parent.iterdir()}
        assert after == before
    assert find_holder(database) is None


def test_a_rollback_journal_shows_who_is_in_a_transaction(database):
    with closing(sqlite3.connect(database)) as db:
        assert db.execute("PRAGMA journal_mode=DELETE").fetchone() == ("delete",)
    with holding(database, "BEGIN IMMEDIATE") as pid:
        assert find_holder(database) == pid


def test_a_link_leads_to_it(database, tmp_path):
    link = tmp_path / "elsewhere" / "link"
    link.parent.mkdir()
    link.symlink_to(database)
    with holding(database, READ) as pid:
        assert find_holder(link) == pid


def test_a_database_that_is_missing_is_held_by_nobody(tmp_path):
    assert find_holder(tmp_path / "missing.sqlite") is None


def test_what_the_killed_left_behind_holds_nothing(database):
    with holding(database, *WAYS["writing"]):
        pass
    assert database.with_name(f"{database.name}-shm").exists()
    assert find_holder(database) is None


@pytest.mark.parametrize("pid", [0, -1])
def test_one_without_a_pid_here_is_hidden(database, monkeypatch, pid):
    """The kernel says 0 of another container's process, and -1 of another machine's."""
    ask = fcntl.fcntl

    def see_nobody(fd, command, asked):
        answer = ask(fd, command, asked)
        return answer[:24] + struct.pack("i", pid) + answer[28:]

    with holding(database, READ):
        monkeypatch.setattr(fcntl, "fcntl", see_nobody)
        assert find_holder(database) == HIDDEN


def test_a_pid_says_more_than_one_that_is_hidden(database, monkeypatch):
    answers = iter([HIDDEN, 77])
    database.with_name(f"{database.name}-shm").touch()
    monkeypatch.setattr(type(platform_calls.here), "find_lock_owner", lambda *_: next(answers))
    assert find_holder(database) == 77


def test_a_file_system_without_locks_answers_nothing(database, monkeypatch):
    def fail(self, fd):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(type(platform_calls.here), "find_lock_owner", fail)
    assert find_holder(database) == NOT_KNOWN


def test_what_is_no_plain_file_answers_nothing(tmp_path):
    os.mkfifo(tmp_path / "database")
    (tmp_path / "database-shm").symlink_to("/nowhere")
    assert find_holder(tmp_path / "database") == NOT_KNOWN


def test_a_look_would_drop_our_own_locks_and_is_refused(database):
    """`opened` is what keeps it from happening; that it would happen is the system's rule."""
    seen = [sys.executable, "-c", _ASK, database]
    with opened(database), closing(sqlite3.connect(database)) as db:
        db.execute(READ).fetchall()
        assert find_holder(database) == NOT_KNOWN
        with pytest.raises(OSError, match="this process has the database open"):
            ask_lock_owner(database.with_name(f"{database.name}-shm"))
        assert int(subprocess.check_output(seen)) == os.getpid()
    with closing(sqlite3.connect(database)) as db:
        db.execute(READ).fetchall()
        find_holder(database)
        assert subprocess.check_output(seen) == b"None\n"


_ASK = """
import sys
from pathlib import Path
from tailflip.observe.holders import find_holder
print(find_holder(Path(sys.argv[1])))
"""


def test_a_database_of_ours_is_known_by_any_of_its_paths(database, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    with opened(database), pytest.raises(OSError, match="this process"):
        ask_lock_owner(tmp_path / "link" / database.name)


def test_who_marked_it_first_ends_it(database):
    with opened(database):
        with opened(database):
            pass
        assert find_holder(database) == NOT_KNOWN
    assert find_holder(database) is None
