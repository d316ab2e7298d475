"""Jobs that are stuck while the gateway lives, found long before its own two hours.

A job is marked as running from before its run to after the results of its whole batch are
applied; while it is, it is "already running" and never starts. So a mark that is older than
all runs of its batch may take, without anybody at work, is stuck. So is one whose run has
its line in the run log: line and mark change hands in the same moment.

Source: the scheduler's tick: `runningAtMs` is set for all due jobs at once, results are
applied after the last of them; time-outs from `timeout-policy.ts`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tailflip.flow import Finding
from tailflip.reconcile.markers import find_line
from tailflip.units import format_span, format_time

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from tailflip.flow import Gateway
    from tailflip.observe.jobs import Job
    from tailflip.observe.runlog import RunLine

STUCK, OVERDUE = "job-stuck", "job-overdue"
GRACE_MS = 5 * 60_000
_OVERDUE_MS = 15 * 60_000
_SAME_BATCH_MS = 1_000


@dataclass(frozen=True)
class StuckJob:
    """A job that will not run by itself, and why; `may_release` where its mark is the reason."""

    job: Job
    finding: Finding
    may_release: bool


def find_stuck(
    jobs: Sequence[Job],
    ends: Sequence[RunLine],
    gateway: Gateway,
    now_ms: int,
    at_work: Collection[str],
) -> tuple[StuckJob, ...]:
    """Find jobs that are stuck beside a living gateway.

    Args:
        jobs: As they are in the cron store now.
        ends: Of run logs.
        gateway: Only one that surely lives can have stuck jobs.
        now_ms: The moment of judgement.
        at_work: Jobs whose run holds its transcript's lock.
    """
    if gateway.alive is not True:
        return ()
    marked = [job for job in jobs if job.running_at_ms is not None]
    found: list[StuckJob] = []
    for job in marked:
        batch = [other for other in marked if _are_of_one_batch(job, other)]
        if not any(other.job_id in at_work for other in batch):
            stuck = _judge_mark(job, batch, ends, gateway, now_ms)
            found += [stuck] if stuck is not None else []
    if not marked and gateway.started_ms is not None and now_ms - gateway.started_ms > _OVERDUE_MS:
        found += [_tell_overdue(job, ends, now_ms) for job in jobs if _is_overdue(job, now_ms)]
    return tuple(found)


def _judge_mark(
    job: Job, batch: Sequence[Job], ends: Sequence[RunLine], gateway: Gateway, now_ms: int
) -> StuckJob | None:
    began = job.running_at_ms or 0
    age = now_ms - began
    line = find_line(job.job_id, began, ends)
    limit = None if any(j.timeout_ms == 0 for j in batch) else sum(j.timeout_ms for j in batch)
    if line is not None and now_ms - line.ended_ms > GRACE_MS:
        since = format_time(line.ended_ms)
        why = f"the run log says that its run ended {line.status} at {since}"
    elif gateway.started_ms is not None and began < gateway.started_ms:
        why = f"the mark is older than the gateway, which started {format_time(gateway.started_ms)}"
    elif limit is not None and age > limit + GRACE_MS:
        why = f"no run may take longer than {format_span(limit)}, and nobody is at work on it"
    else:
        return None
    evidence = [why]
    if not any(each.job_id == job.job_id for each in ends):
        evidence.append("its run history is empty")
    finding = Finding(
        STUCK,
        "warning",
        job.title,
        f"job is marked as running for {format_span(age)} and will not start again: {why}",
        f"`openclaw cron disable {job.job_id}`, then `openclaw cron enable {job.job_id}`, "
        "releases it; reconcile.release_stuck_jobs = true lets `tailflip watch` do that",
        tuple(evidence),
    )
    return StuckJob(job, finding, may_release=job.enabled)


def _are_of_one_batch(job: Job, other: Job) -> bool:
    return abs((job.running_at_ms or 0) - (other.running_at_ms or 0)) <= _SAME_BATCH_MS


def _is_overdue(job: Job, now_ms: int) -> bool:
    due = job.next_run_at_ms
    return job.enabled and due is not None and now_ms - due > _OVERDUE_MS


def _tell_overdue(job: Job, ends: Sequence[RunLine], now_ms: int) -> StuckJob:
    due = job.next_run_at_ms or now_ms
    own = [line.ended_ms for line in ends if line.job_id == job.job_id]
    last = f"its last run ended {format_time(max(own))}" if own else "its run history is empty"
    finding = Finding(
        OVERDUE,
        "warning",
        job.title,
        f"job was due {format_span(now_ms - due)} ago, and the scheduler is idle",
        "see `openclaw cron status`; restarting the gateway runs what it missed",
        (f"due since {format_time(due)}", last),
    )
    return StuckJob(job, finding, may_release=False)
