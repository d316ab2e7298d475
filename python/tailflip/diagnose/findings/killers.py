"""Findings about what kills the gateway again and again: named, or held by tailflip."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base.units import format_counted, format_time
from tailflip.diagnose.findings.entry import Entry, Found
from tailflip.flow.findings import Code, Severity
from tailflip.flow.work import WorkKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailflip.flow.conditions import HeldWork, NamedKiller


def _find_held_jobs(held_works: tuple[HeldWork, ...]) -> Iterator[Found]:
    for job in held_works:
        if job.kind is WorkKind.JOB:
            yield Found(
                job.title,
                f"job is held by tailflip since {format_time(job.since_ms)}: it does not run",
                hint=f"repair it, then `openclaw cron enable {job.key}`; or undo the hold while "
                f"the gateway is stopped: tailflip release {job.action_id} --apply",
            )


def _find_held_sessions(held_works: tuple[HeldWork, ...]) -> Iterator[Found]:
    for session in held_works:
        if session.kind is WorkKind.SESSION:
            yield Found(
                session.title,
                f"session is held by tailflip since {format_time(session.since_ms)}: it was in "
                "flight at each death, and is not resumed",
                hint="`/new` or `/reset` begins it anew; or, to have it resumed after a repair, "
                f"while the gateway is stopped: tailflip release {session.action_id} --apply",
            )


def _find_killers(killers: tuple[NamedKiller, ...]) -> Iterator[Found]:
    for killer in killers:
        yield Found(
            killer.words,
            f"in flight at the last {format_counted(killer.deaths, 'death')} in a row, and not "
            f"held: {killer.why_not_held}",
        )


ENTRIES = (
    Entry(
        Code.JOB_HELD,
        Severity.WARNING,
        _find_held_jobs,
        doc=(
            "A job is kept from running by tailflip: it ran again and again, or was in flight at "
            "each of the last deaths."
        ),
        hint="repair the job, then `openclaw cron enable`",
    ),
    Entry(
        Code.SESSION_HELD,
        Severity.WARNING,
        _find_held_sessions,
        doc=(
            "A session is kept from being resumed by tailflip: it was in flight at each of the "
            "last deaths."
        ),
        hint="`tailflip release` brings it back",
    ),
    Entry(
        Code.WORK_KILLS,
        Severity.ERROR,
        _find_killers,
        doc="A session or job was in flight at each of the last deaths, and is not held.",
        hint="`openclaw cron disable` for a job; `/reset` for a session while the gateway answers",
        ends_with_good_life=True,
    ),
)
