"""May the gateway start again, when, and if not: what has to happen first?

A state machine over values; it does nothing. Who runs it stores breaker and decision
before acting on them, and so can go on after its own death:

    death -> decide -> (breaker, decision) -> stored -> reconsider, until a start is due
          -> note_start -> stored -> the gateway starts -> note_good_life, or the next death

Deaths are counted per signature and without a window of time: a loop of three days is a
loop. What cures a death decides what is waited for: a refused configuration for the file
to change, lack of memory for a cure, another gateway for its end, and the rest for time.
An open breaker alerts once and lets a trial start through now and then; only a stop that
somebody is proven to have asked for ends the guard. Source of the causes and their cures:
`diagnose.causes`, measured on 2026.3.28, 2026.4.14 and 2026.9.6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tailflip.diagnose.causes import KINDS, OUT_OF_MEMORY, WAITS, WANTED, Opens
from tailflip.flow import (
    Breaker,
    BreakerState,
    Cause,
    Confidence,
    Decision,
    Waiting,
)
from tailflip.restart.backoff import start_delay_s, trial_delay_s
from tailflip.units import format_span

if TYPE_CHECKING:
    from tailflip.flow import Death
    from tailflip.settings import RestartSettings

_OTHERS = frozenset({Cause.OTHER_INSTANCE, Cause.PORT_IN_USE})
_FAULTS = frozenset(cause for cause, kind in KINDS.items() if kind.opens is not Opens.LATER)
_CURABLE = OUT_OF_MEMORY | _FAULTS
# So much more room on a disk, or inodes, than at the death is a change.
_ROOM_BYTES, _ROOM_INODES = 64 << 20, 1000
# Cures that did not help so often in a row are none; deaths of any kind so often are a loop.
_CURED_ROWS = 2
_MIXED_ROWS = 3


@dataclass(frozen=True)
class World:
    """What the breaker must know of the world at one moment.

    Args:
        now_ms: wall clock.
        random: a number in [0, 1), for jitter.
        config_mark: fingerprint of what the gateway is started from: its configuration,
            and its release where that is known.
        stores_mark: fingerprint of its stores.
        state_mark: fingerprint of the databases and files that a migration changes.
        program_mark: fingerprint of its package, its node and its service file.
        room: free bytes and free inodes of each disk that it writes to.
        settled: nothing of state and program was changed in the last seconds.
        cured: since this death something was changed that may help: stores compacted or
            salvaged, a job held that kills it, or the configuration edited after the gateway
            had read it.
        other_alive: a gateway that is not ours lives on the state directory, or anybody
            holds its port.
        limits: delays and counts, in seconds and deaths.
    """

    now_ms: int
    random: float
    config_mark: str
    stores_mark: str
    cured: bool
    other_alive: bool
    limits: RestartSettings
    state_mark: str = ""
    program_mark: str = ""
    room: tuple[int, ...] = ()
    settled: bool = True


def decide(breaker: Breaker, death: Death, world: World) -> tuple[Breaker, Decision]:
    """Choose what to do after a death. Both results are to be stored before acting."""
    if death.cause in WANTED and not _is_doubtful_stop(death):
        return _follow(breaker, death, world)
    limits = world.limits
    counted = _count(breaker, death, limits)
    told = f"{death.signature}, {_count_words(counted.row)}"
    if death.cause in _OTHERS and world.other_alive:
        return _stand_aside(counted, told, world)
    mixed = _is_mixed(counted.deaths, limits)
    curable = death.cause in _CURABLE and counted.row < _CURED_ROWS * limits.loop_deaths
    if world.cured and curable and not mixed:
        closed = counted.model_copy(update={"state": BreakerState.CLOSED, "trials": 0})
        return _start_after(closed, f"{told}; what may have caused it was changed", 1, world)
    is_loop = mixed or counted.row >= limits.loop_deaths or counted.state is not BreakerState.CLOSED
    if is_loop or _opens_at_once(death):
        return _open(counted, death, told, world)
    return _start_after(counted, told, max(counted.row, counted.deaths), world)


def wait_for(breaker: Breaker, waiting: Waiting, world: World) -> Breaker:
    """Remember what is waited for, and how it looks now, so that a change of it shows."""
    return breaker.model_copy(
        update={"waiting": waiting, "marks": _mark(waiting, world), "until_ms": None}
    )


def note_start(breaker: Breaker, _now_ms: int) -> Breaker:
    """Remember that the gateway is about to start: of an open breaker, it is a trial."""
    if breaker.state is BreakerState.OPEN:
        state, trials = BreakerState.HALF_OPEN, breaker.trials + 1
    else:
        state, trials = breaker.state, breaker.trials
    return breaker.model_copy(
        update={
            "state": state,
            "trials": trials,
            "waiting": Waiting.NOTHING,
            "until_ms": None,
            "marks": None,
        }
    )


def note_good_life(_breaker: Breaker) -> Breaker:
    """Close it and forget the row: the gateway has lived long enough to count as well."""
    return Breaker()


def is_due(decision: Decision, world: World) -> bool:
    """Say whether the time of a decision has come: to end, to start, or for a trial.

    Never while another gateway lives: two on one state directory destroy its stores.
    """
    if decision.kind == "end":
        return True
    return _is_time(decision, world) and not world.other_alive


def reconsider(breaker: Breaker, decision: Decision, world: World) -> Decision:
    """Look at a stored decision again: has what it waits for happened?

    Returns:
        the same decision while nothing happened; a start for now when it did, or when a
        trial is due; a wait for another gateway that lives when a start would be.
    """
    if decision.kind == "end":
        return decision
    if decision.waiting is Waiting.OTHER_INSTANCE:
        if world.other_alive:
            return decision
        return _start_now("the other gateway is gone", world)
    if decision.kind == "start":
        wanted = _start_now(decision.reason, world) if _is_time(decision, world) else None
    elif _has_changed(breaker, decision.waiting, world):
        wanted = _start_now(f"{WAITS[decision.waiting].noun} changed", world)
    elif _is_time(decision, world):
        wanted = _start_now(f"trial {breaker.trials + 1}: {decision.reason}", world)
    else:
        wanted = None
    if wanted is None:
        return decision
    if world.other_alive:
        return Decision(
            kind="wait",
            reason="another gateway lives on the state directory, or its port is taken",
            waiting=Waiting.OTHER_INSTANCE,
        )
    return wanted


def _follow(breaker: Breaker, death: Death, world: World) -> tuple[Breaker, Decision]:
    """Do what the end was meant for; it is no failure and leaves the row as it is."""
    if death.cause is Cause.PLANNED_RESTART:
        return breaker, _start_now("the gateway asked to be started again", world)
    if death.cause is Cause.UPDATE:
        at_ms = world.now_ms + int(1000 * world.limits.cap_s)
        waiting = breaker.model_copy(update={"waiting": Waiting.TIME, "until_ms": at_ms})
        reason = "an update of OpenClaw goes on"
        return waiting, Decision(kind="start", reason=reason, waiting=Waiting.TIME, at_ms=at_ms)
    parked = "OpenClaw's updater wants it to stay stopped"
    reason = parked if death.cause is Cause.PARKED else "; ".join(death.evidence)
    return breaker, Decision(kind="end", reason=reason, exit_code=0)


def _count(breaker: Breaker, death: Death, limits: RestartSettings) -> Breaker:
    """Count a death. Another kind of it is another matter, unless kinds take turns."""
    deaths = breaker.deaths + 1
    if breaker.signature == death.signature:
        return breaker.model_copy(update={"row": breaker.row + 1, "deaths": deaths})
    if _is_mixed(deaths, limits):
        update = {"signature": death.signature, "row": 1, "deaths": deaths}
        return breaker.model_copy(update=update)
    return Breaker(signature=death.signature, row=1, deaths=deaths)


def _is_mixed(deaths: int, limits: RestartSettings) -> bool:
    """Say whether so many died of whatever that there is a loop in any case."""
    return deaths >= _MIXED_ROWS * limits.loop_deaths


def _stand_aside(counted: Breaker, told: str, world: World) -> tuple[Breaker, Decision]:
    """Wait until the other one is gone; no trial, for it would only be refused again."""
    is_loop = counted.row >= world.limits.loop_deaths
    newly = is_loop and counted.state is BreakerState.CLOSED
    state = BreakerState.OPEN if is_loop else BreakerState.CLOSED
    waiting = wait_for(counted, Waiting.OTHER_INSTANCE, world)
    return waiting.model_copy(update={"state": state}), Decision(
        kind="wait", reason=told, waiting=Waiting.OTHER_INSTANCE, alert=newly
    )


def _start_after(counted: Breaker, told: str, step: int, world: World) -> tuple[Breaker, Decision]:
    """Start after the `step`-th delay of the backoff."""
    wait_s = start_delay_s(world.limits, step, world.random)
    at_ms = world.now_ms + int(1000 * wait_s)
    reason = f"{told}; next start in {format_span(1000 * wait_s)}" if wait_s else told
    waiting = counted.model_copy(update={"waiting": Waiting.TIME, "until_ms": at_ms, "marks": None})
    return waiting, Decision(kind="start", reason=reason, waiting=Waiting.TIME, at_ms=at_ms)


def _open(counted: Breaker, death: Death, told: str, world: World) -> tuple[Breaker, Decision]:
    """Stop starting, except for trials; alert if it was not open before."""
    limits = world.limits
    if _opens_at_once(death):
        wait_s = limits.trial_cap_s
    else:
        wait_s = trial_delay_s(limits, counted.trials + 1, world.random)
    at_ms = world.now_ms + int(1000 * wait_s)
    waiting = KINDS[death.cause].waiting
    opened = wait_for(counted, waiting, world).model_copy(
        update={"state": BreakerState.OPEN, "until_ms": at_ms}
    )
    return opened, Decision(
        kind="wait",
        reason=f"{told}; {_tell_wait(waiting)}",
        waiting=waiting,
        at_ms=at_ms,
        alert=counted.state is BreakerState.CLOSED,
    )


def _is_doubtful_stop(death: Death) -> bool:
    """Say whether it looks like a stop, and nobody is known to have asked for one."""
    return death.cause is Cause.ASKED_STOP and death.confidence is not Confidence.PROVEN


def _opens_at_once(death: Death) -> bool:
    """Say whether a start changes nothing about a death: it opens the breaker at the first."""
    opens = KINDS[death.cause].opens
    return opens is Opens.ALWAYS or (opens is Opens.UNREADY and death.unready)


def _tell_wait(waiting: Waiting) -> str:
    until = WAITS[waiting].until
    return f"waiting until {until}" if until else "waiting before a trial start"


def _mark(waiting: Waiting, world: World) -> str | None:
    """Fingerprint what would end the wait. A new configuration is worth a start for any cause."""
    if waiting is Waiting.CURE:
        return f"{world.config_mark}\n{world.stores_mark}"
    if waiting is Waiting.STATE_CHANGE:
        return f"{world.config_mark}\n{world.state_mark}"
    if waiting is Waiting.PROGRAM_CHANGE:
        return f"{world.config_mark}\n{world.program_mark}"
    if waiting is Waiting.ROOM:
        return f"{world.config_mark}\n{' '.join(str(number) for number in world.room)}"
    if waiting in (Waiting.CONFIG_CHANGE, Waiting.TIME):
        return world.config_mark
    return None


def _has_changed(breaker: Breaker, waiting: Waiting, world: World) -> bool:
    """Say whether what is waited for is another than when the wait began.

    While files still change, a doctor or an installer is at work: a start now would meet
    half of it.
    """
    now = _mark(waiting, world)
    if breaker.marks in (None, now):
        return False
    if waiting is Waiting.ROOM:
        config, _, room = str(breaker.marks).rpartition("\n")
        return config != world.config_mark or _has_grown(room, world.room)
    return world.settled or waiting not in (Waiting.STATE_CHANGE, Waiting.PROGRAM_CHANGE)


def _has_grown(before: str, room: tuple[int, ...]) -> bool:
    """Say whether a disk has more room; bytes and inodes of each disk take turns."""
    old = [int(number) for number in before.split() if number.isdecimal()]
    steps = (_ROOM_BYTES, _ROOM_INODES)
    return any(
        new >= was + steps[n % 2] for n, (was, new) in enumerate(zip(old, room, strict=False))
    )


def _is_time(decision: Decision, world: World) -> bool:
    if decision.at_ms is None:
        return decision.kind == "start"
    left_ms = decision.at_ms - world.now_ms
    # No decision waits for longer than this: the clock was set back since it was made.
    longest_ms = 1000 * max(world.limits.cap_s, world.limits.trial_cap_s)
    return left_ms <= 0 or left_ms > longest_ms


def _start_now(reason: str, world: World) -> Decision:
    return Decision(kind="start", reason=reason, at_ms=world.now_ms)


def _count_words(row: int) -> str:
    return "for the first time" if row == 1 else f"{row} times in a row"
