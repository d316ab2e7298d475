"""Whether the gateway is down, and since when: from its lives on record, a pure function.

A start that is under way, and an end that somebody asked for, are neither good nor bad news: they
keep what is told as it is, and tell nothing new.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.diagnose.causes import CAUSES, WANTED, Wish
from tailflip.flow.late import dataclass
from tailflip.flow.lives import GOOD_LIFE_MS, LifeMode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailflip.flow.alerts import AlertSettings
    from tailflip.flow.lives import Life
    from tailflip.ledger.starts import JudgedStart

# Nobody asks whether such a gateway answers: that it lives is all that is known.
_UNASKED = (LifeMode.GATE, LifeMode.PREFLIGHT, LifeMode.UNSEEN)
_STOPPED = (Wish.STOP, Wish.PARK)


@dataclass(frozen=True)
class Outage:
    """How a gateway stands.

    Attributes:
        since_ms: since when it has not lived well; None while it does, or nobody knows.
        up_ms: since when the present life answers.
        deaths: the lives of this outage that ended, newest first.
        is_told: whether a person is to be told.
        due_ms: when it is to be told, should nothing change.
        is_kept: whether what was told before still holds.
    """

    since_ms: int | None = None
    up_ms: int | None = None
    deaths: tuple[Life, ...] = ()
    is_told: bool = False
    due_ms: int | None = None
    is_kept: bool = False


def find_outage(
    lives: Sequence[Life], start: JudgedStart | None, settings: AlertSettings, now_ms: int
) -> Outage:
    """Find out how the gateway stands.

    Args:
        lives: the last ones, newest first.
        start: the last one that a gate judged.
        settings: how long is too long.
        now_ms: the present moment.
    """
    newest = lives[0] if lives else None
    if start is not None and not start.go and (newest is None or start.at_ms >= newest.started_ms):
        return _judge_refused(lives, start, settings, now_ms)
    if newest is None:
        return Outage()
    if newest.ended_ms is None:
        return _judge_living(lives, newest, settings, now_ms)
    if not is_failure(newest):
        return Outage(is_kept=True)
    deaths = _list_deaths(lives)
    return _judge_down(deaths[-1].ended_ms or now_ms, deaths, settings, now_ms)


def is_failure(life: Life) -> bool:
    """Say whether a life ended, and nobody wanted it to."""
    if life.ended_ms is None:
        return False
    return life.end_known if life.death is None else life.death.cause not in WANTED


def is_good(life: Life) -> bool:
    """Say whether a life lasted long enough, once it had answered, to end an outage."""
    if life.ended_ms is None:
        return False
    began_ms = life.ready_ms
    if began_ms is None and life.mode in _UNASKED:
        began_ms = life.started_ms
    return began_ms is not None and life.ended_ms - began_ms >= GOOD_LIFE_MS


def _judge_refused(
    lives: Sequence[Life], start: JudgedStart, settings: AlertSettings, now_ms: int
) -> Outage:
    if start.other_pid is not None:
        return Outage(is_kept=True)  # another gateway lives, or something stands in its place
    deaths = _list_deaths(lives)
    since_ms = min([start.at_ms, *(each.ended_ms or start.at_ms for each in deaths)])
    return _judge_down(since_ms, deaths, settings, now_ms)


def _judge_living(
    lives: Sequence[Life], newest: Life, settings: AlertSettings, now_ms: int
) -> Outage:
    if newest.ready_ms is not None:
        return Outage(up_ms=newest.ready_ms)
    if newest.mode in _UNASKED:
        return Outage(up_ms=newest.started_ms)
    deaths = _list_deaths(lives[1:])
    if not deaths:
        return Outage(is_kept=True)
    since_ms = deaths[-1].ended_ms or now_ms
    # One death and a start that takes its time, as after a compaction, may well be healed.
    patience_ms = settings.patience_s if len(deaths) == 1 else 0
    until_ms = newest.started_ms + int(1000 * patience_ms)
    return _judge_down(since_ms, deaths, settings, now_ms, until_ms)


def _judge_down(
    since_ms: int,
    deaths: tuple[Life, ...],
    settings: AlertSettings,
    now_ms: int,
    patient_until_ms: int = 0,
) -> Outage:
    due_ms = max(since_ms + int(1000 * settings.down_after_s), patient_until_ms)
    is_told = now_ms >= due_ms
    return Outage(since_ms, None, deaths, is_told, None if is_told else due_ms, is_kept=True)


def _list_deaths(lives: Sequence[Life]) -> tuple[Life, ...]:
    """List the failed lives of this outage, newest first; the oldest may have lived well."""
    deaths = []
    for life in lives:
        if life.ended_ms is None or (
            life.death is not None and CAUSES[life.death.cause].wish in _STOPPED
        ):
            break
        if is_failure(life):
            deaths.append(life)
        if is_good(life):
            break
    return tuple(deaths)
