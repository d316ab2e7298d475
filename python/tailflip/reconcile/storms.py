"""Retry storms: runs of one job closer together than its schedule allows.

The incident: 2,075 runs of one job in 25 minutes. Each left two copies of the prompt in
the store, and the store killed the gateway.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tailflip.flow import Finding
from tailflip.units import format_count, format_span, format_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tailflip.observe.jobs import Job, Schedule

CODE = "job-storm"
LEAST_RUNS = 10
# Further apart than this nobody calls a storm: somebody may try a daily job ten times in an hour.
_MOST_GAP_MS = 120_000
_UNKNOWN_MS = 60_000
_RECENT_MS = 86_400_000
_MINUTE_MS = 60_000
_FIELD = re.compile(r"(\*|[0-9]+(?:-[0-9]+)?)(?:/([0-9]+))?")
_UNITS = ((1_000, 60), (60_000, 60), (3_600_000, 24))  # seconds, minutes, hours of an expression


@dataclass(frozen=True)
class Storm:
    """A row of runs each soon after the one before; `interval_ms` is their mean distance."""

    runs: int
    first_ms: int
    last_ms: int

    @property
    def interval_ms(self) -> float:
        """How far apart they began."""
        return (self.last_ms - self.first_ms) / (self.runs - 1)


def find_storm(starts_ms: Sequence[int], allowed_ms: int | None) -> Storm | None:
    """Find the longest row of runs that are too close; None for none of `LEAST_RUNS`.

    Args:
        starts_ms: When each run of one job began, in any order.
        allowed_ms: The least distance that its schedule allows; None if it says nothing.
    """
    limit = min(_MOST_GAP_MS, (_UNKNOWN_MS if allowed_ms is None else allowed_ms) // 2)
    worst: Storm | None = None
    ordered = sorted(starts_ms)
    begin = 0
    for at in range(1, len(ordered) + 1):
        if at < len(ordered) and ordered[at] - ordered[at - 1] < limit:
            continue
        count = at - begin
        if count >= LEAST_RUNS and (worst is None or count > worst.runs):
            worst = Storm(count, ordered[begin], ordered[at - 1])
        begin = at
    return worst


def find_storms(
    starts: Mapping[str, Sequence[int]], jobs: Mapping[str, Job], now_ms: int
) -> dict[str, tuple[Storm, Finding]]:
    """Find every job with a storm within the last day."""
    found = {}
    for job_id, times in starts.items():
        job = jobs.get(job_id)
        allowed = None if job is None else find_least_gap_ms(job.schedule)
        storm = find_storm([at for at in times if now_ms - at < _RECENT_MS], allowed)
        if storm is not None:
            title = job.title if job is not None else job_id
            found[job_id] = (storm, _tell(title, storm, allowed))
    return found


def _tell(title: str, storm: Storm, allowed_ms: int | None) -> Finding:
    allows = (
        "it has no schedule any more"
        if allowed_ms is None
        else f"its schedule allows one every {format_span(allowed_ms)}"
    )
    return Finding(
        CODE,
        "warning",
        title,
        f"{format_count(storm.runs)} runs in {format_span(storm.last_ms - storm.first_ms)}, one "
        f"every {format_span(storm.interval_ms)}; {allows}",
        "look at its errors with `openclaw cron runs`; `openclaw cron disable` stops it, or "
        "reconcile.hold_jobs before a start",
        (f"from {format_time(storm.first_ms)} to {format_time(storm.last_ms)}",),
    )


def find_least_gap_ms(schedule: Schedule) -> int | None:
    """Say how close together a schedule lets two runs be; None if it does not say."""
    if schedule.kind == "every":
        return schedule.every_ms
    if schedule.kind == "cron" and schedule.expression is not None:
        return _read_expression(schedule.expression)
    return None


def _read_expression(expression: str) -> int | None:
    """Read the least distance off a cron expression of five fields, or six with seconds.

    Only as far as the hour: what days it leaves out only makes distances longer.
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
        # Within a coarser unit the finer fields repeat: their span is what gets lost.
        lost = sum((max(each) - min(each)) * _UNITS[place][0] for place, each in enumerate(finer))
        steps = [
            (b - a) % size or size for a, b in zip(values, values[1:] + values[:1], strict=True)
        ]
        if len(values) > 1:
            gaps.append(min(steps) * unit - lost)
    day_ms = 86_400_000
    return max(1_000, min(gaps)) if gaps else day_ms


def _expand(field: str, size: int) -> list[int]:
    """List the values of one field; empty if it is written in a way that we do not read."""
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
