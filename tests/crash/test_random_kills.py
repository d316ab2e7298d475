"""Kill a rewrite of 200 MB at random bytes of what it writes, again and again."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from scenarios import NOW_MS, Compaction

from support.stores import HOUR_MS, make_entry, make_store, run_key
from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.workspace import Workspace
from tailflip.stores import archive
from tailflip.stores.recovery import recover

if TYPE_CHECKING:
    from pathlib import Path

KILLS = int(os.environ.get("TAILFLIP_TEST_KILLS", "200"))
STORE_BYTES = 200_000_000
ENTRY_BYTES = 50_000


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha1").hexdigest()


def find_written(scenario: Compaction) -> int:
    """How many bytes a rewrite has written by now, to the new store and to the archive."""
    found = 0
    with suppress(FileNotFoundError):
        folders = (scenario.path.parent.glob("*.tmp"), scenario.home.archives.glob("*/*"))
        found = sum(path.stat().st_size for paths in folders for path in paths)
    return found


@pytest.mark.crash
@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_killed_at_a_random_byte_of_a_large_rewrite(  # noqa: PLR0915 - one story
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "now_ms", lambda: NOW_MS)
    dice = random.Random(os.environ.get("TAILFLIP_TEST_SEED", "tailflip"))
    scenario = Compaction(tmp_path / "root")
    entries = {"agent:main:main": make_entry("main")}
    for n in range(STORE_BYTES // ENTRY_BYTES):
        filler = dice.randbytes(32).hex() * (ENTRY_BYTES // 64)
        key = run_key(f"r{n}") if n % 4 == 0 else f"agent:main:direct:{n}"
        age_ms = 99 * HOUR_MS
        entries[key] = make_entry(f"s{n}", age_ms, filler=filler, status="done")
    scenario.root.mkdir()
    size_bytes = len(make_store(scenario.path, entries))
    whole = json.dumps(sorted(entries))
    del entries
    old = digest(scenario.path)
    scenario.do(RealDisk())
    new, new_bytes = digest(scenario.path), scenario.path.stat().st_size
    assert size_bytes > new_bytes > STORE_BYTES / 2
    scenario.undo()
    back = digest(scenario.path)  # the same entries, those that came back at the end
    assert sorted(json.loads(scenario.path.read_bytes())) == json.loads(whole)
    outcomes = {"old": 0, "new": 0}
    for kill in range(KILLS):
        for action in archive.list_actions(Workspace(scenario.home, RealDisk())):
            assert action.action.state == "done"
        before = digest(scenario.path)
        assert before in (old, back), f"kill {kill}"
        written = find_written(scenario)
        target = written + dice.randrange(int(1.02 * new_bytes))
        pid = os.fork()
        if pid == 0:
            try:
                scenario.do(RealDisk())
            finally:
                os._exit(0)
        until = time.monotonic() + 60
        while find_written(scenario) < target and time.monotonic() < until:
            if os.waitpid(pid, os.WNOHANG)[0]:
                pid = 0
                break
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        recover(Workspace(scenario.home, RealDisk()))
        after = digest(scenario.path)
        assert recover(Workspace(scenario.home, RealDisk())) == ()
        scenario.check_litter()
        scenario.check_no_litter_at_home()
        if after == before:
            outcomes["old"] += 1
            continue
        assert json.loads(scenario.path.read_bytes()).keys() <= set(json.loads(whole))
        outcomes["new"] += 1
        newest = archive.list_actions(Workspace(scenario.home, RealDisk()))[0].action
        archive.verify(Workspace(scenario.home, RealDisk()), newest.id)
        scenario.undo()
        assert digest(scenario.path) == back, f"kill {kill}"
        archive.expire(
            Workspace(scenario.home, RealDisk()), older_than_ms=-1, now_ms=NOW_MS, apply=True
        )
    print(outcomes, f"{new} {new_bytes} bytes")
    assert outcomes["old"] > KILLS / 2
