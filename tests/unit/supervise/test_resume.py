"""What a supervisor takes up: a living gateway, a death without a decision, a wait, or nothing."""

from __future__ import annotations

import pytest

from support.incident_history import make_death, make_life
from tailflip.base import clock
from tailflip.base.moments import read_moment
from tailflip.flow.lives import Breaker, Cause, Decision, DecisionKind, LifeMode, Waiting
from tailflip.supervise import resume
from tailflip.supervise.fingerprints import Fingerprints
from tailflip.supervise.resume import Left, find_left

BEGAN_MS = 1_800_000_000_000


@pytest.fixture
def gateway(make_gateway, monkeypatch):
    monkeypatch.setattr(resume.Service, "adopt", lambda *_: None)
    return make_gateway()


def find(gateway):
    return find_left(gateway, Breaker(), Fingerprints(gateway))


def record(gateway, lasted_ms=None, **known):
    life = make_life("a", BEGAN_MS, lasted_ms, guard=gateway.name, **known)
    gateway.record.begin_life(life)
    return life


def decide(gateway, kind, life_id="a", made=None):
    made = made or read_moment()
    decision = Decision(
        kind=kind, reason="r", waiting=Waiting.TIME, at_ms=made.at_ms + 60_000, made=made
    )
    gateway.record.record_decision(decision, Breaker(row=1), life_id)
    return decision


def test_nothing_was_left_before_the_first_start(gateway):
    assert find(gateway) == Left()


def test_a_gateway_that_lives_on_is_taken_up(gateway, monkeypatch):
    life = record(gateway)
    monkeypatch.setattr(resume.Service, "adopt", lambda _gateway, last: last)
    assert find(gateway) == Left(service=life)


@pytest.mark.parametrize("mode", [LifeMode.GATE, LifeMode.PREFLIGHT, LifeMode.UNSEEN])
def test_a_gateway_that_others_started_is_not_ours_to_take_up(gateway, monkeypatch, mode):
    record(gateway, mode=mode)
    monkeypatch.setattr(resume.Service, "adopt", lambda _gateway, last: last)
    assert find(gateway).service is None


def test_a_life_without_an_end_is_ended_where_another_gateway_lives(gateway, monkeypatch):
    record(gateway)
    monkeypatch.setattr(type(gateway), "find_other", lambda *_: object())
    assert find(gateway) == Left()
    [life] = gateway.history.lives.read()
    assert (life.ended_ms is not None, life.end_known) == (True, False)


def test_a_death_that_no_decision_followed_is_decided_now(gateway):
    death = make_death(Cause.NATIVE_CRASH)
    life = record(gateway, 5_000, death=death)
    assert find(gateway) == Left(end=(death, life))


@pytest.mark.parametrize("kind", [DecisionKind.START, DecisionKind.WAIT])
def test_a_rest_is_none_the_next_guard_asks_whether_a_maintenance_lasts(gateway, kind):
    record(gateway, 5_000, death=make_death())
    rest = Decision(
        kind=kind, reason="r", waiting=Waiting.MAINTENANCE, at_ms=None, made=read_moment()
    )
    gateway.record.record_decision(rest, Breaker(), "a")
    assert find(gateway) == Left()


@pytest.mark.parametrize("kind", [DecisionKind.START, DecisionKind.WAIT])
def test_a_wait_is_resumed(gateway, kind):
    record(gateway, 5_000, death=make_death())
    decision = decide(gateway, kind)
    assert find(gateway) == Left(decision=decision)


def test_a_guard_that_was_ended_on_purpose_starts_anew(gateway):
    record(gateway, 5_000, death=make_death())
    decide(gateway, DecisionKind.END)
    assert find(gateway) == Left()


def test_a_wait_of_an_earlier_boot_counts_by_this_ones_clock_and_is_recorded_so(gateway):
    record(gateway, 5_000, death=make_death())
    now_ms = clock.now_ms()
    made = read_moment().model_copy(update={"boot": "another", "at_ms": now_ms - 20_000})
    decide(gateway, DecisionKind.WAIT, made=made)
    left = find(gateway).decision
    assert left.made.boot == read_moment().boot
    assert 35_000 <= left.at_ms - left.made.at_ms <= 40_000, "what is left of it"
    assert gateway.record.read_standing_decision() == left
