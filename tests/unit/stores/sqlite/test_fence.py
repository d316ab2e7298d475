"""The fence: taken when nobody has a database open, refused with a name else, and never left."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing, contextmanager, suppress
from functools import partial

import pytest

from support.stores import BROKEN, GONE, NOW_MS, FaultyDisk, list_tree, make_store
from tailflip.base import clock, platform_calls
from tailflip.base.durable import RealDisk
from tailflip.base.errors import TailflipError, TryLater, Unavailable
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.flow.observed import Store
from tailflip.ledger.actions import Ledger, State
from tailflip.observe.gateway.lock_owner import read_owner
from tailflip.observe.gateway.process import start_ticks
from tailflip.observe.holders import HIDDEN, NOT_KNOWN, find_holder
from tailflip.plan.policy import Policy
from tailflip.stores.recovery import recover
from tailflip.stores.sqlite import fence as module
from tailflip.stores.sqlite.fence import fencing, remove_our_fence
from tailflip.stores.transaction import compact_store

DISK = RealDisk()
KILLED, MOST_EFFECTS = 9, 40
GATEWAY_USER = 12_345
TAKE = ("PRAGMA journal_mode=MEMORY", "BEGIN EXCLUSIVE")  # as the gateway does
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")

_DATABASE = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=0)
for statement in sys.argv[2:]:
    db.execute(statement).fetchall()
print("ready", flush=True)
sys.stdin.read()
"""


class Place:
    """A state directory with its two databases, in WAL mode."""

    def __init__(self, root):
        self.root = root
        self.state = root / "openclaw"
        self.store = self.state / "agents" / "main" / "agent" / "openclaw-agent.sqlite"
        self.shared = self.state / "state" / "openclaw.sqlite"
        for path in (self.store, self.shared):
            path.parent.mkdir(parents=True)
            with closing(sqlite3.connect(path)) as db:
                db.execute("PRAGMA journal_mode=WAL")
                db.execute("CREATE TABLE t (x)")

    @property
    def folder(self):
        return self.state / "tmp" / f"openclaw-{self.shared.stat().st_uid}"

    @property
    def lock(self):
        return self.folder / "gateway.state.lock"

    @property
    def coordinator(self):
        return self.folder / "gateway.state.lock.sqlite"

    def fence(self, disk=DISK):
        return fencing(self.store, self.state, disk)

    def put_lock(self, age_s=0.0, **payload):
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lock.write_text(json.dumps(payload) if payload else "")
        moment = time.time() - age_s
        os.utime(self.lock, (moment, moment))
        return self.lock.read_bytes()

    def list_folder(self):
        return sorted(path.name for path in self.folder.iterdir())

    def is_free(self):
        """Say whether a gateway could take the kernel's part of the lock."""
        with holding(self.coordinator, *TAKE) as pid:
            return pid is not None

    def check_open(self):
        """Nothing keeps anybody out."""
        with self.fence():
            pass
        assert self.list_folder() == [self.coordinator.name]
        with closing(sqlite3.connect(self.coordinator, isolation_level=None, timeout=0)) as db:
            for statement in TAKE:
                db.execute(statement)


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


@contextmanager
def holding(path, *statements):
    """Do something with a database in another process; None if SQLite would not let it."""
    argv = [sys.executable, "-c", _DATABASE, path, *statements]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(argv, **pipes) as child:
        try:
            began = child.stdout.readline() == b"ready\n"
            if not began:
                assert b"database is locked" in child.stderr.read()
            yield child.pid if began else None
        finally:
            child.kill()


def dead_pid():
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        pass
    return child.pid


def test_the_lock_has_the_gateways_form_and_the_kernels_part(place):
    with place.fence() as held_s:
        payload = json.loads(place.lock.read_text())
        created = payload.pop("createdAt")
        assert payload.pop("ownerId").startswith("tailflip-")
        assert payload == {
            "pid": os.getpid(),
            "configPath": str(place.state / "openclaw.json"),
            "stateDir": str(place.state),
            "role": "sqlite-maintenance",
            "startTime": start_ticks(os.getpid()),
        }
        assert created.endswith("Z")
        assert len(created) == len("2026-11-29T14:36:54.520Z")
        assert stat.S_IMODE(place.lock.stat().st_mode) == 0o600
        assert stat.S_IMODE(place.folder.stat().st_mode) == 0o700
        assert not place.is_free()
        first = held_s()
        assert 0 <= first <= held_s()
    assert place.list_folder() == [place.coordinator.name]
    assert place.coordinator.read_bytes() == b""
    assert place.is_free()


def test_the_seconds_are_those_of_the_lock(place, monkeypatch):
    with place.fence() as held_s:
        now = clock.monotonic_s()
        monkeypatch.setattr(clock, "monotonic_s", lambda: now + 7)
        assert 7 <= held_s() < 8


def test_every_step_is_an_effect_that_is_counted(place):
    disk = FaultyDisk()
    with place.fence(disk):
        pass
    folder = place.folder.name
    assert disk.effects == [
        *("mkdir tmp.tailflip", "rename tmp.tailflip"),
        *(f"mkdir {folder}.tailflip", f"rename {folder}.tailflip"),
        "open gateway.state.lock.sqlite",
        "open gateway.state.lock.tailflip",
        *("write nothing of it", "write the second half", "fsync"),
        *("rename gateway.state.lock.tailflip", f"fsync_dir {folder}"),
        "unlink gateway.state.lock",
    ]


@pytest.mark.parametrize("which", ["store", "shared"])
@pytest.mark.parametrize("statement", ["SELECT * FROM t", "BEGIN IMMEDIATE"])
def test_who_has_a_database_open_is_named_and_nothing_is_written(place, which, statement):
    path = getattr(place, which)
    with holding(path, statement) as pid:
        before = list_tree(place.state)
        with pytest.raises(TryLater, match=rf"process {pid} has {path} open; nothing"):
            place.fence().__enter__()
        assert list_tree(place.state) == before
    place.check_open()


def test_outside_a_state_directory_only_who_has_it_open_counts(place):
    before = list_tree(place.root)
    with fencing(place.store, None, FaultyDisk(1, error=BROKEN)) as held_s:
        assert held_s() >= 0
        assert find_holder(place.store) == NOT_KNOWN, "a look would drop our locks"
    assert list_tree(place.root) == before
    with holding(place.store, "SELECT * FROM t"), pytest.raises(TryLater, match="has"):
        fencing(place.store, None, DISK).__enter__()


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (HIDDEN, TryLater, "a process that cannot be seen from here has"),
        (NOT_KNOWN, Unavailable, "it cannot be told whether"),
    ],
)
def test_whoever_cannot_be_seen_keeps_us_out(place, monkeypatch, answer, error, text):
    monkeypatch.setattr(module, "find_holder", lambda _: answer)
    with pytest.raises(error, match=text):
        place.fence().__enter__()


def test_one_that_opens_it_meanwhile_is_seen_by_the_second_look(place, monkeypatch):
    answers = iter([None, None, None, 77])
    monkeypatch.setattr(module, "find_holder", lambda _: next(answers))
    with pytest.raises(TryLater, match=r"process 77 has .*/state/openclaw\.sqlite open"):
        place.fence().__enter__()
    monkeypatch.undo()
    place.check_open()


def test_a_lock_that_appears_meanwhile_is_seen_under_the_kernels(place, monkeypatch):
    """As of an owner that this kernel's locks do not show, on a disk of several machines."""

    def take_late(fd):
        place.put_lock(pid=1, startTime=start_ticks(1))
        return True

    monkeypatch.setattr(module, "_try_exclusive", take_late)
    with pytest.raises(TryLater, match="locked by gateway, pid 1"):
        place.fence().__enter__()
    assert read_owner(place.lock).pid == 1


def test_nobody_in_this_process_looks_while_it_has_them_open(place):
    with place.fence():
        assert find_holder(place.store) == find_holder(place.shared) == NOT_KNOWN
    assert find_holder(place.store) is find_holder(place.shared) is None


@pytest.mark.parametrize(
    ("payload", "who"),
    [
        ({"port": 18_789}, "gateway, pid"),
        ({"role": "agent-embedded"}, "agent-embedded, pid"),
        ({"role": "sqlite-maintenance", "ownerId": "0b2e"}, "sqlite-maintenance, pid"),
        ({"role": "sqlite-maintenance", "ownerId": "tailflip-1"}, "another tailflip, pid"),
    ],
)
def test_an_owner_that_lives_is_named_and_keeps_its_lock(place, payload, who):
    created = "2026-11-29T14:36:54.520Z"
    text = place.put_lock(pid=1, startTime=start_ticks(1), createdAt=created, **payload)
    with pytest.raises(TryLater, match=rf"locked by {who} 1, since 2026-11-29 .*ago") as caught:
        place.fence().__enter__()
    assert caught.value.hint
    assert str(place.lock) in caught.value.message
    assert place.list_folder() == [place.lock.name]
    assert place.lock.read_bytes() == text


@pytest.mark.parametrize(
    ("age_s", "payload"),
    [
        (0, {"pid": "dead", "startTime": 5}),
        (0, {"pid": "dead"}),
        (0, {"pid": "ours", "startTime": 1}),
        (31, {}),
    ],
)
def test_the_lock_of_one_that_is_gone_is_taken_over(place, age_s, payload):
    pids = {"dead": dead_pid(), "ours": os.getpid()}
    if payload:
        payload = payload | {"pid": pids[payload["pid"]]}
    place.put_lock(age_s, **payload)
    with place.fence():
        assert read_owner(place.lock).pid == os.getpid()
    assert place.list_folder() == [place.coordinator.name]


def test_a_fresh_lock_that_names_nobody_is_left_alone(place):
    place.put_lock()
    with pytest.raises(TryLater, match="locked by unknown, since"):
        place.fence().__enter__()
    assert place.list_folder() == [place.lock.name]


@pytest.mark.parametrize("has_json", [True, False])
def test_the_kernels_lock_counts_where_the_json_names_nobody_here(place, has_json):
    """As of a gateway in another container, whose pid means nothing here."""
    place.folder.mkdir(parents=True)
    if has_json:
        place.put_lock(pid=dead_pid(), startTime=5)
    before = place.list_folder()
    with holding(place.coordinator, *TAKE) as pid:
        with pytest.raises(TryLater, match=rf"locked by process {pid}: "):
            place.fence().__enter__()
        assert place.list_folder() == sorted({*before, place.coordinator.name})
    place.check_open()


def test_a_failed_block_opens_the_fence(place):
    with pytest.raises(KeyError), place.fence():
        raise KeyError
    place.check_open()


def test_two_in_one_process_do_not_take_each_others_locks(place):
    with place.fence():
        with pytest.raises(TryLater, match=f"another tailflip, pid {os.getpid()}"):
            place.fence().__enter__()
        remove_our_fence(place.store, place.state, DISK)
        assert place.lock.exists()
        assert not place.is_free()
    place.check_open()


def test_a_lock_that_could_not_be_deleted_is_taken_over_by_its_own_process(place):
    disk = FaultyDisk(12, error=BROKEN)
    with place.fence(disk):
        pass
    assert disk.effects[-1] == "unlink gateway.state.lock"
    assert place.lock.exists()
    with place.fence():
        pass
    assert place.list_folder() == [place.coordinator.name]


def test_a_lock_that_is_another_ones_by_now_is_not_deleted(place):
    with place.fence():
        place.lock.unlink()
        text = place.put_lock(pid=1)
    assert place.lock.read_bytes() == text


@as_root
def test_the_folder_is_that_of_the_databases_owner(place):
    """A volume that a container mounts is root's; what the gateway wrote into it is its own."""
    os.chown(place.shared, GATEWAY_USER, GATEWAY_USER)
    with place.fence():
        assert place.folder.name == f"openclaw-{GATEWAY_USER}"
        assert place.lock.stat().st_uid == GATEWAY_USER


def test_without_a_shared_database_the_stores_owner_is_the_gateways(place):
    for path in place.shared.parent.iterdir():
        path.unlink()
    with place.fence():
        name = f"openclaw-{place.store.stat().st_uid}"
        assert (place.state / "tmp" / name / "gateway.state.lock").exists()


def give_away(place):
    for path in (place.state, *place.state.rglob("*")):
        os.chown(path, GATEWAY_USER, GATEWAY_USER)


def list_owners(place):
    return {
        str(path.relative_to(place.state)): (path.stat().st_uid, path.stat().st_gid)
        for path in place.state.rglob("*")
    }


@as_root
def test_what_root_makes_belongs_to_the_gateways_user(place):
    give_away(place)
    with place.fence():
        assert place.folder.name == f"openclaw-{GATEWAY_USER}"
        assert place.lock.exists()
        assert set(list_owners(place).values()) == {(GATEWAY_USER, GATEWAY_USER)}
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in place.folder.iterdir()}
        assert modes == {"gateway.state.lock": 0o600, "gateway.state.lock.sqlite": 0o600}


# --- dying, and failing ------------------------------------------------------------------


def run_killed(at, act):
    """Do something in a process that dies before its `at`-th effect; return its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            act(FaultyDisk(at))
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def close_and_open(place, disk):
    with place.fence(disk):
        pass


def kill_at_each(tmp_path, prepare=lambda place: None):
    """Yield what each kill leaves, and at last what the whole leaves."""
    for at in range(1, MOST_EFFECTS):
        place = Place(tmp_path / str(at))
        prepare(place)
        code = run_killed(at, partial(close_and_open, place))
        assert code in (KILLED, 0)
        yield place
        if code == 0:
            return
    pytest.fail("it does not end")


def test_a_kill_anywhere_keeps_nobody_out(tmp_path):
    for place in kill_at_each(tmp_path):
        place.check_open()


def test_a_kill_anywhere_over_a_stale_lock_keeps_nobody_out(tmp_path):
    for place in kill_at_each(tmp_path, lambda place: place.put_lock(pid=dead_pid(), startTime=5)):
        place.check_open()


def test_what_a_kill_left_is_removed_once(tmp_path):
    found = set()
    for place in kill_at_each(tmp_path):
        found |= set(place.list_folder() if place.folder.exists() else ())
        remove_our_fence(place.store, place.state, DISK)
        assert not list(place.state.rglob("*.tailflip"))
        assert not place.lock.exists()
        disk = FaultyDisk()
        remove_our_fence(place.store, place.state, disk)
        assert disk.effects == []
        place.check_open()
    assert found == {
        f"gateway.state.lock{each}" for each in ("", ".sqlite", ".tailflip")
    }  # or the kills would not have been where they matter


def test_a_removal_that_is_killed_anywhere_is_done_by_the_next(place):
    pid = dead_pid()
    for at in range(1, MOST_EFFECTS):
        place.put_lock(pid=pid, startTime=5, ownerId="tailflip-1")
        (place.folder / "gateway.state.lock.tailflip").touch()
        code = run_killed(at, partial(remove_our_fence, place.store, place.state))
        remove_our_fence(place.store, place.state, DISK)
        assert place.list_folder() == [place.coordinator.name]
        if code == 0:
            return
        assert code == KILLED
    pytest.fail("it does not end")


@as_root
def test_a_kill_of_root_anywhere_leaves_nothing_that_stays_roots(tmp_path):
    for place in kill_at_each(tmp_path, give_away):
        with place.fence():
            assert set(list_owners(place).values()) == {(GATEWAY_USER, GATEWAY_USER)}


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("for_good", [False, True])
def test_a_disk_that_fails_anywhere_keeps_nobody_out(tmp_path, error, for_good):
    for at in range(1, MOST_EFFECTS):
        place = Place(tmp_path / str(at))
        disk = FaultyDisk(at, error=error, for_good=for_good)
        with suppress(TailflipError):
            close_and_open(place, disk)
        place.check_open()
        if len(disk.effects) < at:
            return
    pytest.fail("it does not end")


# --- what is left, and whose it is -------------------------------------------------------


@pytest.mark.parametrize(
    ("is_dead", "owner_id"), [(True, None), (True, "0b2e"), (False, "tailflip-1")]
)
def test_only_the_lock_of_a_dead_tailflip_is_removed(place, is_dead, owner_id):
    """Not a dead gateway's, which tells of its end, nor a dead doctor's, nor that of the living."""
    pid, start = (dead_pid(), 5) if is_dead else (1, start_ticks(1))
    text = place.put_lock(pid=pid, startTime=start, ownerId=owner_id)
    remove_our_fence(place.store, place.state, FaultyDisk(1, error=BROKEN))
    assert place.lock.read_bytes() == text


def test_what_is_left_stays_while_somebody_takes_the_lock(place):
    place.put_lock(pid=dead_pid(), startTime=5, ownerId="tailflip-1")
    with holding(place.coordinator, *TAKE):
        remove_our_fence(place.store, place.state, DISK)
        assert place.lock.exists()
    remove_our_fence(place.store, place.state, DISK)
    assert not place.lock.exists()


def test_recovery_removes_the_lock_of_a_killed_tailflip(place):
    path = place.state / "agents" / "main" / "sessions" / "sessions.json"
    make_store(path)
    workspace = Workspace(Home(place.root / "tailflip"), DISK)
    store = Store(path, "main")
    report = compact_store(store, Policy(), GONE, workspace=workspace, now_ms=NOW_MS)
    ledger = Ledger(workspace)
    ledger.advance(ledger.find(report.action_id), State.COMMITTED)
    place.put_lock(pid=dead_pid(), startTime=5, ownerId="tailflip-1")
    recover(workspace)
    assert not place.lock.exists()


def test_it_asks_the_system_that_runs(place, monkeypatch):
    """macOS has no ticks: the gateway writes the second of its start, and so do we."""
    seen = platform_calls.Seen(is_zombie=False, start=1_790_000_000)
    monkeypatch.setattr(type(platform_calls.here), "look_at", lambda *_: seen)
    with place.fence():
        assert json.loads(place.lock.read_text())["startTime"] == 1_790_000_000
