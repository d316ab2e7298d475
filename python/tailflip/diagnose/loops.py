"""Finds loops: deaths of the same signature in a row, or restarts without a rest.

The time window is not fixed: reported loops have a period of 45 s, 90 s, 6 minutes, 3 hours and
3 days, and a count of deaths per five minutes finds the first two alone. A loop is the same
signature without another one between.

A gateway that restarts itself by its own wish is in a loop too, if it has no rest in between:
every 10 s, or every 3 to 6 minutes for hours (both were reported).
"""

from __future__ import annotations

from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from tailflip.diagnose.causes import CAUSES, WANTED, Wish
from tailflip.flow.lives import Loop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailflip.flow.lives import Death, Life

# A life so many times longer than the others, and longer than this, is not part of their loop.
_ODD_FACTOR = 8
_ODD_LEAST_S = 3600.0
_PACE_DEATHS = 6  # the period is of the newest deaths
# So many restarts of good lives are a loop, if none of the lives is as long as this rest.
_GOOD_RESTARTS = 6
RESTFUL_S = 3600.0


def find_loop(lives: Sequence[Life], *, deaths: int, good_life_s: float) -> Loop | None:
    """Find the crash loop of the newest deaths, if there is one.

    Wanted ends neither count nor break a row. A life that is longer than 8 times its neighbours'
    median, and than an hour, breaks the row with its own death: three lives of three days are a
    loop; one of three days before two of a minute is not. A life whose end was not seen has no
    known length and breaks no row.

    Args:
        lives: of one gateway, in any order; a life without an end is left out.
        deaths: how many in a row make a loop.
        good_life_s: no shorter life breaks a row.
    """
    row = _list_row(lives)
    if not row or len(row) < deaths:
        return None
    least_s = max(good_life_s, _ODD_LEAST_S)
    # Newest first. Neighbours decide, so that an old loop does not affect a new one.
    kept = 0
    while kept < len(row):
        start = max(0, kept + 1 - deaths)
        window = range(start, min(len(row), start + deaths))
        others_s = [_length_s(row[at][0]) for at in window if at != kept]
        if _is_odd(row[kept][0], others_s, least_s):
            break
        kept += 1
    if not kept or kept < deaths:
        return None
    life, death, last_ms = row[0]
    ended_ms = [at_ms for _life, _death, at_ms in row[:kept]]
    newest_ms = ended_ms[: max(deaths, _PACE_DEATHS)]
    between_s = [(later - earlier) / 1000 for later, earlier in pairwise(newest_ms)]
    return Loop(
        cause=death.cause,
        signature=death.signature,
        deaths=kept,
        period_s=median(between_s or [_length_s(life)]),
        first_ms=ended_ms[-1],
        last_ms=last_ms,
    )


def find_restarts(lives: Sequence[Life], *, deaths: int, good_life_s: float) -> Loop | None:
    """Find the loop of a gateway that asks for a restart again and again.

    A loop is `deaths` restarts in a row after lives that were not good, or six after any lives of
    less than an hour. Other ends break the row; so does a longer life.

    Args:
        lives: of one gateway, in any order; a life without an end is left out.
        deaths: how many of not good lives in a row make a loop.
        good_life_s: the length of a good life that has answered.
    """
    ended = sorted(
        ((life, life.death, life.ended_ms) for life in lives if life.death and life.ended_ms),
        key=lambda each: (each[0].started_ms, each[0].id),
        reverse=True,
    )
    row, bad = [], 0
    for life, death, _ in ended:
        if CAUSES[death.cause].wish in (None, Wish.STOP) or _length_s(life) >= RESTFUL_S:
            break
        row.append(life)
        if bad == len(row) - 1 and not (life.ready_ms and _length_s(life) >= good_life_s):
            bad += 1
    if not row or (bad < deaths and len(row) < _GOOD_RESTARTS):
        return None
    _, death, last_ms = ended[0]
    begun_ms = [life.started_ms for life in row[: max(deaths, _PACE_DEATHS)]]
    between_s = [abs(later - earlier) / 1000 for later, earlier in pairwise(begun_ms)]
    return Loop(
        cause=death.cause,
        signature=death.signature,
        deaths=len(row),
        period_s=median(between_s or [_length_s(row[0])]),
        first_ms=row[-1].ended_ms or row[-1].started_ms,
        last_ms=last_ms,
    )


def _list_row(lives: Sequence[Life]) -> list[tuple[Life, Death, int]]:
    """List the newest lives that ended in the same death, newest first, with their ends."""
    ended = [
        (life, life.death, life.ended_ms)
        for life in lives
        if life.death is not None and life.ended_ms is not None
    ]
    failed = [each for each in ended if each[1].cause not in WANTED]
    failed.sort(key=lambda each: (each[2], each[0].started_ms, each[0].id), reverse=True)
    row = []
    for each in failed:
        if each[1].signature != failed[0][1].signature:
            break
        row.append(each)
    return row


def _length_s(life: Life) -> float:
    return max(0.0, life.uptime_s or 0.0)


def _is_odd(life: Life, others_s: list[float], least_s: float) -> bool:
    if not life.end_known or not others_s:
        return False
    length_s = _length_s(life)
    return length_s > least_s and length_s > _ODD_FACTOR * median(others_s)
