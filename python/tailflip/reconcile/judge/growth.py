"""Judges the growth of stores: how fast, by which jobs, and on which day it will hurt.

At most one measurement an hour goes on record. The slope is the median of all slopes
between two of them since the store last shrank (Theil-Sen). One odd measurement does not
change the median.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

from tailflip.flow.conditions import StoreGrowth
from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tailflip.flow.numbers import SurveyNumbers

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MOST_POINTS = 96
_LEAST_POINTS = 3
_LEAST_SPAN_MS = 3 * HOUR_MS
_MOST_JOBS = 20
_AHEAD_MS = 30 * DAY_MS
_SHRUNK = 0.9


@dataclass(frozen=True)
class Point:
    """One store at one moment; `jobs` are (runs, bytes) by job id, the biggest ones."""

    at_ms: int
    entries: int
    bytes: int
    jobs: Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class Growth:
    """The growth of a store in a day; `jobs` are (runs a day, bytes a day), biggest first."""

    entries_a_day: float
    bytes_a_day: float
    span_ms: int
    jobs: tuple[tuple[str, float, float], ...]


def measure(numbers: SurveyNumbers, at_ms: int) -> Point:
    """Measure a point of growth from a survey."""
    top = sorted(numbers.jobs, key=lambda job: -job.bytes)[:_MOST_JOBS]
    jobs = {job.job: (job.runs, job.bytes) for job in top}
    return Point(at_ms, numbers.entries, numbers.loaded_bytes, jobs)


def add_point(points: Sequence[Point], new: Point) -> tuple[Point, ...]:
    """Add a measurement, at most one an hour; drop the older ones when the store shrank."""
    if points and new.bytes < points[-1].bytes * _SHRUNK:
        return (new,)
    if points and new.at_ms - points[-1].at_ms < HOUR_MS:
        return tuple(points)
    return (*points, new)[-MOST_POINTS:]


def find_growth(points: Sequence[Point]) -> Growth | None:
    """Compute how a store grows; None while the measurements are too few."""
    if len(points) < _LEAST_POINTS or points[-1].at_ms - points[0].at_ms < _LEAST_SPAN_MS:
        return None
    jobs = []
    for job in points[-1].jobs:
        own = [(p.at_ms, *p.jobs.get(job, (0, 0))) for p in points]
        runs = slope([(at, count) for at, count, _ in own])
        size = slope([(at, bytes_) for at, _, bytes_ in own])
        if size > 0:
            jobs.append((job, runs, size))
    jobs.sort(key=lambda job: -job[2])
    return Growth(
        entries_a_day=slope([(p.at_ms, p.entries) for p in points]),
        bytes_a_day=slope([(p.at_ms, p.bytes) for p in points]),
        span_ms=points[-1].at_ms - points[0].at_ms,
        jobs=tuple(jobs),
    )


def judge_growth(
    store: str,
    growth: Growth,
    size_bytes: int,
    *,
    hurts_at_bytes: int | None,
    now_ms: int,
    names: Mapping[str, str],
) -> StoreGrowth | None:
    """Foretell that a store will be too big within 30 days at its present growth.

    Args:
        store: Its path.
        growth: As `find_growth` returns it.
        size_bytes: The present size.
        hurts_at_bytes: The size that the gateway's heap cannot load; None if unknown.
        now_ms: The moment of judgement.
        names: Of jobs, by id.
    """
    if hurts_at_bytes is None or growth.bytes_a_day <= 0 or size_bytes >= hurts_at_bytes:
        return None
    left_ms = (hurts_at_bytes - size_bytes) / growth.bytes_a_day * DAY_MS
    if left_ms > _AHEAD_MS:
        return None
    return StoreGrowth(
        store=store,
        entries_a_day=growth.entries_a_day,
        bytes_a_day=growth.bytes_a_day,
        span_ms=growth.span_ms,
        jobs=tuple((names.get(job) or job, runs, size) for job, runs, size in growth.jobs),
        hurts_at_bytes=hurts_at_bytes,
        hurts_ms=now_ms + int(left_ms),
    )


def to_fact(points: Sequence[Point]) -> list[Any]:
    """Convert measurements to the form of the ledger."""
    return [[p.at_ms, p.entries, p.bytes, {k: list(v) for k, v in p.jobs.items()}] for p in points]


def from_fact(fact: Any) -> tuple[Point, ...]:
    """Read measurements back; drop those that make no sense."""
    try:
        return tuple(
            Point(
                int(at),
                int(entries),
                int(size),
                {k: (int(v[0]), int(v[1])) for k, v in jobs.items()},
            )
            for at, entries, size, jobs in fact or ()
        )
    except (TypeError, ValueError, AttributeError, LookupError):
        return ()


def slope(points: Sequence[tuple[int, int]]) -> float:
    """Compute the median slope, in units a day."""
    slopes = [
        (b - a) / (later - at) * DAY_MS
        for i, (at, a) in enumerate(points)
        for later, b in points[i + 1 :]
        if later > at
    ]
    return median(slopes) if slopes else 0.0
