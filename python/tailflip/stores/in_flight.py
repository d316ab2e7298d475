"""Reads what a gateway was at when it died, before its next start tidies that up.

Three kinds of evidence are read, each in the form that it has: a session that says "running"
and was touched in that life, a job's mark or receipt of that life, and a lock that the dead
process left beside a transcript. Where there are such locks, they alone count: a whole batch of
jobs is marked before the first of them runs.

Source: rows of 2026.9.6 and files of 2026.3.28 and 2026.4.14 after a SIGKILL in mid-turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base.errors import TailflipError
from tailflip.flow.work import Work, WorkKind, name_session
from tailflip.observe.records.reading import Records
from tailflip.observe.records.transcripts import read_left_locks
from tailflip.stores.formats import find_engine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailflip.flow.lives import Life
    from tailflip.flow.numbers import ListedEntry
    from tailflip.flow.observed import Job, Store
    from tailflip.observe.installation import Installation

_RUNNING, _MAIN = "running", "main"
MOST_WORKS = 50  # of one life on record; a gateway with more is at no single one


def read_in_flight(installation: Installation, life: Life) -> tuple[Work, ...] | None:
    """Read what was in flight at the end of a life; the gateway must be dead.

    Returns:
        None where a record cannot be read, or when the life began is not known.
    """
    if not life.begin_known:
        return None
    records, notes = Records(installation), list[str]()
    cron = records.read_jobs()
    if cron.problem is not None:
        return None
    jobs = {job.job_id: job for job in cron.jobs if _is_of(life, job.running_at_ms)}
    running = {
        *jobs,
        *(r.job_id for r in records.read_owned(notes).receipts if _is_of(life, r.started_ms)),
    }
    found, locked = {Work(kind=WorkKind.JOB, key=job) for job in running}, set[Work]()
    try:
        for store in installation.stores:
            held = read_left_locks(installation, store, life)
            for entry in _read_running(store, life, held):
                work = _name(entry, jobs)
                found.add(work)
                if entry.session in held:
                    own = work.job  # that of a job without a session of its own
                    locked.add(work if own is None else Work(kind=WorkKind.JOB, key=own))
    except (TailflipError, OSError):
        return None
    if notes:
        return None
    ordered = sorted(locked or found, key=lambda work: (work.kind, work.key))
    return tuple(ordered) if len(ordered) <= MOST_WORKS else None


def _is_of(life: Life, at_ms: int | None) -> bool:
    return at_ms is not None and at_ms >= life.started_ms


def _read_running(store: Store, life: Life, held: frozenset[str]) -> Iterator[ListedEntry]:
    """Stream the entries that say "running", and were touched in a life or are locked."""
    for entry in find_engine(store.path).entries(store.path):
        is_touched = _is_of(life, entry.updated_ms) or _is_of(life, entry.started_ms)
        if entry.status == _RUNNING and (is_touched or entry.session in held):
            yield entry


def _name(entry: ListedEntry, jobs: dict[str, Job]) -> Work:
    """Name an entry's work: its job, else its session; the main one may be at a job's turn."""
    if entry.job:
        return Work(kind=WorkKind.JOB, key=entry.job)
    own = entry.key.split(":")
    at_work = [job.job_id for job in jobs.values() if job.target == _MAIN]
    job = at_work[0] if len(at_work) == 1 and own[2:] == [_MAIN] else None
    return Work(kind=WorkKind.SESSION, key=name_session(entry.key), job=job)
