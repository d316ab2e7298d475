"""Findings about cron jobs and their runs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tailflip.base.units import format_count, format_counted, format_span, format_time
from tailflip.diagnose.findings.entry import Entry, Found
from tailflip.diagnose.storms import is_over
from tailflip.flow.conditions import Storm
from tailflip.flow.findings import Code, Severity
from tailflip.flow.rules import KeyKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailflip.diagnose.findings.inputs import JobList
    from tailflip.flow.conditions import JobStorm, OverdueJob, StuckJob, UnreadRecord
    from tailflip.flow.numbers import JobNumbers, Tally
    from tailflip.flow.observed import Gateway, ObservedStore
    from tailflip.observe.installation import Installation

RAPID_INTERVAL_MS = 60_000
RAPID_RUNS = 10
_RUN_KIND = KeyKind.CRON_RUN
# `reconcile` ends entries of these kinds whatever the release; others are chats.
_ENDED_BY_US = (KeyKind.CRON_BASE, KeyKind.SUBAGENT)
_SHOWN = 10


def measure_interval_ms(job: JobNumbers) -> float | None:
    """Compute the mean time between a job's runs; None for too few runs."""
    if job.runs <= RAPID_RUNS or job.first_ms is None or job.last_ms is None:
        return None
    return (job.last_ms - job.first_ms) / (job.runs - 1)


def describe_storm(storm: JobStorm) -> str:
    """Describe how often a job ran, and how often it was meant to."""
    row, allowed_ms = storm.storm, storm.allowed_ms
    allows = (
        storm.why_none
        if allowed_ms is None
        else f"its schedule allows one every {format_span(allowed_ms)}"
    )
    return (
        f"{format_counted(row.runs, 'run')} in {format_span(row.last_ms - row.first_ms)}, one "
        f"every {format_span(row.interval_ms)}; {allows}"
    )


def describe_stuck(job: StuckJob, now_ms: int) -> str:
    """Describe how long a job is marked as running, and why no process works on it."""
    age = format_span(now_ms - job.marked_ms)
    return f"job is marked as running for {age} and will not start again: {job.why}"


def _find_broken_jobs(jobs: JobList, installation: Installation) -> Iterator[Found]:
    if jobs.problem is not None:
        yield Found(
            str(installation.cron_store),
            f"cron store cannot be read: {jobs.problem}; no job will run",
        )


def _find_unread(unread: tuple[UnreadRecord, ...]) -> Iterator[Found]:
    for each in unread:
        kinds = ", ".join(each.kinds)
        yield Found(kinds, f"what the gateway has on record cannot be read: {each.why}")


def _find_stuck_runs(
    surveyed: tuple[ObservedStore, ...], gateway: Gateway, jobs: JobList, knows_ends: bool
) -> Iterator[Found]:
    if gateway.alive is not False:
        return
    for each in surveyed:
        stuck = [job for job in _jobs(each) if job.status.get("running")]
        if stuck:
            count = sum(job.status["running"] for job in stuck)
            yield Found(
                str(each.store.path),
                f"{format_counted(count, 'cron run', 'claims', 'claim')} to be "
                "running, but no gateway is",
                tuple(
                    f"{jobs.name(job.job)}: {job.status['running']} of {job.runs}"
                    for job in stuck[:RAPID_RUNS]
                ),
                "" if knows_ends else _ENDS_UNKNOWN,
            )


def _find_chats_running(surveyed: tuple[ObservedStore, ...], gateway: Gateway) -> Iterator[Found]:
    if gateway.alive is not False:
        return
    for each in surveyed:
        running = [t for t in each.numbers.running if t.name != _RUN_KIND] if each.numbers else []
        if not running:
            continue
        count = sum(tally.entries for tally in running)
        steps = [_END_OURS]
        if any(tally.name not in _ENDED_BY_US for tally in running):
            steps.append(_LEAVE_CHATS)
        yield Found(
            str(each.store.path),
            f"{format_counted(count, 'entry', 'that is no cron run says', _NO_RUNS)} "
            '"running", but no gateway is',
            tuple(_tell(tally) for tally in running),
            "; ".join(steps),
        )


def _tell(tally: Tally) -> str:
    return f"{tally.name}: {format_count(tally.entries)}"


def _find_rapid_jobs(surveyed: tuple[ObservedStore, ...], jobs: JobList) -> Iterator[Found]:
    known = {job.job_id: job for job in jobs.jobs}
    for each in surveyed:
        for job in _jobs(each):
            interval_ms = measure_interval_ms(job)
            if interval_ms is None or interval_ms >= RAPID_INTERVAL_MS:
                continue
            row = Storm(job.runs, job.first_ms or 0, job.last_ms or 0)
            if not is_over(row, known.get(job.job), is_listed=jobs.is_listed):
                yield Found(
                    jobs.name(job.job),
                    f"{format_counted(job.runs, 'run')}, one every {format_span(interval_ms)} "
                    "on average",
                    (f"in {each.store.path}",),
                    f"{_LOOK_AT_RUNS}; `openclaw cron disable {job.job}` stops it",
                )


def _find_storms(storms: tuple[JobStorm, ...]) -> Iterator[Found]:
    for each in storms:
        between = f"from {format_time(each.storm.first_ms)} to {format_time(each.storm.last_ms)}"
        hint = f"{_LOOK_AT_RUNS}; `openclaw cron disable {each.job_id}` stops it, or {_HOLD}"
        yield Found(each.title, describe_storm(each), (between,), hint if each.job_id else "")


def _find_stuck_jobs(stuck: tuple[StuckJob, ...], now_ms: int) -> Iterator[Found]:
    for job in stuck:
        yield Found(
            job.title,
            describe_stuck(job, now_ms),
            (job.why,) if job.has_history else (job.why, _NO_HISTORY),
            f"`openclaw cron disable {job.job_id}`, then `openclaw cron enable {job.job_id}`, "
            "releases it; reconcile.release_stuck_jobs = true lets `tailflip watch` do that",
        )


def _find_overdue_jobs(overdue: tuple[OverdueJob, ...], now_ms: int) -> Iterator[Found]:
    for job in overdue:
        ended_ms = job.ended_ms
        last = _NO_HISTORY if ended_ms is None else f"its last run ended {format_time(ended_ms)}"
        yield Found(
            job.title,
            f"job was due {format_span(now_ms - job.due_ms)} ago, and the scheduler is idle",
            (f"due since {format_time(job.due_ms)}", last),
        )


def _find_orphaned_markers(jobs: JobList, gateway: Gateway) -> Iterator[Found]:
    if gateway.alive is not False:
        return
    for job in jobs.jobs:
        if job.running_at_ms is not None:
            yield Found(
                jobs.name(job.job_id),
                f"job is marked as running since {format_time(job.running_at_ms)}, "
                "but no gateway is",
            )


def _find_twin_jobs(jobs: JobList, installation: Installation) -> Iterator[Found]:
    enabled = [job for job in jobs.jobs if job.enabled and job.does]
    counts = Counter(job.does for job in enabled)
    names = {job.does: job.name or job.job_id for job in reversed(enabled)}
    twins = [(names[does], count) for does, count in counts.items() if count > 1]
    if twins:
        yield Found(
            str(installation.cron_store),
            f"{format_counted(len(twins), 'job')} enabled more than once, with the same name, "
            f"schedule and work: {format_counted(sum(n for _, n in twins), 'run')} where "
            f"{format_count(len(twins))} would do",
            tuple(f"{name}: {format_counted(count, 'time')}" for name, count in twins[:_SHOWN]),
        )


def _jobs(each: ObservedStore) -> tuple[JobNumbers, ...]:
    return each.numbers.jobs if each.numbers is not None else ()


_NO_RUNS = "that are no cron runs say"
_NO_HISTORY = "its run history is empty"
_ENDS_UNKNOWN = (
    "how they ended stands in records that tailflip cannot read: it leaves them alone until "
    "they are past the retention"
)
_END_OURS = "`tailflip reconcile --apply` ends sub-agents and base entries"
_LEAVE_CHATS = (
    "it ends chats before 2026.4.24, too. A later release may resume by that mark: there, and if "
    "the release is not known, chats are left to the gateway"
)
_LOOK_AT_RUNS = "look at its errors with `openclaw cron runs`"
_HOLD = "reconcile.hold_jobs before a start"


ENTRIES = (
    Entry(
        Code.CRON_STORE_INVALID,
        Severity.ERROR,
        _find_broken_jobs,
        doc="The cron store does not parse, so the gateway's cron does not start.",
        hint="compare it with jobs.json.bak beside it",
    ),
    Entry(
        Code.RECORDS_UNREAD,
        Severity.WARNING,
        _find_unread,
        doc=(
            "Records of the gateway are damaged, or of a schema that tailflip does not know. Runs "
            "that they may know more about are kept as they are."
        ),
        hint="`openclaw doctor` looks at a damaged database; a later tailflip may know the schema",
    ),
    Entry(
        Code.RUNS_STUCK,
        Severity.WARNING,
        _find_stuck_runs,
        doc=(
            "Cron runs in a store claim to be running although their gateway is dead; it never "
            "corrects that."
        ),
        hint="`tailflip compact --apply` ends or removes those that are proven over",
    ),
    Entry(
        Code.CHATS_RUNNING,
        Severity.WARNING,
        _find_chats_running,
        doc='Entries that are no cron runs say "running", and no gateway is.',
        hint=f"{_END_OURS}; {_LEAVE_CHATS}",
    ),
    Entry(
        Code.JOB_RAPID,
        Severity.WARNING,
        _find_rapid_jobs,
        doc="A store holds runs of a job that came within seconds of each other.",
        hint="look at the job's schedule and errors; disable it until it is repaired",
        rather=Code.JOB_STORM,
    ),
    Entry(
        Code.JOB_STORM,
        Severity.WARNING,
        _find_storms,
        doc="A job ran again and again, closer together than its schedule allows.",
        hint=f"{_LOOK_AT_RUNS}; `openclaw cron disable` stops it, or {_HOLD}",
    ),
    Entry(
        Code.JOB_STUCK,
        Severity.WARNING,
        _find_stuck_jobs,
        doc="A job's mark says that it runs, nobody is at work on it, and it never starts again.",
        hint="`openclaw cron disable`, then `openclaw cron enable`, releases it",
    ),
    Entry(
        Code.JOB_OVERDUE,
        Severity.WARNING,
        _find_overdue_jobs,
        doc="A job is long due, and the living gateway does not start it.",
        hint="see `openclaw cron status`; restarting the gateway runs what it missed",
    ),
    Entry(
        Code.MARKER_ORPHANED,
        Severity.WARNING,
        _find_orphaned_markers,
        doc="A job is marked as running, but its gateway is dead.",
        hint="the gateway clears it at its next start; newer ones run the job again at once",
    ),
    Entry(
        Code.JOBS_TWIN,
        Severity.WARNING,
        _find_twin_jobs,
        doc="The same job is there more than once, and each of them runs.",
        hint="`openclaw cron list`, then `openclaw cron rm ID` for those that are too many",
    ),
)
