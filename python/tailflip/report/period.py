"""What a span of time was like for a gateway: how long it was up, and how it died. Pure."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

from tailflip.flow.late import dataclass
from tailflip.flow.lives import LifeMode
from tailflip.report.standing import is_unwanted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tailflip.flow.lives import Life
    from tailflip.flow.maintenance import Maintenance

Span = tuple[int, int]


@dataclass(frozen=True)
class DeathCount:
    """Deaths of one cause: how many, and how sure each verdict is."""

    cause: str
    confidences: tuple[tuple[str, int], ...]
    count: int
    last_ms: int


@dataclass(frozen=True)
class Period:
    """One span of time. `known_ms` of it are on record, with `up_ms` and `down_ms` in it.

    `planned_ms` is that part of `down_ms` that fell into a maintenance. `repair_ms` is the mean
    from a death to the next answer, None without a death that was followed by one.
    """

    began_ms: int
    ended_ms: int
    known_ms: int
    up_ms: int
    planned_ms: int
    starts: int
    deaths: tuple[DeathCount, ...]
    repair_ms: float | None

    @property
    def down_ms(self) -> int:
        """The time without an answering gateway."""
        return self.known_ms - self.up_ms

    @property
    def availability(self) -> float | None:
        """The share of the time that it was up, 0 to 1; None where nothing is on record."""
        return self.up_ms / self.known_ms if self.known_ms else None

    @property
    def death_count(self) -> int:
        """All deaths."""
        return sum(each.count for each in self.deaths)


def measure_period(
    lives: Sequence[Life],
    maintenances: Iterable[Maintenance],
    began_ms: int,
    ended_ms: int,
    *,
    seen_ms: int,
) -> Period:
    """Measure a span of time.

    Args:
        lives: all of that time, in any order, and one before it if there was one.
        maintenances: of that time.
        began_ms: its begin.
        ended_ms: its end, which is now.
        seen_ms: when a life without an end on record was last seen.
    """
    ordered = sorted(lives, key=lambda life: life.started_ms)
    first_ms = max(began_ms, ordered[0].started_ms) if ordered else ended_ms
    known = _clip([(first_ms, ended_ms)], began_ms, ended_ms)
    up = _clip(_join([span for life in ordered if (span := _find_up(life, seen_ms))]), *known[0])
    down = _subtract(known, up)
    works = [
        (each.began_ms, each.ended_ms if each.ended_ms is not None else ended_ms)
        for each in maintenances
        if each.is_hands_off
    ]
    dead = [life for life in ordered if is_unwanted(life) and _is_in(life, began_ms, ended_ms)]
    return Period(
        began_ms=began_ms,
        ended_ms=ended_ms,
        known_ms=_measure(known),
        up_ms=_measure(up),
        planned_ms=_measure(down) - _measure(_subtract(down, _join(works))),
        starts=sum(began_ms <= life.started_ms <= ended_ms for life in ordered),
        deaths=_count(dead),
        repair_ms=_measure_repair(ordered, began_ms, ended_ms),
    )


def _find_up(life: Life, seen_ms: int) -> Span | None:
    """Find from when to when a life answered; behind a gate nobody asks, and its start counts."""
    from_ms = life.ready_ms
    if from_ms is None and life.mode is not LifeMode.RUN:
        from_ms = life.started_ms
    if from_ms is None:
        return None
    until_ms = life.ended_ms if life.ended_ms is not None else seen_ms
    return (from_ms, until_ms) if until_ms > from_ms else None


def _is_in(life: Life, began_ms: int, ended_ms: int) -> bool:
    return life.ended_ms is not None and began_ms <= life.ended_ms <= ended_ms


def _count(dead: Sequence[Life]) -> tuple[DeathCount, ...]:
    causes: dict[str, list[Life]] = {}
    for life in dead:
        causes.setdefault(life.death.cause.value if life.death else "not-started", []).append(life)
    counts = [
        DeathCount(
            cause,
            tuple(Counter(each.death.confidence.value for each in of if each.death).most_common()),
            len(of),
            max(each.ended_ms or 0 for each in of),
        )
        for cause, of in causes.items()
    ]
    return tuple(sorted(counts, key=lambda each: (-each.count, each.cause)))


def _measure_repair(ordered: Sequence[Life], began_ms: int, ended_ms: int) -> float | None:
    """Measure the mean time from a death to the next answer."""
    took = []
    for life in ordered:
        if not is_unwanted(life) or not _is_in(life, began_ms, ended_ms):
            continue
        died_ms = life.ended_ms or 0
        later = (span for each in ordered if (span := _find_up(each, ended_ms)) is not None)
        back = next((span[0] for span in later if span[0] >= died_ms), None)
        took += [back - died_ms] if back is not None else []
    return sum(took) / len(took) if took else None


def _join(spans: Sequence[Span]) -> list[Span]:
    """Join spans that overlap."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def _clip(spans: Sequence[Span], began_ms: int, ended_ms: int) -> list[Span]:
    return [(max(a, began_ms), max(a, began_ms, min(b, ended_ms))) for a, b in spans]


def _subtract(spans: Sequence[Span], taken: Sequence[Span]) -> list[Span]:
    """Leave what of spans no other covers; both are in order and overlap nowhere."""
    left: list[Span] = []
    for start, end in spans:
        edges = [start, *(edge for a, b in taken for edge in (a, b)), end]
        inside = [min(max(edge, start), end) for edge in edges]
        left += [pair for n, pair in enumerate(pairwise(inside)) if n % 2 == 0]
    return [(a, b) for a, b in left if b > a]


def _measure(spans: Iterable[Span]) -> int:
    return sum(end - start for start, end in spans)
