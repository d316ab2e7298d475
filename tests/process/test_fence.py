"""Two tailflips, a gateway and a doctor, all at the same moment: one works, nobody stays.

Each competitor is a process of its own, as the kernel's locks belong to processes.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack, closing

import pytest

from tailflip.base.durable import RealDisk
from tailflip.observe.holders import find_holder
from tailflip.stores.sqlite.fence import fencing

ROUNDS = 50
# The one that opens it is quicker by far: from before the first look to after the second.
DELAYS_S = (0, 0.001, 0.002, 0.004, 0.008, 0.016, 0.5)
WORKS, WAITS = "works", "waits"

# At each line it tries, says how it went, and lets go at the next line.
_TAILFLIP = """
import sqlite3, sys
from contextlib import closing
from pathlib import Path
from tailflip.base.durable import RealDisk
from tailflip.base.errors import TryLater
from tailflip.stores.sqlite.fence import fencing
store, state = map(Path, sys.argv[1:])
def say(word):
    print(word, flush=True)
say("ready")
for _ in sys.stdin:
    try:
        with fencing(store, state, RealDisk()), closing(sqlite3.connect(store, timeout=0)) as db:
            db.execute("PRAGMA locking_mode=EXCLUSIVE")
            db.execute("INSERT INTO t VALUES (1)")
            db.commit()
            say("works")
            sys.stdin.readline()
    except (TryLater, sqlite3.OperationalError) as e:
        say(f"waits {type(e).__name__} {e}")
        sys.stdin.readline()
    say("ended")
"""
_OPENS = """
import sqlite3, sys, time
from contextlib import closing
def say(word):
    print(word, flush=True)
say("ready")
for after_s in sys.stdin:
    time.sleep(float(after_s))
    with closing(sqlite3.connect(sys.argv[1], timeout=0)) as db:
        try:
            db.execute("SELECT count(*) FROM t").fetchall()
            say("works")
        except sqlite3.OperationalError as e:
            say(f"waits {type(e).__name__} {e}")
        sys.stdin.readline()
    say("ended")
"""

# As a gateway and its doctor do: the kernel's lock by SQLite, the JSON under it, the database.
_LOCKS = """
import json, os, sqlite3, sys, time
from contextlib import closing
from pathlib import Path
from tailflip.observe.gateway.process import start_ticks
store, state, role = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
lock = state / "tmp" / f"openclaw-{os.getuid()}" / "gateway.state.lock"
def say(word):
    print(word, flush=True)
def has_owner():
    try:
        pid = json.loads(lock.read_text())["pid"]
    except FileNotFoundError:
        return False
    return Path(f"/proc/{pid}").exists()
say("ready")
for after_s in sys.stdin:
    time.sleep(float(after_s))
    lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    coordinator = lock.with_name(f"{lock.name}.sqlite")
    with closing(sqlite3.connect(coordinator, timeout=0, isolation_level=None)) as held:
        try:
            held.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as e:
            say(f"waits {type(e).__name__} {e}")
            sys.stdin.readline()
            say("ended")
            continue
        if has_owner():
            say("waits Owner")
            sys.stdin.readline()
        else:
            ours = {"pid": os.getpid(), "startTime": start_ticks(os.getpid()), "role": role}
            lock.write_text(json.dumps(ours))
            try:
                with closing(sqlite3.connect(store, timeout=0)) as db:
                    db.execute("INSERT INTO t VALUES (1)")
                    db.commit()
                    say("works")
                    sys.stdin.readline()
            except sqlite3.OperationalError as e:
                say(f"fails {e}")
                sys.stdin.readline()
            lock.unlink()
    say("ended")
"""

# Makes the folder that a line names, at the moment that the line names.
_MAKES = """
import os, sys, time
from pathlib import Path
from types import SimpleNamespace
from tailflip.base.durable import RealDisk
from tailflip.stores.sqlite import fence
place = SimpleNamespace(owner=(os.getuid(), os.getgid()))
print("ready", flush=True)
for line in sys.stdin:
    folder, at_s = line.split()
    while time.monotonic() < float(at_s):
        pass
    try:
        fence._make_folder(Path(folder), place, RealDisk())
        print("made", flush=True)
    except OSError as e:
        print(f"failed: {e}", flush=True)
"""


class Competitor:
    def __init__(self, stack, program, *args):
        self._child = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-c", program, *args],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        stack.callback(self._child.kill)
        assert self.hear() == "ready"

    def tell(self, word=""):
        self._child.stdin.write(f"{word}\n")
        self._child.stdin.flush()

    def hear(self):
        return self._child.stdout.readline().strip()


@pytest.fixture
def state(tmp_path):
    for path in (store_of(tmp_path), tmp_path / "state" / "openclaw.sqlite"):
        path.parent.mkdir(parents=True)
        with closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("CREATE TABLE t (x)")
    return tmp_path


def store_of(state):
    return state / "agents" / "main" / "agent" / "openclaw-agent.sqlite"


COMPETITORS = {
    "two tailflips": [],
    "and one that opens it": [(_OPENS,)],
    "and a gateway and a doctor": [(_LOCKS, "gateway"), (_LOCKS, "sqlite-maintenance")],
}


@pytest.mark.parametrize("others", COMPETITORS)
def test_exactly_one_works_and_nothing_is_left_locked(state, others):
    """None of them fails in the middle of its work: all but one refuse before they begin."""
    store, won, refusals = store_of(state), Counter(), Counter()
    with ExitStack() as stack:
        competitors = [
            Competitor(stack, program, store, state, *words)
            for program, *words in ((_TAILFLIP,), (_TAILFLIP,), *COMPETITORS[others])
        ]
        for number in range(ROUNDS):
            # Each has its turn to be first.
            turn = number % len(competitors)
            order = competitors[turn:] + competitors[:turn]
            for each in order:
                each.tell(DELAYS_S[number % len(DELAYS_S)])
            told = [each.hear() for each in competitors]
            words = [word.partition(" ")[0] for word in told]
            assert sorted(words) == [WAITS] * (len(words) - 1) + [WORKS], told
            won[words.index(WORKS)] += 1
            refusals.update(each.split()[1] for each in told if each.startswith(WAITS))
            for each in competitors:
                each.tell()
            assert [each.hear() for each in competitors] == ["ended"] * len(competitors)
        assert find_holder(store) is None
        with fencing(store, state, RealDisk()):
            pass
    assert won.total() == ROUNDS
    assert len(won) > 1, f"it was no race: {won}"
    assert refusals["TryLater"] > 0
    folder = state / "tmp" / f"openclaw-{store.stat().st_uid}"
    assert [path.name for path in folder.iterdir()] == ["gateway.state.lock.sqlite"]
    with closing(sqlite3.connect(store)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        reads = sum(program is _OPENS for program, *_ in COMPETITORS[others])
        worked = ROUNDS - (won[2] if reads else 0)
        assert db.execute("SELECT count(*) FROM t").fetchone() == (worked,)


def test_two_that_make_the_locks_folder_at_one_moment_both_have_it(tmp_path):
    """One in nine such pairs failed: each took the other's draft for that of a killed one."""
    with ExitStack() as stack:
        pair = [Competitor(stack, _MAKES) for _ in range(2)]
        for number in range(300):
            folder = tmp_path / str(number)
            for each in pair:
                each.tell(f"{folder} {time.monotonic() + 0.004}")
            assert [each.hear() for each in pair] == ["made", "made"]
            assert list(tmp_path.iterdir()) == [folder]
            folder.rmdir()
