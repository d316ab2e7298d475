"""Charts as SVG: a line of measurements over a time, its limit, and marks of what happened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base.units import format_bytes, format_counted
from tailflip.flow.late import dataclass
from tailflip.report.page.html import Html, tag

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_WIDTH, _HEIGHT = 600, 140
_LEFT, _RIGHT, _TOP, _BOTTOM = 8, 8, 4, 4
_HOUR_MS = 3_600_000
MOST_POINTS = 240
MOST_MARKS = 60
_GAP_SHARE = 0.08  # a longer time without a measurement is no line


@dataclass(frozen=True)
class Mark:
    """A moment on a chart; `kind` is death or action, which have shapes of their own."""

    at_ms: int
    kind: str


@dataclass(frozen=True)
class Series:
    """Bytes over a time, oldest first, with the limit that they must stay below, if any."""

    name: str
    began_ms: int
    ended_ms: int
    points: tuple[tuple[int, int], ...]
    limit_bytes: int | None = None
    marks: tuple[Mark, ...] = ()


def thin(points: Sequence[tuple[int, int]], most: int = MOST_POINTS) -> tuple[tuple[int, int], ...]:
    """Keep at most so many points, of several the greatest: a peak must not go."""
    if len(points) <= most:
        return tuple(points)
    size = -(-len(points) // most)
    groups = (points[n : n + size] for n in range(0, len(points), size))
    return tuple(max(group, key=lambda point: point[1]) for group in groups)


def draw(series: Series) -> Html:
    """Draw a series with its caption."""
    top = _find_top(series)
    last = series.points[-1][1] if series.points else None
    words = [tag("strong", series.name)]
    if last is not None:
        words.append(tag("span", f"now {format_bytes(last)}"))
    if series.limit_bytes is not None and series.limit_bytes <= top:
        words.append(tag("span", f"- - limit {format_bytes(series.limit_bytes)}", cls="soft"))
    kinds = dict.fromkeys(mark.kind for mark in series.marks)
    words += [tag("span", f"{_SIGNS[kind]} {kind}", cls="soft") for kind in kinds]
    if not series.points:
        words.append(tag("span", "nothing was measured in this time", cls="soft"))
    chart = tag(
        "svg",
        tag("title", f"{series.name}, {format_counted(len(series.points), 'measurement')}"),
        *_draw_inside(series, top),
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
    )
    hours = round((series.ended_ms - series.began_ms) / _HOUR_MS)
    ago = f"{hours // 24} days ago" if hours > 48 else f"{hours} h ago"  # noqa: PLR2004
    foot = tag("p", tag("span", ago), tag("span", "now"), cls="foot")
    highest = tag("p", format_bytes(top), cls="soft top") if series.points else None
    return tag("figure", tag("figcaption", *words), highest, chart, foot)


_SIGNS = {"death": "\N{BLACK CIRCLE}", "action": "\N{BLACK SQUARE}"}


def _find_top(series: Series) -> int:
    """Find the greatest value to show: the limit only where it is not far above all points."""
    most = max((value for _, value in series.points), default=0)
    limit = series.limit_bytes
    if limit is not None and most and limit <= most * 20:
        most = max(most, limit)
    return int(most * 1.05) or 1


def _draw_inside(series: Series, top: int) -> Iterator[Html]:
    span = max(1, series.ended_ms - series.began_ms)
    inner_w, inner_h = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def x_of(at_ms: int) -> float:
        return round(_LEFT + inner_w * min(1, max(0, (at_ms - series.began_ms) / span)), 1)

    def y_of(value: int) -> float:
        return round(_TOP + inner_h * (1 - value / top), 1)

    base = y_of(0)
    yield tag("line", x1=_LEFT, y1=base, x2=_WIDTH - _RIGHT, y2=base, cls="axis")
    limit = series.limit_bytes
    if limit is not None and limit <= top:
        y = y_of(limit)
        yield tag("line", x1=_LEFT, y1=y, x2=_WIDTH - _RIGHT, y2=y, cls="limit")
    if len(series.points) == 1:
        ((at_ms, value),) = series.points
        yield tag("circle", cx=x_of(at_ms), cy=y_of(value), r=4, cls="point")
    elif series.points:
        yield tag("path", d=_trace(series, x_of, y_of, span), cls="series")
    for mark in series.marks[:MOST_MARKS]:
        x = x_of(mark.at_ms)
        if mark.kind == "death":
            yield tag("circle", cx=x, cy=base - 7, r=7, cls="death")
        else:
            yield tag("rect", x=x - 6, y=base - 13, width=12, height=12, cls="action")


def _trace(
    series: Series, x_of: Callable[[int], float], y_of: Callable[[int], float], span: int
) -> str:
    """Trace the line; where nothing was measured for long, it is broken."""
    steps, last_ms = [], None
    for at_ms, value in series.points:
        joined = last_ms is not None and at_ms - last_ms <= span * _GAP_SHARE
        steps.append(f"{'L' if joined else 'M'}{x_of(at_ms)} {y_of(value)}")
        last_ms = at_ms
    return "".join(steps)
