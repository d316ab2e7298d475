"""The heartbeat: a sign for a service that calls people when it stays out.

Whatever ends it is told by silence: tailflip killed, the host off, the network gone. What tailflip
itself sees is told at once, as a failure. `choose_word` and `is_due` are pure.
"""

from __future__ import annotations

import random
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from tailflip.base import clock, log
from tailflip.base.units import format_counted, format_span
from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from tailflip.config.telling import HeartbeatSettings
    from tailflip.flow.alerts import Delivery
    from tailflip.ledger.facts import Facts

FACT = "heartbeat"
_JITTER = 0.1
_INTERVALS = 3  # a gateway that answered within so many of them answers
# A word that changes is told at once; of a gateway that dies and starts all the time, no more often
# than by this share of the usual time.
_REST = 0.05
_MOST_CODES = 5


class BeatWord(StrEnum):
    """What a heartbeat says."""

    WELL = "well"
    ALIVE = "alive"  # the settings ask for no more
    STARTING = "starting"
    MAINTENANCE = "maintenance"
    FAIL = "fail"


@dataclass(frozen=True)
class Beat:
    """One heartbeat; `text` is one line of codes and counts, `answer_ms` the gateway's delay."""

    word: BeatWord
    text: str
    answer_ms: int | None = None


@dataclass(frozen=True)
class Health:
    """What is known of the gateway and of the messages about it.

    Attributes:
        silent_s: since when the gateway has given no good answer; None: as far as is known.
        answer_ms: how long that took.
        is_starting: a start, or a compaction before one, is under way and may still take its time.
        interval_s: between two questions to the gateway.
        critical: the codes of the open alerts that are critical.
        stuck: messages that have waited for more than an hour.
        in_maintenance: a person works on the gateway.
    """

    silent_s: float | None
    interval_s: float
    answer_ms: int | None = None
    is_starting: bool = False
    critical: tuple[str, ...] = ()
    stuck: int = 0
    in_maintenance: bool = False


@dataclass(frozen=True)
class LastBeat:
    """The last try, as it is on record; it is there before it is made.

    Attributes:
        attempt_ms: when it was made.
        due_ms: when the next one is due.
        word: what it said.
        delivered_ms: when one was last delivered.
        error: why the last try failed; "" if it did not.
        failures: how many in a row failed.
    """

    attempt_ms: int
    due_ms: int
    word: str
    delivered_ms: int | None = None
    error: str = ""
    failures: int = 0


def choose_beat(health: Health, when: str) -> Beat:
    """Choose what to say."""
    if health.in_maintenance:
        return Beat(BeatWord.MAINTENANCE, "maintenance", health.answer_ms)
    if when == BeatWord.ALIVE:
        return Beat(BeatWord.ALIVE, "alive", health.answer_ms)
    reason = _find_reason(health)
    if reason is not None:
        return Beat(BeatWord.FAIL, reason)
    if health.is_starting:
        return Beat(BeatWord.STARTING, "the gateway starts")
    return Beat(BeatWord.WELL, "the gateway answers", health.answer_ms)


def _find_reason(health: Health) -> str | None:
    if health.critical:
        listed = ", ".join(health.critical[:_MOST_CODES])
        more = len(health.critical) - _MOST_CODES
        return f"{listed} and {more} more" if more > 0 else listed
    if health.stuck:
        return f"{format_counted(health.stuck, 'message')} could not be delivered for an hour"
    if health.is_starting:
        return None
    if health.silent_s is None:
        return "the gateway does not answer"
    if health.silent_s <= _INTERVALS * health.interval_s:
        return None
    return f"the gateway has not answered for {format_span(1000 * health.silent_s)}"


def find_due_ms(last: LastBeat | None, word: BeatWord, every_s: float, now_ms: int) -> int:
    """Find out when the next heartbeat is due; at once where the clock was set back."""
    if last is None or last.attempt_ms > now_ms:
        return now_ms
    if last.word == word:
        return last.due_ms
    return min(last.due_ms, last.attempt_ms + int(1000 * _REST * every_s))


def keep_beating(
    facts: Facts,
    settings: HeartbeatSettings,
    health: Health,
    send: Callable[[Beat], Delivery],
    chance: float | None = None,
    *,
    slack_s: float = 0.0,
) -> int:
    """Send the heartbeat if it is due within `slack_s`; return when the next is, in milliseconds.

    The attempt is on record before it is made: whatever kills this process, the next one does not
    send again at once. A failure is put on record, and never raises.
    """
    now_ms = clock.now_ms()
    last = read_last(facts)
    beat = choose_beat(health, settings.when)
    due_ms = find_due_ms(last, beat.word, settings.every_s, now_ms)
    if now_ms < due_ms - int(1000 * slack_s):
        return due_ms
    share = 1 + _JITTER * (2 * (random.random() if chance is None else chance) - 1)  # noqa: S311
    next_ms = now_ms + int(1000 * settings.every_s * share)
    begun = LastBeat(now_ms, next_ms, beat.word)
    if last is not None:
        begun = replace(last, attempt_ms=now_ms, due_ms=next_ms, word=beat.word.value)
    _write(facts, begun)
    done = send(beat)
    if done.delivered:
        _write(facts, replace(begun, delivered_ms=clock.now_ms(), error="", failures=0))
    else:
        log.warning("the heartbeat was not delivered", error=done.error)
        _write(facts, replace(begun, error=done.error, failures=begun.failures + 1))
    return next_ms


def read_last(facts: Facts) -> LastBeat | None:
    """Read the last heartbeat on record."""
    found: Any = facts.get(FACT)
    return LastBeat(**found) if isinstance(found, dict) else None


def _write(facts: Facts, beat: LastBeat) -> None:
    names = ("attempt_ms", "due_ms", "word", "delivered_ms", "error", "failures")
    facts.put(FACT, {name: getattr(beat, name) for name in names})
