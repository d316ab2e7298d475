"""Proof of life and of death about the entries of one store, gathered before judging.

What is gathered here needs no look into the store: runs whose `finished` line stands in a
run log, sessions whose transcript is locked by a living owner, keys that sub-agent runs
without an end refer to. `reconcile.zombies` judges entry by entry, from more ledgers.
A `status` in the store is no evidence: it sticks to `running` after a crash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.flow import Evidence, OverRun
from tailflip.native import Ends
from tailflip.observe.runlog import RUN_KEY, read_run_logs
from tailflip.observe.subagents import read_subagents
from tailflip.observe.transcripts import read_locks

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tailflip.flow import Gateway, Store
    from tailflip.observe.installation import Installation
    from tailflip.observe.subagents import SubagentRun


def read_evidence(
    installation: Installation, store: Store, gateway: Gateway, now_ms: int
) -> Evidence:
    """Gather what is known about a store's entries; reads only, and never fails for good.

    What could not be read is in `notes`, and proves nothing either way.
    """
    notes: list[str] = []
    locks = read_locks(installation, store, gateway, now_ms)
    registry = read_subagents(installation.state_dir / "subagents" / "runs.json", notes)
    return Evidence(
        gateway=gateway,
        over=_read_over(installation.cron_store.parent / "runs", store.agent_id, notes),
        live_sessions=frozenset(s for s, held in locks.items() if held.alive is not False),
        protected_keys=list_protected(registry or ()),
        notes=tuple(notes),
    )


def list_protected(registry: Iterable[SubagentRun]) -> frozenset[str]:
    """Collect the keys that sub-agent runs without an end refer to."""
    return frozenset(key for run in registry if run.ended_ms is None for key in run.keys)


def _read_over(folder: Path, agent: str | None, notes: list[str]) -> Ends:
    """Read the ends of runs, in constant memory."""
    ends = Ends()
    for line in read_run_logs(folder, notes):
        match = RUN_KEY.fullmatch(line.key) if line.key is not None else None
        if match is not None and line.key is not None and agent in (None, match[1]):
            ends.add(OverRun(line.key, line.status, line.ended_ms, line.runtime_ms))
    return ends
