"""Remembers the storms of jobs whose runs a compaction removes: what follows must still name them.

Runs of a gateway that died are in no run log. Once the store has them no more, nothing else on the
disk tells which job filled it, and will fill it again.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from tailflip.base.errors import TailflipError
from tailflip.diagnose.storms import MOST_TOLD, RECENT_MS, find_storms
from tailflip.flow.conditions import Storm
from tailflip.ledger.facts import Facts
from tailflip.observe.records.reading import read_jobs
from tailflip.stores.formats import find_engine
from tailflip.stores.tables import Starts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailflip.base.workspace import Workspace
    from tailflip.flow.observed import Store
    from tailflip.observe.installation import Installation

_FACT = "removed-storms"


def find_in_store(installation: Installation, store: Store, now_ms: int) -> dict[str, Storm]:
    """Find the storms that a store's own runs tell, by job id; reads the store once."""
    starts = Starts(secrets.randbits(63))
    find_engine(store.path).gather_starts(store.path, starts, now_ms - RECENT_MS)
    listed = read_jobs(installation).jobs
    jobs = {starts.hash(job.job_id): job for job in listed}
    found: dict[str, Storm] = {}
    for job_hash, storm in find_storms((starts,), jobs):
        job = jobs.get(job_hash)
        job_id = job.job_id if job is not None else starts.name(job_hash)
        if job_id is not None and len(found) < MOST_TOLD:
            found[job_id] = storm
    return found


def remember(workspace: Workspace, state_dir: os.PathLike[str], found: Mapping[str, Storm]) -> None:
    """Put storms on record; of a job that has one there already, the one with more runs stays.

    Where the ledger cannot be used they are forgotten, and the compaction counts.
    """
    if not found:
        return
    with suppress(TailflipError, OSError):
        facts = Facts(workspace, os.path.realpath(state_dir))
        newest_ms = max(storm.last_ms for storm in found.values())
        known = recall(facts, newest_ms)
        for job_id, storm in found.items():
            if job_id not in known or known[job_id].runs <= storm.runs:
                known[job_id] = storm
        facts.put(_FACT, {job_id: list(storm) for job_id, storm in known.items()})


def recall(facts: Facts, now_ms: int) -> dict[str, Storm]:
    """Read the storms on record that are recent, by job id."""
    told = facts.get(_FACT)
    if not isinstance(told, dict):
        return {}
    storms = {job_id: Storm(*numbers) for job_id, numbers in told.items()}
    return {key: storm for key, storm in storms.items() if now_ms - storm.last_ms < RECENT_MS}
