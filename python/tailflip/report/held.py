"""Finds what tailflip keeps from running now: an action held it, and it still rests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base.errors import TailflipError
from tailflip.flow.conditions import HeldWork
from tailflip.flow.outcomes import ActionKind
from tailflip.flow.work import WorkKind
from tailflip.observe.records.reading import read_jobs
from tailflip.reconcile.write.cron_store import Changes
from tailflip.reconcile.write.holds import read_holds
from tailflip.reconcile.write.rows import is_as_left, read_rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tailflip.base.state_dir import Home
    from tailflip.flow.observed import Job
    from tailflip.flow.work import Work
    from tailflip.observe.installation import Installation
    from tailflip.reconcile.write.cron_store import EditRecord
    from tailflip.reconcile.write.holds import Hold
    from tailflip.stores.archive import Archived


def find_held(
    home: Home, actions: Iterable[Archived], installation: Installation | None, now_ms: int
) -> tuple[HeldWork, ...]:
    """Find the held jobs and sessions of an installation, by the newest action first.

    Args:
        home: where the records of actions are.
        actions: those of this gateway, newest first.
        installation: whose jobs; None where it cannot be read.
        now_ms: wall clock; a job whose next run was pushed out rests until then.
    """
    held = [each.action for each in actions if each.action.kind == ActionKind.HOLD]
    if not held or installation is None:
        return ()
    jobs = {job.job_id: job for job in read_jobs(installation).jobs}
    found: dict[Work, HeldWork] = {}
    for hold in read_holds(home, held):
        work, action = hold.work, hold.action
        job = jobs.get(work.key) if work.kind is WorkKind.JOB else None
        if _rests(hold, job, now_ms):
            title = work.key if job is None else job.title
            told = HeldWork(work.kind, work.key, title, action.id, action.created_ms)
            found.setdefault(work, told)
    return tuple(found.values())


def _rests(hold: Hold, job: Job | None, now_ms: int) -> bool:
    """Say whether what was held still rests by that: nobody let it run since."""
    if isinstance(hold.record, Changes):
        edits = (each for each in hold.record.edits if each.job_id == hold.work.key)
        return job is not None and any(_is_left(job, edit, now_ms) for edit in edits)
    rows = hold.record.rows
    try:
        return read_rows(hold.action.store_path, lambda db: is_as_left(db, rows))
    except TailflipError:
        return False


def _is_left(job: Job, edit: EditRecord, now_ms: int) -> bool:
    if edit.path == ("enabled",):
        return edit.after == (False,) and not job.enabled
    if edit.path[-1:] != ("nextRunAtMs",) or not edit.after:
        return False
    until = edit.after[0]
    return isinstance(until, int) and until > now_ms and job.next_run_at_ms == until
