"""Finds growth of memory towards its limit, and when it will reach the limit.

The memory of a garbage-collected process is like a saw: it climbs for seconds or minutes, then
falls back. A leak raises the floor of the saw; the teeth reach the limit. So time is cut into
slices, and the least sample of each slice makes the floor. The slope of the floor is the median
of the slopes between all pairs of slices (Theil-Sen), which a third of outliers cannot turn. A
floor that does not clearly rise, or that has stopped rising, is no trend.
"""

from __future__ import annotations

from itertools import combinations
from statistics import median
from typing import TYPE_CHECKING

from tailflip.flow.outcomes import Trend

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tailflip.flow.observed import Sample

_SLICES = 48  # 1,128 pairs: under a millisecond
_LEAST_SLICES = 6
# The floor must gain these over the span: a share of its level, and of its scatter.
_LEAST_GAIN = 0.03
_LEAST_SIGNAL = 3.0
_STEADY = 0.7  # share of pairs of slices that must rise
_STILL = 0.3  # share of the whole slope that the younger half's must reach

_Point = tuple[float, float]


def find_trend(
    samples: Sequence[Sample], limit_bytes: int, *, now_ms: int, min_span_s: float = 600
) -> Trend | None:
    """Find the growth of a life's memory.

    Args:
        samples: of one life, in any order and at any distance; those without memory, or later
            than `now_ms`, are left out.
        limit_bytes: the limit of memory.
        now_ms: the present; `hits_ms` is not before it.
        min_span_s: samples over less time than this are too few.

    Returns:
        None when memory does not clearly grow, or the samples are too few.
    """
    seen = sorted(
        (sample.at_ms / 1000, float(sample.rss_bytes))
        for sample in samples
        if sample.rss_bytes is not None and sample.at_ms <= now_ms
    )
    if not seen or seen[-1][0] - seen[0][0] < min_span_s:
        return None
    slices = list(_cut(seen))
    if len(slices) < _LEAST_SLICES:
        return None
    floor = [min(part, key=lambda point: point[1]) for part in slices]
    slope = _measure_slope(floor)
    if not _is_rising(floor, slope):
        return None
    now_s = now_ms / 1000
    ground = median(level - slope * at_s for at_s, level in floor)
    # From the floor up to the teeth, which reach the limit first.
    teeth = median(max(level - (ground + slope * at_s) for at_s, level in part) for part in slices)
    left_bytes = limit_bytes - (ground + slope * now_s + max(0.0, teeth))
    return Trend(
        bytes_per_s=slope,
        span_s=seen[-1][0] - seen[0][0],
        limit_bytes=limit_bytes,
        hits_ms=now_ms + int(1000 * max(0.0, left_bytes) / slope),
    )


def _cut(seen: list[_Point]) -> Iterable[list[_Point]]:
    """Cut samples into slices of equal time; empty slices are left out."""
    first_s, last_s = seen[0][0], seen[-1][0]
    width_s = (last_s - first_s) / _SLICES or 1.0
    parts: dict[int, list[_Point]] = {}
    for point in seen:
        parts.setdefault(min(_SLICES - 1, int((point[0] - first_s) / width_s)), []).append(point)
    return parts.values()


def _measure_slope(points: Sequence[_Point]) -> float:
    return median(
        (later[1] - earlier[1]) / (later[0] - earlier[0])
        for earlier, later in combinations(points, 2)
    )


def _is_rising(floor: Sequence[_Point], slope: float) -> bool:
    """Say whether the floor rises clearly, steadily, and up to the end."""
    if slope <= 0:
        return False
    gain = slope * (floor[-1][0] - floor[0][0])
    level = median(bytes_ for _, bytes_ in floor)
    ground = median(bytes_ - slope * at_s for at_s, bytes_ in floor)
    scatter = median(abs(bytes_ - slope * at_s - ground) for at_s, bytes_ in floor)
    if gain < _LEAST_GAIN * level or gain < _LEAST_SIGNAL * scatter:
        return False
    rises = [later[1] > earlier[1] for earlier, later in combinations(floor, 2)]
    if sum(rises) < _STEADY * len(rises):
        return False
    return _measure_slope(floor[len(floor) // 2 :]) >= _STILL * slope
