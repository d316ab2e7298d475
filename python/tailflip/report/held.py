"""Finds the jobs that tailflip keeps from running now: an action held them, and they still rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base.errors import TailflipError
from tailflip.flow.conditions import HeldJob
from tailflip.flow.outcomes import ActionKind
from tailflip.observe.records.reading import read_jobs
from tailflip.reconcile.write.cron_store import Changes
from tailflip.reconcile.write.record import read_record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tailflip.base.state_dir import Home
    from tailflip.flow.observed import Job
    from tailflip.observe.installation import Installation
    from tailflip.reconcile.write.cron_store import EditRecord
    from tailflip.stores.archive import Archived


def find_held_jobs(
    home: Home, actions: Iterable[Archived], installation: Installation | None, now_ms: int
) -> tuple[HeldJob, ...]:
    """Find the held jobs of an installation, by its newest action first.

    Args:
        home: where the records of actions are.
        actions: those of this gateway, newest first.
        installation: whose jobs; None where it cannot be read.
        now_ms: wall clock; a job whose next run was pushed out rests until then.
    """
    holds = [each.action for each in actions if each.action.kind == ActionKind.HOLD]
    if not holds or installation is None:
        return ()
    jobs = {job.job_id: job for job in read_jobs(installation).jobs}
    found: dict[str, HeldJob] = {}
    for action in holds:
        try:
            edits = read_record(home, action.id, Changes).edits
        except (TailflipError, OSError):
            continue  # expired or damaged: `archive list` tells that
        for edit in edits:
            job = jobs.get(edit.job_id)
            if job is not None and _rests(job, edit, now_ms):
                held = HeldJob(job.job_id, job.title, action.id, action.created_ms)
                found.setdefault(job.job_id, held)
    return tuple(found.values())


def _rests(job: Job, edit: EditRecord, now_ms: int) -> bool:
    """Say whether a job still rests by this edit: nobody enabled it, or let it run, since."""
    if edit.path == ("enabled",):
        return edit.after == (False,) and not job.enabled
    if edit.path[-1:] != ("nextRunAtMs",) or not edit.after:
        return False
    until = edit.after[0]
    return isinstance(until, int) and until > now_ms and job.next_run_at_ms == until
