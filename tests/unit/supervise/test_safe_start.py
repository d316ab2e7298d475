"""Before a breaker gives up, it starts the gateway without cron jobs, then without channels."""

from __future__ import annotations

import dataclasses

import pytest

from support.breaker_worlds import NOW, make_seen, make_world
from tailflip.config.schema import RestartSettings
from tailflip.diagnose.causes import CAUSES
from tailflip.flow.lives import Breaker, BreakerState, Cause, DecisionKind, Moment, SafeMode
from tailflip.supervise.breaker import decide, note_good_life, note_start
from tailflip.supervise.process.environment import build_environment
from tailflip.supervise.safe_start import leave_safe, normal_delay_s, note_safe_life

LIMITS = RestartSettings(jitter=0)
WORLD = make_world(limits=LIMITS)
CRON, CHANNELS = SafeMode.CRON, SafeMode.CHANNELS
LOOP = Breaker(signature=str(Cause.UNKNOWN), row=2, deaths=2)


def die(breaker, cause=Cause.UNKNOWN, **changed):
    return decide(breaker, make_seen(cause), dataclasses.replace(WORLD, **changed))


def start(breaker):
    return note_start(breaker, Moment(at_ms=NOW))


def begin_safe():
    """A breaker whose gateway was started without its cron jobs."""
    return start(die(LOOP)[0])


def test_a_loop_is_started_without_cron_then_without_channels_then_given_up():
    breaker, first = die(LOOP)
    assert (breaker.safe, breaker.state) == (CRON, BreakerState.OPEN)
    assert (first.kind, first.alert, first.at_ms) == (DecisionKind.START, True, NOW + 4_000)
    assert "safe start without its cron jobs" in first.reason
    breaker, second = die(start(breaker))
    assert (breaker.safe, second.kind, second.alert) == (CHANNELS, DecisionKind.START, False)
    breaker, third = die(start(breaker))
    assert (breaker.safe, breaker.in_vain, breaker.trials) == (None, True, 0)
    assert (third.kind, third.alert, third.at_ms) == (DecisionKind.WAIT, True, NOW + 300_000)
    assert "safe starts were in vain" in third.reason
    breaker, fourth = die(start(breaker))
    assert (breaker.safe, fourth.kind, fourth.alert) == (None, DecisionKind.WAIT, False)


def test_what_lives_safely_is_started_as_usual_later_and_safely_again_if_it_dies():
    lives = note_safe_life(begin_safe(), CRON)
    assert (lives.lived, lives.row, lives.signature) == (CRON, 3, LOOP.signature)
    usual = start(leave_safe(lives))
    assert (usual.safe, usual.probes) == (None, 1)
    again, decision = die(usual)
    assert (again.safe, decision.kind) == (CRON, DecisionKind.START)
    waits = [normal_delay_s(lives.model_copy(update={"probes": n}), LIMITS) for n in range(6)]
    assert waits == [300, 600, 1200, 2400, 3600, 3600]
    assert note_good_life(usual) == Breaker(is_good=True, starts=usual.starts)


def test_a_safe_life_that_dies_after_it_was_good_is_begun_again_and_else_it_helps_no_more():
    lives = note_safe_life(begin_safe(), CRON)
    again, _ = die(lives)
    assert again.safe is CRON
    assert die(start(again))[0].safe is CHANNELS


def test_a_restart_that_was_wanted_leaves_out_the_same():
    lives = note_safe_life(begin_safe(), CRON)
    assert die(lives, Cause.PLANNED_RESTART)[0].safe is CRON


def test_what_was_cured_is_started_as_usual():
    cured, _ = die(begin_safe(), Cause.V8_HEAP, cured=True)
    assert (cured.safe, cured.lived, cured.state) == (None, None, BreakerState.CLOSED)


def test_a_death_of_another_kind_does_not_begin_safe_starts_anew():
    other, _ = die(begin_safe(), Cause.HANG)
    assert (other.safe, other.in_vain, other.row) == (None, True, 1)


@pytest.mark.parametrize("cause", [cause for cause in Cause if not CAUSES[cause].of_work])
def test_no_safe_start_is_made_for_what_no_work_brings_about(cause):
    loop = LOOP.model_copy(update={"signature": str(cause)})
    assert die(loop, cause)[0].safe is None


def test_it_can_be_switched_off():
    off = LIMITS.model_copy(update={"safe_start": False})
    breaker, decision = die(LOOP, limits=off)
    assert (breaker.safe, decision.kind) == (None, DecisionKind.WAIT)


@pytest.mark.parametrize(
    ("safe", "variable"),
    [(CRON, "OPENCLAW_SKIP_CRON"), (CHANNELS, "OPENCLAW_SKIP_CHANNELS")],
)
def test_what_is_left_out_is_said_in_the_gateways_environment(safe, variable):
    usual = build_environment({}, "a", external_mode=True)
    made = build_environment({}, "a", external_mode=True, safe=safe)
    assert made == {**usual, variable: "1"}
