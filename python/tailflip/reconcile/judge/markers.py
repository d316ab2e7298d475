"""Judges jobs that were in flight when their gateway died: clear the marker, hold the killers.

A marker of a dead owner says "already running" until the next start clears it. Then an
interrupted job runs at once again (2026.4.14; every one-shot on both versions), so a job that
kills the gateway kills it at every boot. Such a job (`diagnose.killers`) is held: disabled where
the user agreed, else its next run is pushed out.

The gateway must be provably stopped. Source: `isRunnableJob`, `recomputeNextRuns`
and `start` of both versions, read and run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base.units import format_span, format_time
from tailflip.flow.late import dataclass
from tailflip.flow.outcomes import ActionKind
from tailflip.ledger.runs import INTERRUPTED, SeenRun
from tailflip.reconcile.write.jsonedit import MISSING, Edit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tailflip.flow.capabilities import Capabilities
    from tailflip.flow.observed import Job
    from tailflip.observe.records.runlog import RunLine

HOLD_MS = 6 * 3_600_000
_RUNNING, _NEXT, _LAST = (("state", n) for n in ("runningAtMs", "nextRunAtMs", "lastRunAtMs"))


@dataclass(frozen=True)
class Change:
    """One change to a job, with its reason; `run` goes on record as interrupted."""

    kind: ActionKind  # MARKERS or HOLD
    job_id: str
    title: str
    edits: tuple[Edit, ...]
    words: tuple[str, ...]
    run: SeenRun | None = None


def plan_markers(
    jobs: Iterable[Job],
    ends: Sequence[RunLine],
    now_ms: int,
    capabilities: Capabilities,
    deaths: Sequence[tuple[int, int]] = (),
) -> tuple[Change, ...]:
    """Plan to clear every marker; the gateway that set them must be dead.

    Args:
        jobs: As they are in the cron store.
        ends: Of run logs; a run that ended before its result was applied was not interrupted.
        now_ms: The moment of judgement.
        capabilities: Those of the gateway that will start next.
        deaths: Start and end of gateways whose death is on record.
    """
    return tuple(
        _plan_marker(job, ends, now_ms, capabilities, deaths)
        for job in jobs
        if job.running_at_ms is not None
    )


def _plan_marker(
    job: Job,
    ends: Sequence[RunLine],
    now_ms: int,
    capabilities: Capabilities,
    deaths: Sequence[tuple[int, int]],
) -> Change:
    began_ms = job.running_at_ms or 0
    since = format_time(began_ms)
    words = [f"marked as running since {since}, but its gateway is gone"]
    edits = [Edit(job.job_id, _RUNNING, MISSING)]
    line = find_line(job.job_id, began_ms, ends)
    if line is not None:
        words.append(f"the run log says that this run ended {line.status}")
        run = SeenRun(
            job.job_id, began_ms, job.name, now_ms, line.ended_ms, line.status, tuple(words)
        )
    else:
        words.append("no run log has an end of it: it was interrupted")
        died = next((end for start, end in deaths if start <= began_ms <= end), None)
        run = SeenRun(job.job_id, began_ms, job.name, now_ms, died, INTERRUPTED, tuple(words))
        is_due = job.next_run_at_ms is not None and job.next_run_at_ms <= now_ms
        is_due = is_due and job.schedule.kind in ("every", "cron")
        if is_due and capabilities.lets_interrupted_jobs_wait:
            # Without the marker, this version would take the job for one that has not run yet.
            edits.append(Edit(job.job_id, _NEXT, MISSING))
            if job.last_run_at_ms is None or job.last_run_at_ms < began_ms:
                edits.append(Edit(job.job_id, _LAST, began_ms))
            words.append("it waits for its next slot, as this version would have it")
    return Change(ActionKind.MARKERS, job.job_id, job.title, tuple(edits), tuple(words), run)


def find_line(job_id: str, began_ms: int, ends: Sequence[RunLine]) -> RunLine | None:
    """Find the end of the run that a marker is about.

    A batch is marked before its runs begin, one after the other. So the run is the first that
    began no earlier than the marker.
    """
    after = [line for line in ends if line.job_id == job_id and line.started_ms >= began_ms]
    return min(after, key=lambda line: line.started_ms, default=None)


def plan_hold(job: Job, reason: str, now_ms: int, *, may_disable: bool) -> Change:
    """Plan to keep a job from running: for good with consent, else for `HOLD_MS`."""
    if may_disable:
        edits = [Edit(job.job_id, ("enabled",), False)]
        words = (reason, f"disabled; `openclaw cron enable {job.job_id}` lets it run again")
    else:
        until = now_ms + HOLD_MS
        edits = [Edit(job.job_id, _NEXT, until)]
        if job.schedule.kind == "cron":
            # A start runs a job that missed its schedule, whatever `nextRunAtMs` is.
            edits.append(Edit(job.job_id, _LAST, now_ms))
        pushed = f"its next run is pushed out by {format_span(HOLD_MS)}, to {format_time(until)}"
        words = (reason, f"{pushed}; reconcile.hold_jobs = true would disable it")
    if job.running_at_ms is not None:
        edits.append(Edit(job.job_id, _RUNNING, MISSING))
    return Change(ActionKind.HOLD, job.job_id, job.title, tuple(edits), words)
