"""The breaker: decides whether the gateway may start again, when, and after which change.

A state machine over values, without effects. Its caller stores breaker and decision
before acting on them, so that it can go on after its own death:

    death -> decide -> (breaker, decision) -> stored -> reconsider, until a start is due
          -> hold_back -> note_start -> stored -> the gateway starts
          -> note_good_life, or the next death

Deaths are counted per signature and without a window of time: a loop of three days is a
loop. An end that the gateway itself wanted (a planned restart, an update) counts as well
if its life was not a good one: a gateway that restarts itself every ten seconds is in a loop.
The cause decides what is waited for: a changed file after a refused configuration, a cure after
lack of memory, the end of another gateway, and time after all other causes; where it is known how
long the cause lasts, so long.
Before it gives up after deaths that the gateway's work may bring about, it starts the gateway
safely (`safe_start`). An open breaker alerts once and lets a trial start through now and then.
Only a stop that somebody is proven to have asked for ends the guard. There are never more than 12
starts in 10 minutes. Source of the causes and their cures: `diagnose.causes`, measured on
2026.3.28, 2026.4.14 and 2026.9.6.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from tailflip.base.moments import passed_ms
from tailflip.base.units import format_counted, format_span
from tailflip.diagnose.causes import CAUSES, WAITS, Opens, Wish
from tailflip.flow.lives import (
    Breaker,
    BreakerState,
    Confidence,
    Decision,
    DecisionKind,
    Waiting,
)
from tailflip.supervise.backoff import start_delay_s, trial_delay_s
from tailflip.supervise.elapsed import find_left_ms
from tailflip.supervise.safe_start import choose_safe, start_safely
from tailflip.supervise.world import has_changed, mark_awaited

if TYPE_CHECKING:
    from tailflip.config.schema import RestartSettings
    from tailflip.flow.lives import Death, Moment
    from tailflip.supervise.world import World

# So many cures in a row without help count as none; so many deaths of any kind are a loop.
_CURED_ROWS = 2
_MIXED_ROWS = 3
MOST_STARTS, WITHIN_MS = 12, 600_000


def decide(breaker: Breaker, death: Death, world: World) -> tuple[Breaker, Decision]:
    """Choose the decision after a death; store breaker and decision before acting."""
    if _is_proven_stop(death) or (_is_wish(death) and breaker.is_good):
        return _follow(breaker, death, _describe_wish(death), world)
    limits = world.limits
    counted = _count(breaker, death, limits)
    told = _tell(counted, death, limits)
    if CAUSES[death.cause].of_other and world.other_alive:
        return _stand_aside(counted, told, world)
    mixed = _is_mixed(counted.deaths, limits)
    is_curable = world.held or CAUSES[death.cause].is_curable
    curable = is_curable and counted.row < _CURED_ROWS * limits.loop_deaths
    if world.cured and curable and not mixed:
        closed = Breaker(
            signature=counted.signature,
            row=counted.row,
            deaths=counted.deaths,
            starts=counted.starts,
        )
        return _start_after(closed, f"{told}; what may have caused it was changed", 1, world)
    opens = is_loop(counted, limits) or counted.state is not BreakerState.CLOSED
    if opens or _opens_at_once(death):
        return _open(counted, death, told, world)
    if _is_wish(death):
        return _follow(counted, death, told, world)
    step, least_s = max(counted.row, counted.deaths), CAUSES[death.cause].over_after_s
    return _start_after(counted, told, step, world, least_s)


def is_loop(breaker: Breaker, limits: RestartSettings) -> bool:
    """Say whether the counted deaths are a loop: of one kind, or of kinds that take turns."""
    return breaker.row >= limits.loop_deaths or _is_mixed(breaker.deaths, limits)


def wait_for(breaker: Breaker, waiting: Waiting, world: World) -> Breaker:
    """Remember the awaited change and its present fingerprint, so that a change shows."""
    return breaker.model_copy(
        update={"waiting": waiting, "marks": mark_awaited(waiting, world), "until_ms": None}
    )


def hold_back(breaker: Breaker, world: World) -> Decision | None:
    """Delay a start that would exceed the limit of starts; None if it may happen now."""
    if len(breaker.starts) < MOST_STARTS:
        return None
    passed = passed_ms(breaker.starts[-MOST_STARTS], world.moment)
    if passed is None or passed > WITHIN_MS:
        return None
    left_ms = WITHIN_MS + 1 - passed
    reason = (
        f"{MOST_STARTS} starts in {format_span(WITHIN_MS)} are enough; "
        f"next start in {format_span(left_ms)}"
    )
    return Decision(
        kind=DecisionKind.START,
        reason=reason,
        waiting=Waiting.TIME,
        at_ms=world.now_ms + left_ms,
        made=world.moment,
    )


def note_start(breaker: Breaker, now: Moment) -> Breaker:
    """Note a start; one that an open breaker lets through is a trial."""
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
            "is_good": False,
            "starts": (*breaker.starts, now)[-MOST_STARTS:],
        }
    )


def note_good_life(breaker: Breaker) -> Breaker:
    """Close the breaker and forget the row of deaths after a life that was long enough."""
    return Breaker(is_good=True, starts=breaker.starts)


def anchor(decision: Decision, world: World) -> Decision:
    """Re-base a stored decision on this boot's clock: the rest of its wait begins now."""
    is_counted = decision.made is not None and decision.made.boot == world.boot
    if decision.at_ms is None or is_counted:
        return decision
    left_ms = find_left_ms(decision, world.moment, _longest_ms(world))
    at_ms = world.now_ms + (left_ms or 0)
    return decision.model_copy(update={"at_ms": at_ms, "made": world.moment})


def is_due(decision: Decision, world: World) -> bool:
    """Say whether the time of a decision has come: to end, to start, or for a trial.

    False while another gateway lives: two on one state directory destroy its stores.
    """
    if decision.kind is DecisionKind.END:
        return True
    return _is_time(decision, world) and not world.other_alive


def reconsider(breaker: Breaker, decision: Decision, world: World) -> Decision:
    """Reconsider a stored decision, and turn it into a start if the awaited change happened.

    Returns:
        the same decision while nothing changed; a start for now after the change, or when a
        trial is due; where another gateway lives then, a wait for its end.
    """
    if decision.kind is DecisionKind.END:
        return decision
    if decision.waiting is Waiting.OTHER_INSTANCE:
        if world.other_alive:
            return decision
        return _start_now("the state directory and its port are free", world)
    if decision.kind is DecisionKind.START:
        wanted = _start_now(decision.reason, world) if _is_time(decision, world) else None
    elif has_changed(breaker, decision.waiting, world):
        wanted = _start_now(f"{WAITS[decision.waiting].noun} changed", world)
    elif _is_time(decision, world):
        wanted = _start_now(f"trial {breaker.trials + 1}: {decision.reason}", world)
    else:
        wanted = None
    if wanted is None:
        return decision
    if world.other_alive:
        return Decision(
            kind=DecisionKind.WAIT,
            reason="another gateway lives on the state directory, or its port is taken",
            waiting=Waiting.OTHER_INSTANCE,
            made=world.moment,
        )
    return wanted


def _follow(breaker: Breaker, death: Death, told: str, world: World) -> tuple[Breaker, Decision]:
    """Decide to start, wait or end, as the gateway wanted; delays grow with the row."""
    if _wish(death) is Wish.STOP:
        return breaker, Decision(kind=DecisionKind.END, reason=told, exit_code=0, made=world.moment)
    if _wish(death) is Wish.PARK:
        at_ms = world.now_ms + int(1000 * world.limits.trial_cap_s)
        parked = wait_for(breaker, CAUSES[death.cause].waiting, world)
        return parked.model_copy(update={"until_ms": at_ms}), Decision(
            kind=DecisionKind.WAIT,
            reason=told,
            waiting=parked.waiting,
            at_ms=at_ms,
            made=world.moment,
        )
    if _wish(death) is Wish.UPDATE:
        wait_s = world.limits.cap_s
    else:
        # The first restart is at once; the following ones are delayed by the length of the row.
        step = max(breaker.row, breaker.deaths) - 1
        wait_s = start_delay_s(world.limits, step, world.random) if step > 0 else 0.0
    if not wait_s:
        return breaker, _start_now(told, world)
    at_ms = world.now_ms + int(1000 * wait_s)
    waiting = breaker.model_copy(update={"waiting": Waiting.TIME, "until_ms": at_ms, "marks": None})
    return waiting, Decision(
        kind=DecisionKind.START, reason=told, waiting=Waiting.TIME, at_ms=at_ms, made=world.moment
    )


def _describe_wish(death: Death) -> str:
    if _wish(death) is Wish.STOP:
        return "; ".join(death.evidence)
    if _wish(death) is Wish.PARK:
        return "OpenClaw's updater wants it to stay stopped"
    if _wish(death) is Wish.UPDATE:
        return "an update of OpenClaw goes on"
    return "the gateway asked to be started again"


def _tell(counted: Breaker, death: Death, limits: RestartSettings) -> str:
    """Describe the death, and how often it happened in a row."""
    many = _count_words(counted.row)
    if not _is_wish(death):
        return f"{death.signature}, {many}"
    if _wish(death) is not Wish.RESTART or counted.row < limits.loop_deaths:
        return f"{_describe_wish(death)}, {many}"
    return f"it restarts itself again and again, {many}{_tell_pace(counted)}"


def _tell_pace(counted: Breaker) -> str:
    """Describe the median time between the starts of this row."""
    from statistics import median  # noqa: PLC0415 - a healthy start describes no crash loop

    starts = counted.starts[-counted.row :]
    apart = [each for pair in pairwise(starts) if (each := passed_ms(*pair)) is not None]
    return f", once every {format_span(median(apart))}" if apart else ""


def _count(breaker: Breaker, death: Death, limits: RestartSettings) -> Breaker:
    """Count a death; one of another kind begins a new row, unless kinds take turns."""
    deaths = breaker.deaths + 1
    if breaker.signature == death.signature:
        return breaker.model_copy(update={"row": breaker.row + 1, "deaths": deaths})
    if _is_mixed(deaths, limits):
        update = {"signature": death.signature, "row": 1, "deaths": deaths}
        return breaker.model_copy(update=update)
    return Breaker(
        signature=death.signature,
        row=1,
        deaths=deaths,
        starts=breaker.starts,
        in_vain=breaker.in_vain or breaker.safe is not None,
    )


def _is_mixed(deaths: int, limits: RestartSettings) -> bool:
    """Say whether the deaths of all kinds together are enough for a loop."""
    return deaths >= _MIXED_ROWS * limits.loop_deaths


def _stand_aside(counted: Breaker, told: str, world: World) -> tuple[Breaker, Decision]:
    """Wait until directory and port are free, without trials: they would be refused again."""
    opens = counted.row >= world.limits.loop_deaths
    newly = opens and counted.state is BreakerState.CLOSED
    state = BreakerState.OPEN if opens else BreakerState.CLOSED
    waiting = wait_for(counted, Waiting.OTHER_INSTANCE, world)
    return waiting.model_copy(update={"state": state}), Decision(
        kind=DecisionKind.WAIT,
        reason=told,
        waiting=Waiting.OTHER_INSTANCE,
        alert=newly,
        made=world.moment,
    )


def _start_after(
    counted: Breaker, told: str, step: int, world: World, least_s: float = 0.0
) -> tuple[Breaker, Decision]:
    """Start after the `step`-th delay of the backoff, and not before `least_s` seconds."""
    wait_s = max(start_delay_s(world.limits, step, world.random), least_s)
    at_ms = world.now_ms + int(1000 * wait_s)
    reason = f"{told}; next start in {format_span(1000 * wait_s)}" if wait_s else told
    waiting = counted.model_copy(update={"waiting": Waiting.TIME, "until_ms": at_ms, "marks": None})
    return waiting, Decision(
        kind=DecisionKind.START, reason=reason, waiting=Waiting.TIME, at_ms=at_ms, made=world.moment
    )


def _open(counted: Breaker, death: Death, told: str, world: World) -> tuple[Breaker, Decision]:
    """Open the breaker: allow trials, safe ones first; alert if it was not open before."""
    safe = choose_safe(counted, death, world.limits)
    if safe is not None:
        return start_safely(counted, safe, told, world)
    gave_up = counted.safe is not None
    if gave_up:
        told = f"{told}; safe starts were in vain"
        counted = counted.model_copy(
            update={"safe": None, "lived": None, "in_vain": True, "trials": 0}
        )
    wait_s = _choose_trial_s(counted, death, world)
    at_ms = world.now_ms + int(1000 * wait_s)
    waiting = CAUSES[death.cause].waiting
    opened = wait_for(counted, waiting, world).model_copy(
        update={"state": BreakerState.OPEN, "until_ms": at_ms}
    )
    return opened, Decision(
        kind=DecisionKind.WAIT,
        reason=f"{told}; {_tell_wait(waiting)}",
        waiting=waiting,
        at_ms=at_ms,
        alert=gave_up or counted.state is BreakerState.CLOSED,
        made=world.moment,
    )


def _wish(death: Death) -> Wish | None:
    return CAUSES[death.cause].wish


def _is_proven_stop(death: Death) -> bool:
    """Say whether it is known who asked for a stop; an end that looks like a stop is not enough."""
    return _wish(death) is Wish.STOP and death.confidence is Confidence.PROVEN


def _is_wish(death: Death) -> bool:
    """Say whether the gateway itself wanted its end: to restart, update or be parked."""
    return _wish(death) not in (None, Wish.STOP)


def _opens_at_once(death: Death) -> bool:
    """Say whether the first death of this cause opens the breaker, as a start cannot help."""
    opens = CAUSES[death.cause].opens
    return opens is Opens.ALWAYS or (opens is Opens.UNREADY and death.unready)


def _tell_wait(waiting: Waiting) -> str:
    until = WAITS[waiting].until
    return f"waiting until {until}" if until else "waiting before a trial start"


def _choose_trial_s(counted: Breaker, death: Death, world: World) -> float:
    """Choose how long an open breaker waits before its next trial."""
    limits = world.limits
    if _opens_at_once(death) or _wish(death) is Wish.PARK:
        return limits.trial_cap_s
    spared = limits.loop_deaths if _wish(death) is Wish.RESTART else 0
    if counted.trials < spared:
        # The gateway works in between, and a person may be changing the configuration again
        # and again: the first trials come as soon as after a death that is no loop yet.
        return start_delay_s(limits, max(counted.row, counted.deaths) - 1, world.random)
    wait_s = trial_delay_s(limits, counted.trials + 1 - spared, world.random)
    return max(wait_s, limits.cap_s) if _wish(death) is Wish.UPDATE else wait_s


def _is_time(decision: Decision, world: World) -> bool:
    return find_left_ms(decision, world.moment, _longest_ms(world)) == 0


def _longest_ms(world: World) -> int:
    """Return the longest wait that a decision may have."""
    return int(1000 * max(world.limits.cap_s, world.limits.trial_cap_s))


def _start_now(reason: str, world: World) -> Decision:
    return Decision(kind=DecisionKind.START, reason=reason, at_ms=world.now_ms, made=world.moment)


def _count_words(row: int) -> str:
    return "for the first time" if row == 1 else f"{format_counted(row, 'time')} in a row"
