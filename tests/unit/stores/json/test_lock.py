from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from support.stores import FULL, FaultyDisk
from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.errors import CannotCreate, TryLater
from tailflip.observe.gateway.lock_owner import read_owner
from tailflip.observe.gateway.process import start_ticks
from tailflip.stores.json import lock as locks
from tailflip.stores.json.lock import hold, hold_all, is_stale

if TYPE_CHECKING:
    from pathlib import Path

DISK = RealDisk()
IS_STALE = """
import sys
from pathlib import Path
from tailflip.observe.gateway.lock_owner import read_owner
from tailflip.stores.json.lock import is_stale
print(is_stale(read_owner(Path(sys.argv[1])), 0))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.json"


def put_lock(path: Path, payload: object, age_s: float = 0.0) -> Path:
    lock = path.with_name(path.name + ".lock")
    lock.write_text(payload if isinstance(payload, str) else json.dumps(payload))
    moment = time.time() - age_s
    os.utime(lock, (moment, moment))
    return lock


def iso(age_s: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() - age_s))


def dead_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        pass
    return child.pid


def test_lock_has_the_gateways_format_and_goes_away(path: Path) -> None:
    with hold(path, DISK) as lock:
        text = lock.path.read_text()
        said = json.loads(text)
        assert lock.path.name == "sessions.json.lock"
        assert text == json.dumps(said, indent=2)
        assert said["pid"] == os.getpid()
        assert said["createdAt"].endswith("Z")
        assert said.get("starttime") == start_ticks(os.getpid())
        assert lock.still_ours()
    assert not lock.path.exists()


def test_lock_lies_in_the_resolved_directory_of_the_unresolved_name(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with hold(tmp_path / "link" / "sessions.json", DISK) as lock:
        assert lock.path == (tmp_path / "real").resolve() / "sessions.json.lock"


@pytest.mark.parametrize(
    ("payload", "age_s", "stale"),
    [
        ({"pid": "dead", "createdAt": iso(0)}, 0, True),
        ({"pid": "ours", "createdAt": iso(0), "starttime": 1}, 0, True),
        ({"pid": "ours", "createdAt": iso(0), "starttime": "ours"}, 0, False),
        # The gateway would steal this one; but the owner lives and may still write.
        ({"pid": "ours", "createdAt": iso(99), "starttime": "ours"}, 99, False),
        ({"pid": "ours", "createdAt": iso(-99), "starttime": "ours"}, 0, False),
        # No start time, and the process is younger than the lock: the pid was used again.
        ({"pid": "ours", "createdAt": "2001-01-01T00:00:00.000Z"}, 99, True),
        ({"pid": "ours"}, 99, False),
        ("", 0, False),
        ("", 31, True),
        ("[]", 31, True),
        ('{"pid": true}', 31, True),
        ("[" * 3_000, 31, True),
    ],
)
def test_only_a_lock_whose_owner_is_gone_is_stale(
    path: Path, payload: object, age_s: float, stale: bool
) -> None:
    if isinstance(payload, dict):
        pids = {"dead": dead_pid(), "ours": os.getpid()}
        payload = payload | {"pid": pids[payload["pid"]]}
        if payload.get("starttime") == "ours":
            payload["starttime"] = start_ticks(os.getpid())
    owner = read_owner(put_lock(path, payload, age_s))
    assert owner is not None
    assert is_stale(owner, clock.now_ms()) is stale


def test_a_dead_owners_lock_is_taken_over(path: Path) -> None:
    put_lock(path, {"pid": dead_pid(), "createdAt": iso(0)})
    with hold(path, DISK, timeout_s=0.0) as lock:
        assert json.loads(lock.path.read_text())["pid"] == os.getpid()


def test_a_living_owner_is_named_and_left_alone(path: Path) -> None:
    theirs = put_lock(path, {"pid": 1, "createdAt": iso(3), "starttime": start_ticks(1)})
    before = theirs.read_bytes()
    with pytest.raises(TryLater, match=r"pid 1 for [34]\.\d s") as caught, hold(path, DISK, 0.1):
        pass
    assert caught.value.exit_code == 75
    assert theirs.read_bytes() == before


def test_waits_for_a_brief_lock(path: Path) -> None:
    theirs = put_lock(path, {"pid": 1, "createdAt": iso(0), "starttime": start_ticks(1)})
    with subprocess.Popen(["sh", "-c", f"sleep 0.3; rm {theirs}"]), hold(path, DISK, 5.0) as lock:
        assert lock.still_ours()


def test_a_stolen_lock_is_noticed_and_not_deleted(path: Path) -> None:
    """A gateway may steal ours after 30 s. Deleting its lock then would let a third one in."""
    with hold(path, DISK) as lock:
        lock.path.unlink()
        put_lock(path, {"pid": 1})
        assert not lock.still_ours()
    assert lock.path.exists()


def test_an_old_lock_is_not_relied_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with hold(path, DISK) as lock:
        later = lock.taken_mono + locks.MAX_HELD_S
        monkeypatch.setattr(clock, "monotonic_s", lambda: later)
        assert lock.is_in_place()
        assert not lock.still_ours()


def test_a_full_disk_leaves_no_empty_lock(path: Path) -> None:
    with pytest.raises(Exception, match="No space"), hold(path, FaultyDisk(2, error=28)):
        pass
    assert list(path.parent.iterdir()) == []


def test_all_names_of_a_store_are_locked(tmp_path: Path) -> None:
    names = (tmp_path / "b.json", tmp_path / "a.json", tmp_path / "b.json")
    with hold_all(names, DISK) as held:
        assert [lock.path.name for lock in held] == ["a.json.lock", "b.json.lock"]
    assert list(tmp_path.iterdir()) == []


def test_a_lock_of_ours_that_could_not_be_deleted_is_no_other_commands_trouble(path: Path) -> None:
    """Left by a supervisor that lives for weeks, it kept every later compaction out."""
    unlink = 4  # after the creation and two halves of a write
    disk = FaultyDisk(unlink, error=errno.EIO)
    with hold(path, disk) as lock:
        pass
    assert disk.effects[-1] == f"unlink {lock.path.name}"
    assert lock.path.exists()
    others = [sys.executable, "-c", IS_STALE, lock.path]
    assert subprocess.run(others, capture_output=True, check=True).stdout == b"False\n"
    with hold(path, DISK, timeout_s=0.0) as again:
        assert again.is_in_place()
        assert not is_stale(read_owner(again.path), clock.now_ms())
    assert not lock.path.exists()


def test_a_lock_that_could_not_be_written_nor_deleted_is_taken_anew(path: Path) -> None:
    disk = FaultyDisk(2, error=FULL, for_good=True)
    with pytest.raises(CannotCreate, match="No space"), hold(path, disk):
        pytest.fail("no lock")
    assert path.with_name("sessions.json.lock").read_bytes() == b""
    with hold(path, DISK, timeout_s=0.0):
        pass
