"""Judges retry storms: runs of one job closer together than its schedule allows.

The incident: 2,075 runs of one job in 25 minutes. Each left two copies of the prompt in
the store, and the store killed the gateway.
"""

from __future__ import annotations

import re
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from tailflip.flow.conditions import JobStorm, Storm

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tailflip.flow.observed import Job, Schedule

LEAST_RUNS = 10
MOST_TOLD = 1_000
NAMELESS = "a job that is no longer in the cron store"
# Runs further apart are no storm: a person may try a daily job ten times in an hour.
_MOST_GAP_MS = 120_000
_UNKNOWN_MS = 60_000
RECENT_MS = 86_400_000  # older runs are not looked at
_MINUTE_MS = 60_000
_UNREAD = "its schedule stands in records that tailflip cannot read"
_NO_GAP = "its schedule sets no time between two runs"
_FIELD = re.compile(r"(\*|[0-9]+(?:-[0-9]+)?)(?:/([0-9]+))?")
_UNITS = ((1_000, 60), (60_000, 60), (3_600_000, 24))  # seconds, minutes, hours of an expression


def find_storm(starts_ms: Iterable[int], allowed_ms: int | None) -> tuple[Storm | None, int]:
    """Find the longest row of runs that are too close together, and count all runs.

    Args:
        starts_ms: When each run of one job began, the oldest first.
        allowed_ms: The least distance that its schedule allows; None if it sets none.

    Returns:
        None for a row of less than `LEAST_RUNS`.
    """
    limit = _find_limit(allowed_ms)
    worst: Storm | None = None
    count = begin = first = last = 0
    for count, at in enumerate(starts_ms, 1):
        if count == 1 or at - last >= limit:
            first, begin = at, count
        last = at
        runs = count - begin + 1
        if runs >= LEAST_RUNS and (worst is None or runs > worst.runs):
            worst = Storm(runs, first, at)
    return worst, count


def _find_limit(allowed_ms: int | None) -> int:
    """Find the distance from which on two runs are not too close together."""
    return min(_MOST_GAP_MS, (_UNKNOWN_MS if allowed_ms is None else allowed_ms) // 2)


def find_storms(
    sources: Sequence[Iterable[tuple[int, int]]], jobs: Mapping[int, Job]
) -> Iterator[tuple[int, Storm]]:
    """Find every job with a storm, in the memory that one job takes.

    Args:
        sources: The starts of each record of runs, as `tables.Starts` has them. The records
            overlap, and a run must not count twice: for each job, the one with more runs is
            taken.
        jobs: The jobs of the cron store, by the same hashes.
    """
    ordered = [_find_each(source, jobs) for source in sources]
    for job_hash, found in groupby(merge(*ordered, key=itemgetter(0)), key=itemgetter(0)):
        _, _, storm = max(found, key=itemgetter(1))
        if storm is not None:
            yield job_hash, storm


def _find_each(
    starts: Iterable[tuple[int, int]], jobs: Mapping[int, Job]
) -> Iterator[tuple[int, int, Storm | None]]:
    """Find each job's hash, the number of its known runs, and its storm."""
    for job_hash, runs in groupby(starts, key=itemgetter(0)):
        job = jobs.get(job_hash)
        allowed_ms = None if job is None else find_least_gap_ms(job.schedule)
        storm, count = find_storm(map(itemgetter(1), runs), allowed_ms)
        yield job_hash, count, storm


def describe(title: str, job: Job | None, storm: Storm, *, is_read: bool = True) -> JobStorm:
    """Describe a storm together with the distance that the job's schedule allows.

    Args:
        title: the job's name for people.
        job: None where the cron store has it no more, or could not be read.
        storm: of its runs.
        is_read: the cron store was read.
    """
    if job is None:
        return JobStorm(title, storm, None) if is_read else JobStorm(title, storm, None, _UNREAD)
    allowed_ms = find_least_gap_ms(job.schedule)
    return JobStorm(title, storm, allowed_ms, _NO_GAP, job.job_id)


def is_over(storm: Storm, job: Job | None, *, is_listed: bool = True) -> bool:
    """Say whether a job will not go on with its storm, by its schedule and its run history.

    A job that was disabled or deleted starts no run. One that ended well later, and was not started
    again at once, is as it should be.

    Args:
        storm: of the job's runs.
        job: None where the cron store does not have it.
        is_listed: the cron store lists all jobs that there are.
    """
    if job is None:
        return is_listed
    if not job.enabled:
        return True
    last_ms, allowed_ms = job.last_run_at_ms, find_least_gap_ms(job.schedule)
    ended_well = last_ms is not None and job.last_status == "ok"
    return ended_well and (last_ms or 0) - storm.last_ms >= _find_limit(allowed_ms)


def find_least_gap_ms(schedule: Schedule) -> int | None:
    """Find the least distance that a schedule allows between two runs; None if it sets none."""
    if schedule.kind == "every":
        return schedule.every_ms
    if schedule.kind == "cron" and schedule.expression is not None:
        return _read_expression(schedule.expression)
    return None


def _read_expression(expression: str) -> int | None:
    """Read the least distance off a cron expression of five fields, or six with seconds.

    Fields of days are ignored: days that are left out make distances longer.
    """
    fields = expression.split()
    if len(fields) == 5:  # noqa: PLR2004 - without seconds
        fields = ["0", *fields]
    if len(fields) != 6:  # noqa: PLR2004
        return None
    allowed = [_expand(field, size) for field, (_, size) in zip(fields, _UNITS, strict=False)]
    if not all(allowed):
        return _MINUTE_MS
    seconds, minutes, hours = allowed
    gaps = []
    for values, (unit, size), finer in (
        (seconds, _UNITS[0], ()),
        (minutes, _UNITS[1], (seconds,)),
        (hours, _UNITS[2], (seconds, minutes)),
    ):
        # Within a coarser unit the finer fields repeat, so the gap loses their span.
        lost = sum((max(each) - min(each)) * _UNITS[place][0] for place, each in enumerate(finer))
        steps = [
            (b - a) % size or size for a, b in zip(values, values[1:] + values[:1], strict=True)
        ]
        if len(values) > 1:
            gaps.append(min(steps) * unit - lost)
    day_ms = 86_400_000
    return max(1_000, min(gaps)) if gaps else day_ms


def _expand(field: str, size: int) -> list[int]:
    """List the values of one field; empty if its form is not read here."""
    values: set[int] = set()
    for part in field.split(","):
        match = _FIELD.fullmatch(part)
        if match is None:
            return []
        step = int(match[2] or 1)
        first, _, last = match[1].partition("-")
        if first == "*":
            low, high = 0, size - 1
        else:
            low = int(first)
            high = int(last) if last else (size - 1 if match[2] else low)
        if step < 1 or high >= size:
            return []
        values |= set(range(low, high + 1, step))
    return sorted(values)
