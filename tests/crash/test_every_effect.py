"""Die, or fail a system call, at every counted effect of every action; then start again.

Promise: whatever happens and whenever, the store is wholly old or wholly new, nothing
is missing from store and archive together, and starting again ends what was begun, once.
"""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import power
import pytest
import scenarios
from parallel import WORKERS, in_parallel
from reclaim_scenarios import RECLAIMS
from scenarios import DONE, FAILED, Gating, Ledgers, Reconciling, Scenario
from transcript_scenarios import Slimming, Unslimming

from support.stores import (
    BROKEN,
    FULL,
    GONE,
    HOUR_MS,
    NOW_MS,
    FaultyDisk,
    list_tree,
    make_entries,
    make_entry,
    make_store,
    run_key,
)
from tailflip.base import clock
from tailflip.base.durable import Disk, RealDisk
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.flow.observed import Store
from tailflip.plan.policy import Policy
from tailflip.stores import archive
from tailflip.stores.lock import hold
from tailflip.stores.recovery import recover
from tailflip.stores.restore import restore
from tailflip.stores.salvage import apply_salvage, plan_salvage
from tailflip.stores.transaction import compact_store

pytestmark = pytest.mark.crash

Act = Callable[[Path, Home, Disk], object]
LIMIT = 200  # more effects than any action has

KILL, FULL_ONCE, FULL_FOR_GOOD, BROKEN_ONCE = "kill", "full once", "full for good", "broken once"
INTERRUPTED = "interrupted once"
MODES = (KILL, FULL_ONCE, FULL_FOR_GOOD, BROKEN_ONCE, INTERRUPTED)
ERRORS = {BROKEN_ONCE: BROKEN, INTERRUPTED: errno.EINTR}


def do_compact(path: Path, home: Home, disk: Disk) -> object:
    return compact_store(
        Store(path, "main"), Policy(), GONE, workspace=Workspace(home, disk), now_ms=NOW_MS
    )


def do_restore(path: Path, home: Home, disk: Disk) -> object:
    return restore(Workspace(home, disk), everything=True, apply=True, now_ms=NOW_MS + 1)


def do_salvage(path: Path, home: Home, disk: Disk) -> object:
    plan = plan_salvage(Store(path, "main"))
    return apply_salvage(plan, workspace=Workspace(home, disk), now_ms=NOW_MS)


def do_expire(path: Path, home: Home, disk: Disk) -> object:
    return archive.expire(Workspace(home, disk), older_than_ms=0, now_ms=NOW_MS + 1, apply=True)


def run(act: Callable[[], object], mode: str = KILL) -> int:
    """Do it: 0 done, 3 a TailflipError, 9 killed; who is killed is a child process."""
    if mode != KILL:
        return scenarios.try_to(act)
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            code = scenarios.try_to(act)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def make_disk(mode: str, at: int) -> FaultyDisk:
    if mode == KILL:
        return FaultyDisk(at)
    return FaultyDisk(at, error=ERRORS.get(mode, FULL), for_good=mode == FULL_FOR_GOOD)


def check_litter(path: Path, disk: Disk) -> None:
    """No temporary file is left, and the store can be locked at once.

    But for one case the gateway has too: death between making a lock and writing into
    it. Nobody can tell whose it is, and all wait until it is half a minute old.
    """
    lock = path.with_name(f"{path.name}.lock")
    if lock.exists() and b"}" not in lock.read_bytes():
        os.utime(lock, (1, 1))
    assert [p.name for p in path.parent.iterdir() if p.name.endswith(".tmp")] == []
    with hold(path, disk, timeout_s=0.1):
        pass


def sessions_of(path: Path) -> set[str]:
    return {p.name for p in path.parent.iterdir() if p.name.endswith(".jsonl")}


def check_recovers_once(path: Path, home: Home) -> None:
    before = path.read_bytes()
    recover(Workspace(home, RealDisk()))
    assert path.read_bytes() == before
    settled = list_tree(path.parent), list_tree(home.root)
    assert recover(Workspace(home, RealDisk())) == ()
    assert (list_tree(path.parent), list_tree(home.root)) == settled
    check_litter(path, RealDisk())


@pytest.mark.parametrize("mode", MODES)
def test_compaction_interrupted_anywhere_loses_nothing(tmp_path: Path, mode: str) -> None:
    clean = tmp_path / "clean" / "sessions" / "sessions.json"
    old = make_store(clean)
    do_compact(clean, Home(tmp_path / "clean" / "state"), RealDisk())
    new = clean.read_bytes()
    assert new != old
    outcomes = set()
    for at in range(1, LIMIT):
        path = tmp_path / f"{at}" / "sessions" / "sessions.json"
        home = Home(tmp_path / f"{at}" / "state")
        make_store(path)
        transcripts = sessions_of(path)
        code = run(lambda p=path, h=home, k=at: do_compact(p, h, make_disk(mode, k)), mode)
        assert path.read_bytes() in {old, new}
        check_recovers_once(path, home)
        outcomes.add((code, path.read_bytes() == new))
        if path.read_bytes() == new:
            (done,) = archive.list_actions(Workspace(home, RealDisk()))
            archive.verify(Workspace(home, RealDisk()), done.action.id)
            do_restore(path, home, RealDisk())
            assert json.loads(path.read_bytes()) == json.loads(old)
        else:
            assert archive.list_actions(Workspace(home, RealDisk())) == ()
            assert list(home.archives.glob("*")) == []
            do_compact(path, home, RealDisk())
            assert path.read_bytes() == new
            do_restore(path, home, RealDisk())
        assert sessions_of(path) == transcripts
        if code == 0:
            break
    else:
        pytest.fail("no end of effects")
    failed = 9 if mode == KILL else 3
    assert {(failed, False), (failed, True), (0, True)} <= outcomes


@pytest.mark.parametrize("mode", MODES)
def test_restore_interrupted_anywhere_loses_nothing(tmp_path: Path, mode: str) -> None:
    for at in range(1, LIMIT):
        path = tmp_path / f"{at}" / "sessions" / "sessions.json"
        home = Home(tmp_path / f"{at}" / "state")
        full = make_store(path)
        transcripts = sessions_of(path)
        do_compact(path, home, RealDisk())
        compacted = path.read_bytes()
        code = run(lambda p=path, h=home, k=at: do_restore(p, h, make_disk(mode, k)), mode)
        assert path.read_bytes() == compacted or json.loads(path.read_bytes()) == json.loads(full)
        check_recovers_once(path, home)
        compaction = archive.list_actions(Workspace(home, RealDisk()))[-1]
        archive.verify(Workspace(home, RealDisk()), compaction.action.id)
        do_restore(path, home, RealDisk())
        assert json.loads(path.read_bytes()) == json.loads(full)
        assert sessions_of(path) == transcripts
        if code == 0:
            return
    pytest.fail("no end of effects")


@pytest.mark.parametrize("mode", MODES)
def test_salvage_interrupted_anywhere_loses_nothing(tmp_path: Path, mode: str) -> None:
    for at in range(1, LIMIT):
        path = tmp_path / f"{at}" / "sessions" / "sessions.json"
        home = Home(tmp_path / f"{at}" / "state")
        damaged = make_store(path)[:-40]
        path.write_bytes(damaged)
        code = run(lambda p=path, h=home, k=at: do_salvage(p, h, make_disk(mode, k)), mode)
        check_recovers_once(path, home)
        kept = [p.read_bytes() for p in home.quarantine.glob("*")] if home.root.exists() else []
        if path.read_bytes() == damaged:
            assert kept == []
            do_salvage(path, home, RealDisk())
        else:
            assert kept == [damaged]
        assert set(json.loads(path.read_bytes())) == set(list(make_entries())[:-1])
        (done,) = archive.list_actions(Workspace(home, RealDisk()))
        restore(
            Workspace(home, RealDisk()), action_id=done.action.id, apply=True, now_ms=NOW_MS + 1
        )
        assert path.read_bytes() == damaged
        if code == 0:
            return
    pytest.fail("no end of effects")


@pytest.mark.parametrize("mode", [KILL, BROKEN_ONCE])
def test_expiry_interrupted_anywhere_is_finished_or_never_happened(
    tmp_path: Path, mode: str
) -> None:
    for at in range(1, LIMIT):
        path = tmp_path / f"{at}" / "sessions" / "sessions.json"
        home = Home(tmp_path / f"{at}" / "state")
        make_store(path)
        do_compact(path, home, RealDisk())
        code = run(lambda p=path, h=home, k=at: do_expire(p, h, make_disk(mode, k)), mode)
        check_recovers_once(path, home)
        known = archive.list_actions(Workspace(home, RealDisk()))
        assert len(known) == len(list(home.archives.iterdir()))
        for kept in known:
            archive.verify(Workspace(home, RealDisk()), kept.action.id)
        if code == 0:
            assert known == ()
            return
    pytest.fail("no end of effects")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", RECLAIMS)
def test_giving_room_back_interrupted_anywhere_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, mode: str
) -> None:
    monkeypatch.setattr(clock, "now_ms", lambda: scenarios.NOW_MS)

    def work(number: int, own: Path) -> list[str]:
        scenario = RECLAIMS[name](own / "root")
        scenario.prepare()
        medium = power.Medium.of(scenario.root)
        beginning = {n: f and bytes(f.data) for n, f in medium.seen.items()}
        counting = FaultyDisk()
        assert scenario.act(counting) == DONE
        many = len(counting.effects)
        assert 10 < many < LIMIT
        for at in range(1, many + 1):
            if at % WORKERS != number:
                continue
            power.put_tree(scenario.root, beginning)
            disk = make_disk(mode, at)
            code = run(lambda s=scenario, d=disk: s.do(d), mode)
            assert code in (DONE, FAILED, 9), f"effect {at} of {many}: exit {code}"
            scenario.check(went_on=mode != KILL)
        return []

    failed = in_parallel(tmp_path, work)
    assert not failed, "\n".join(failed)[:20_000]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", [Reconciling, Gating], ids=lambda kind: kind.name)
def test_ledgers_interrupted_anywhere_agree_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Ledgers], mode: str
) -> None:
    """Markers, holds, tasks, zombies, retention; and all that comes before a start."""
    monkeypatch.setattr(clock, "now_ms", lambda: scenarios.NOW_MS)

    def work(number: int, own: Path) -> list[str]:
        scenario = kind(own / "root")
        scenario.prepare()
        medium = power.Medium.of(scenario.root)
        beginning = {n: f and bytes(f.data) for n, f in medium.seen.items()}
        scenario.learn()
        power.put_tree(scenario.root, beginning)
        counting = FaultyDisk()
        assert scenario.act(counting) == DONE
        many = len(counting.effects)
        assert 50 < many < LIMIT
        for at in range(1, many + 2):
            if at % WORKERS != number:
                continue
            power.put_tree(scenario.root, beginning)
            disk = make_disk(mode, at)
            code = run(lambda s=scenario, d=disk: s.do(d), mode)
            is_over = code == DONE and (mode == KILL or len(disk.effects) < at)
            assert is_over == (at > many), f"effect {at} of {many}: exit {code}"
            assert code in (DONE, FAILED, 9), f"effect {at} of {many}: exit {code}"
            scenario.check(went_on=mode != KILL)
        return []

    failed = in_parallel(tmp_path, work)
    assert not failed, "\n".join(failed)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", [Slimming, Unslimming], ids=lambda kind: kind.name)
def test_transcripts_interrupted_anywhere_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Scenario], mode: str
) -> None:
    """Slimmed whole or not at all, and every byte comes back."""
    monkeypatch.setattr(clock, "now_ms", lambda: scenarios.NOW_MS)
    scenario = kind(tmp_path / "root")
    scenario.prepare()
    medium = power.Medium.of(scenario.root)
    beginning = {n: f and bytes(f.data) for n, f in medium.seen.items()}
    scenario.learn()
    power.put_tree(scenario.root, beginning)
    counting = FaultyDisk()
    assert scenario.act(counting) == DONE
    many = len(counting.effects)
    assert 15 < many < LIMIT
    for at in range(1, many + 2):
        power.put_tree(scenario.root, beginning)
        disk = make_disk(mode, at)
        code = run(lambda d=disk: scenario.do(d), mode)
        is_over = code == DONE and (mode == KILL or len(disk.effects) < at)
        assert is_over or at <= many, f"effect {at} of {many}: exit {code}"
        assert code in (DONE, FAILED, 9), f"effect {at} of {many}: exit {code}"
        scenario.check(went_on=mode != KILL)


@pytest.mark.timeout(900)  # 130 s on two idle cores: pairs of kills, in as many processes
def test_recovery_killed_anywhere_is_recovered(tmp_path: Path) -> None:
    """A machine that dies again while it recovers, at every pair of effects."""

    def work(number: int, own: Path) -> list[str]:
        for first in range(1 + number, LIMIT, WORKERS):
            for second in range(1, LIMIT):
                path = own / f"{first}-{second}" / "sessions" / "sessions.json"
                home = Home(own / f"{first}-{second}" / "state")
                old = make_store(path)
                code = run(lambda p=path, h=home, k=first: do_compact(p, h, FaultyDisk(k)))
                if code == 0:
                    assert first > 20
                    return []
                again = run(lambda h=home, k=second: recover(h, FaultyDisk(k)))
                check_recovers_once(path, home)
                if path.read_bytes() != old:
                    do_restore(path, home, RealDisk())
                    assert json.loads(path.read_bytes()) == json.loads(old)
                if again == 0:
                    break
        raise AssertionError("no end of effects")

    failed = in_parallel(tmp_path, work)
    assert not failed, "\n".join(failed)


def test_kill_at_a_random_moment_inside_a_rewrite(tmp_path: Path) -> None:
    dice = random.Random(7)
    filler = "x" * 4_000
    entries = make_entries()
    for n in range(2_500):
        entries[run_key(f"many-{n}")] = make_entry(f"many-{n}", 99 * HOUR_MS, filler=filler)
    path = tmp_path / "sessions" / "sessions.json"
    home = Home(tmp_path / "state")
    old = make_store(path, entries)
    for _ in range(8):
        pid = os.fork()
        if pid == 0:
            try:
                do_compact(path, home, RealDisk())
            finally:
                os._exit(0)
        time.sleep(dice.uniform(0.0, 0.12))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        check_recovers_once(path, home)
        if path.read_bytes() != old:
            do_restore(path, home, RealDisk())
        assert json.loads(path.read_bytes()) == entries
