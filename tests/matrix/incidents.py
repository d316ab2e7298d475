"""What is asked of a store that is too large: its death, its cure, a compaction and the undo.

A small heap and a small store stand for the incident's. Where a release keeps databases and does
not take a `sessions.json` over by itself, its own tool imports it first.
"""

from __future__ import annotations

import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import guarded
import real_gateway
from sqlite_states import import_sessions, is_up

from matrix import page
from matrix.databases import list_keys, refuses_files
from matrix.trial import BOOT, BOOTS_S, KILLED
from support.stores import split_members
from tailflip.demo.incident import DAY_MS, write_incident
from tailflip.flow.lives import Cause

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from matrix.trial import Trial

MB = 1_000_000
# What a release says that keeps sessions in databases and does not import a `sessions.json`.
REFUSES = "Legacy session store requires migration"
SMALL = "boots empty with a small heap"
DIES = "dies of a store alone"
COMPACTS = "compact --apply"
_HEAPS_MIB = (256, 400, 640, 1024)
_SIZES_MB = (20, 60, 120, 185)
_SURELY = 1.2  # a store just too large does not kill: the gateway collects garbage for minutes
_LATER_S = 15  # some die a while after their first answer
_SWEEPS_S = 150  # of a database: a minute after the start a sweep copies its rows


@dataclass
class Incident:
    """A state directory with an incident's store, and the entries that were written into it."""

    state: Path
    port: int
    entries: dict[str, str]

    @property
    def store(self) -> Path:
        return self.state / "agents" / "main" / "sessions" / "sessions.json"

    @property
    def chats(self) -> set[str]:
        return {key for key in self.entries if ":cron:" not in key}


@contextmanager
def incident(trial: Trial, name: str, size_mb: int, *, ready: bool = True) -> Iterator[Incident]:
    """Make an incident; it is gone afterwards.

    `ready`: where the release refuses the file, its own tool has imported it.
    """
    place = trial.folder / name
    state = place / "state"
    state.mkdir(parents=True)
    try:
        is_imported = ready and refuses_files(trial.line.release)
        age_ms = 3 * DAY_MS if is_imported else 0  # a sweep takes runs of more than a day
        now_ms = int(time.time() * 1000) - age_ms
        store = write_incident(state, size_bytes=size_mb * MB, now_ms=now_ms)["store"]
        made = Incident(
            state, real_gateway.configure(state), dict(split_members(store.read_bytes()))
        )
        if is_imported:
            import_sessions(trial.install, state)
        yield made
    finally:
        guarded.end_all(state)
        shutil.rmtree(place, ignore_errors=True)


def ask_of_death(trial: Trial) -> None:
    line = trial.line
    with line.asking(SMALL, 600) as told:
        line.need(BOOT)
        trial.heap_mib = next((mib for mib in _HEAPS_MIB if _boots(trial, mib)), 0)
        assert trial.heap_mib, f"it dies with {_HEAPS_MIB[-1]} MiB"
        told.append(f"{trial.heap_mib} MiB")
    with line.asking(DIES, 900) as told:
        line.need(SMALL)
        for size in _SIZES_MB:
            if page.forecast_mib(line.release, size) < _SURELY * page.limit_mib(trial.heap_mib):
                continue
            if _dies(trial, size):
                trial.dies_with = size
                break
        assert trial.dies_with, f"lives with {_SIZES_MB[-1]} MB at {trial.heap_mib} MiB"
        imported = ", which its own tool has imported" if refuses_files(line.release) else ""
        told.append(f"{trial.dies_with} MB at {trial.heap_mib} MiB{imported}")
    with line.asking("is cured under `tailflip run`", 900) as told:
        line.need(DIES)
        _cure(trial, told)


def _boots(trial: Trial, heap_mib: int) -> bool:
    """Say whether it lives with this heap, idle; a run may take more."""
    state = trial.folder / "small" / "state"
    shutil.rmtree(state.parent, ignore_errors=True)
    state.mkdir(parents=True)
    port = real_gateway.configure(state)
    with real_gateway.gateway(trial.install, state, heap_mib=heap_mib, port=port) as running:
        return running.settle(BOOTS_S) and running.stays_up(5)


def _dies(trial: Trial, size_mb: int) -> bool:
    later_s = _SWEEPS_S if refuses_files(trial.line.release) else _LATER_S
    with (
        incident(trial, "alone", size_mb) as made,
        real_gateway.gateway(
            trial.install, made.state, heap_mib=trial.heap_mib, port=made.port
        ) as running,
    ):
        if running.settle(BOOTS_S) and is_up(running, later_s):
            return False
        running.process.wait(30)
        assert real_gateway.HEAP_DEATH in running.output(), running.output()[-300:]
        return True


def _cure(trial: Trial, told: list[str]) -> None:
    with incident(trial, "guarded", trial.dies_with) as made:
        with guarded.run(
            trial.install,
            made.state,
            *guarded.WITHOUT_ADMISSION,
            port=made.port,
            heap_mib=trial.heap_mib,
        ) as running:
            # From 7.1 on a start that was killed leaves a lease behind, which lasts for 5 minutes.
            running.wait_for(
                lambda: any(life.ready_ms for life in running.lives()[1:]), 800, "answer after it"
            )
            running.has_healthz = trial.has_healthz
            death = running.lives()[0].death
            assert death is not None
            assert death.cause is Cause.V8_HEAP, f"taken for {death.cause}"
            # It listens before it answers: 2026.2.12 compiles its plugins meanwhile.
            stays = is_up(running, 3) and running.lives()[-1].ended_ms is None
            assert stays, f"it does not stay: {running.tell()}"
            assert len(running.lives()) == len(running.deaths()) + 1, running.tell()
            ends = ", ".join(each.signature for each in running.deaths())
            told.append(f"{ends}; then it lives")
        listed = trial.install.listed_sessions(made.state)
        assert made.chats <= listed, f"{len(made.chats - listed)} chats are not listed"


def ask_of_compaction(trial: Trial) -> None:
    """Compact, boot on what is left, and go the way back."""
    line = trial.line
    with incident(trial, "compacted", 20, ready=False) as made:
        after = {}
        with line.asking(COMPACTS, 150) as told:
            line.need(BOOT)
            answer = trial.ask(made.state, "compact", "--apply")
            assert answer["applied"], "nothing was applied"
            after = dict(split_members(made.store.read_bytes()))
            told.append(f"{len(made.entries)} entries to {len(after)}")
        with line.asking("boots, and `sessions` lists every chat", 400) as told:
            line.need(COMPACTS)
            _boot(trial, made, told)
            listed = trial.install.listed_sessions(made.state)
            told.append(f"{len(listed)} listed")
            assert made.chats <= listed, f"{len(made.chats - listed)} chats are not listed"
        with line.asking("restore puts everything back", 300) as told:
            line.need(COMPACTS)
            _restore(trial, made, after, told)
    with line.asking("compacts the sessions that it keeps itself", 150) as told:
        line.need(KILLED)
        answer = trial.ask(trial.folder / "killed" / "state", "compact")
        told.append(f"{len(answer['stores'])} stores")
        assert answer["stores"], "none of its sessions is found"


def _boot(trial: Trial, made: Incident, told: list[str]) -> None:
    """Boot it, after its own import where it asks for one."""
    if refuses_files(trial.line.release):
        with real_gateway.gateway(trial.install, made.state, port=made.port) as running:
            assert not running.settle(BOOTS_S), "it takes the file"
            assert REFUSES in running.output(), running.output()[-300:]
        assert made.store.exists(), "it refuses the file, and keeps it not"
        import_sessions(trial.install, made.state)
        told.append(f"refuses the file with exit {running.process.returncode}; its import takes it")
    with real_gateway.gateway(trial.install, made.state, port=made.port) as running:
        assert running.settle(BOOTS_S), running.output()[-300:]
        assert running.stays_up(3)


def _restore(trial: Trial, made: Incident, after: dict[str, str], told: list[str]) -> None:
    """Undo the compaction: in the file, or in the database that the release has made of it."""
    is_file = made.store.exists()
    trial.ask(made.state, "restore", "--all", "--apply")
    assert made.store.exists() is is_file, "a file lies beside a database"
    before = made.entries
    if is_file:
        again = dict(split_members(made.store.read_bytes()))
        same = sum(again.get(key) == text for key, text in before.items())
        told.append(f"{same} of {len(before)} entries byte for byte")
        changed = [key for key in before.keys() - after.keys() if again.get(key) != before[key]]
        assert not changed, f"{len(changed)} archived entries differ"
        left = again.keys()
    else:
        left = list_keys(made.state)
        told.append(f"{len(before.keys() & left)} of {len(before)} entries, into its database")
    lost = before.keys() - left
    assert not lost, f"{len(lost)} entries are not there"
