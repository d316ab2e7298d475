"""When a wait is looked at again, and what a refusal waits for."""

from __future__ import annotations

import pytest

from tailflip.base import clock
from tailflip.base.moments import read_moment
from tailflip.flow.lives import Breaker, Decision, DecisionKind, Waiting
from tailflip.supervise.event_loop import Loop
from tailflip.supervise.fingerprints import Fingerprints
from tailflip.supervise.states import Event
from tailflip.supervise.waiting import Wait


@pytest.fixture
def wait(make_gateway):
    made = Wait(Fingerprints(make_gateway()), Loop(), None)
    made.told = []
    made.tell = made.told.append
    return made


def left_s(wait):
    return wait.loop._timers["retry"][0] - clock.monotonic_s()


def decide(kind, wait_s=None, waiting=Waiting.TIME):
    now = read_moment()
    at_ms = None if wait_s is None else now.at_ms + int(1000 * wait_s)
    return Decision(kind=kind, reason="r", waiting=waiting, at_ms=at_ms, made=now)


@pytest.mark.parametrize(
    ("kind", "wait_s", "look_s"),
    [
        (DecisionKind.START, 900, 60),  # nothing but time: now and then is enough
        (DecisionKind.START, 10, 10),
        (DecisionKind.WAIT, 900, 5),  # a change is to be seen soon
        (DecisionKind.WAIT, 2, 2),
        (DecisionKind.WAIT, None, 5),
    ],
)
def test_it_is_looked_at_when_its_time_has_come_and_before(wait, kind, wait_s, look_s):
    wait.begin(decide(kind, wait_s))
    assert look_s - 1 < left_s(wait) <= look_s


def test_the_look_is_told_as_an_event(wait):
    wait.begin(decide(DecisionKind.START, 0))
    wait.loop.step()
    assert wait.told == [Event.LOOK_DUE]


def test_it_is_over_when_its_time_has_come(wait):
    wait.begin(decide(DecisionKind.START, 0))
    assert wait.is_over(Breaker())
    assert not wait.loop.has("retry")


def test_it_goes_on_and_is_looked_at_again(wait):
    decision = decide(DecisionKind.START, 900)
    wait.begin(decision)
    wait.stop()
    assert not wait.is_over(Breaker())
    assert wait.decision == decision
    assert wait.loop.has("retry")


def test_nothing_that_was_waited_for_is_over(wait):
    assert not wait.is_over(Breaker())


def test_a_refusal_waits_for_a_change_and_alerts_once(wait):
    breaker, first = wait.hold(Breaker(), Waiting.ROOM, "no room", alert=True)
    assert (first.kind, first.waiting, first.alert) == (DecisionKind.WAIT, Waiting.ROOM, True)
    assert first.at_ms - first.made.at_ms == 300_000, "what no fingerprint shows is tried again"
    assert breaker.marks is not None
    wait.begin(first)
    assert not wait.hold(breaker, Waiting.ROOM, "no room", alert=True)[1].alert
    assert wait.hold(breaker, Waiting.ROOM, "another reason", alert=True)[1].alert


def test_another_gateway_is_waited_for_without_a_trial(wait):
    assert wait.hold(Breaker(), Waiting.OTHER_INSTANCE, "pid 7")[1].at_ms is None
