"""Judges how the room on a file system dwindles, and on which day it will be full.

At most one measurement an hour goes on record, for three days. The pace is the median of all
slopes between two of them, as for a store's growth. When room was made, the record begins anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tailflip.flow.conditions import DwindlingRoom
from tailflip.reconcile.judge.growth import DAY_MS, HOUR_MS, slope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailflip.observe.host.space import Space

Points = tuple[tuple[int, int], ...]  # (moment, free bytes), the oldest first

MOST_POINTS = 72
_LEAST_SPAN_MS = DAY_MS  # a download of an hour is no pace
_AHEAD_MS = 7 * DAY_MS
_MADE_SHARE = 20  # room was made, if so small a part of the file system more is free


def add_point(points: Points, space: Space, at_ms: int) -> Points:
    """Add a measurement, at most one an hour; begin anew when room was made."""
    new = (at_ms, space.free_bytes)
    if points and space.free_bytes - points[-1][1] > space.total_bytes // _MADE_SHARE:
        return (new,)
    if points and at_ms - points[-1][0] < HOUR_MS:
        return points
    return (*points, new)[-MOST_POINTS:]


def judge_room(points: Points, space: Space, now_ms: int) -> DwindlingRoom | None:
    """Foretell that a file system will be full within a week; None if nothing says so."""
    span_ms = points[-1][0] - points[0][0] if points else 0
    if span_ms < _LEAST_SPAN_MS:
        return None
    goes_bytes = -slope(points)
    if goes_bytes <= 0:
        return None
    left_ms = space.free_bytes / goes_bytes * DAY_MS
    if left_ms > _AHEAD_MS:
        return None
    return DwindlingRoom(
        str(space.path), space.free_bytes, goes_bytes, span_ms, now_ms + int(left_ms)
    )


def from_fact(fact: Any) -> Points:
    """Read measurements back; drop those that make no sense."""
    try:
        return tuple((int(at), int(free)) for at, free in fact or ())
    except (TypeError, ValueError):
        return ()


def to_fact(points: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Convert measurements to the form of the ledger."""
    return [list(each) for each in points]
