"""Judges jobs that are stuck while the gateway lives, long before its own limit of two hours.

A job is marked as running from before its run until the results of its whole batch are
applied. A marked job is "already running" and does not start. So a mark is stuck if it is older
than all runs of its batch may take and no process is at work. It is also stuck if its run has a
line in the run log: the line is written at the moment when the mark is cleared.

Source: the scheduler's tick: `runningAtMs` is set for all due jobs at once, results are
applied after the last of them; time-outs from `timeout-policy.ts`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from tailflip.base.units import format_span, format_time
from tailflip.flow.conditions import OverdueJob, StuckJob
from tailflip.reconcile.judge.markers import find_line

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from tailflip.flow.observed import Gateway, Job
    from tailflip.observe.records.runlog import RunLine

GRACE_MS = 5 * 60_000
_OVERDUE_MS = 15 * 60_000
_SAME_BATCH_MS = 1_000


class Stuck(NamedTuple):
    """The stuck jobs: by their marks, or by an idle scheduler."""

    marked: tuple[tuple[Job, StuckJob], ...] = ()
    overdue: tuple[OverdueJob, ...] = ()


def find_stuck(
    jobs: Sequence[Job],
    ends: Mapping[str, Sequence[RunLine]],
    gateway: Gateway,
    now_ms: int,
    at_work: Collection[str],
) -> Stuck:
    """Find jobs that are stuck beside a living gateway.

    Args:
        jobs: The jobs in the cron store now.
        ends: Lines of run logs, by job: at least those that `pick_ends` picks.
        gateway: One that is not proven to live has no stuck jobs.
        now_ms: The moment of judgement.
        at_work: Jobs whose run holds its transcript's lock.
    """
    if gateway.alive is not True:
        return Stuck()
    marked = [job for job in jobs if job.running_at_ms is not None]
    batches = _Batches(marked, at_work)
    found: list[tuple[Job, StuckJob]] = []
    for job in marked:
        batch = batches.find(job)
        if not batch.at_work:
            own = ends.get(job.job_id, ())
            stuck = _judge_mark(job, batch, own, gateway, now_ms)
            found += [(job, stuck)] if stuck is not None else []
    overdue: list[OverdueJob] = []
    if not marked and gateway.started_ms is not None and now_ms - gateway.started_ms > _OVERDUE_MS:
        overdue = [
            _describe_overdue(job, ends.get(job.job_id, ()))
            for job in jobs
            if _is_overdue(job, now_ms)
        ]
    return Stuck(tuple(found), tuple(overdue))


def pick_ends(jobs: Sequence[Job], lines: Iterable[RunLine]) -> dict[str, tuple[RunLine, ...]]:
    """Pick two lines for each job from any number of lines.

    They are the end of the run that its mark is about, if there is one, and the latest of all.
    """
    marks = {job.job_id: job.running_at_ms for job in jobs}
    own: dict[str, RunLine] = {}
    last: dict[str, RunLine] = {}
    for line in lines:
        job = line.job_id
        if job not in marks:
            continue
        began = marks[job]
        if began is not None and line.started_ms >= began:
            known = own.get(job)
            if known is None or line.started_ms < known.started_ms:
                own[job] = line
        if job not in last or line.ended_ms > last[job].ended_ms:
            last[job] = line
    return {job: (*((own[job],) if job in own else ()), line) for job, line in last.items()}


class _Batch(NamedTuple):
    """A batch: how long all its runs may take (None for ever), and how many are at work."""

    limit_ms: int | None
    at_work: int


class _Batches:
    """Marks in the order of time, with sums up to each, as there may be a hundred thousand."""

    def __init__(self, marked: Sequence[Job], at_work: Collection[str]) -> None:
        ordered = sorted(marked, key=_began)
        self._times = [_began(job) for job in ordered]
        self._limits = [0, *accumulate(job.timeout_ms for job in ordered)]
        self._endless = [0, *accumulate(int(job.timeout_ms == 0) for job in ordered)]
        self._at_work = [0, *accumulate(int(job.job_id in at_work) for job in ordered)]

    def find(self, job: Job) -> _Batch:
        """Find the batch of the jobs that were marked at the same time as one."""
        first = bisect_left(self._times, _began(job) - _SAME_BATCH_MS)
        end = bisect_right(self._times, _began(job) + _SAME_BATCH_MS)
        is_endless = self._endless[end] > self._endless[first]
        limit_ms = None if is_endless else self._limits[end] - self._limits[first]
        return _Batch(limit_ms, self._at_work[end] - self._at_work[first])


def _began(job: Job) -> int:
    return job.running_at_ms or 0


def _judge_mark(
    job: Job, batch: _Batch, ends: Sequence[RunLine], gateway: Gateway, now_ms: int
) -> StuckJob | None:
    began = _began(job)
    age = now_ms - began
    line = find_line(job.job_id, began, ends)
    if line is not None and now_ms - line.ended_ms > GRACE_MS:
        since = format_time(line.ended_ms)
        why = f"the run log says that its run ended {line.status} at {since}"
    elif gateway.started_ms is not None and began < gateway.started_ms:
        why = f"the mark is older than the gateway, which started {format_time(gateway.started_ms)}"
    elif batch.limit_ms is not None and age > batch.limit_ms + GRACE_MS:
        limit = format_span(batch.limit_ms)
        why = f"no run may take longer than {limit}, and nobody is at work on it"
    else:
        return None
    return StuckJob(job.job_id, job.title, began, why, has_history=bool(ends))


def _is_overdue(job: Job, now_ms: int) -> bool:
    due = job.next_run_at_ms
    return job.enabled and due is not None and now_ms - due > _OVERDUE_MS


def _describe_overdue(job: Job, ends: Sequence[RunLine]) -> OverdueJob:
    ended_ms = max((line.ended_ms for line in ends), default=None)
    return OverdueJob(job.title, job.next_run_at_ms or 0, ended_ms)
