"""The start of a life: on record first, and a command that is being replaced is tried again."""

from __future__ import annotations

import pytest

from tailflip.base.errors import ConfigInvalid, TryLater
from tailflip.flow.lives import Breaker, Decision, LifeMode
from tailflip.supervise import starting
from tailflip.supervise.new_life import new_life
from tailflip.supervise.starting import Starter


@pytest.fixture
def start(make_gateway, monkeypatch):
    """Start as often as there are outcomes; each is an error to raise, or what it gave."""
    gateway = make_gateway(flags={"restart.loop_deaths": "2"})
    starter = Starter(gateway)
    outcomes = []

    def begin(_gateway, life):
        assert gateway.history.lives.find(life.id) == life, "on record before the process is"
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(starting.Service, "start", begin)

    def go(*given):
        outcomes[:] = given
        return [starter.start(Breaker(row=1)) for _ in given]

    go.gateway = gateway
    return go


def test_a_command_that_could_never_be_started_is_an_error(start):
    with pytest.raises(ConfigInvalid, match="no such program"):
        start(ConfigInvalid("no such program"))
    [life] = start.gateway.history.lives.read()
    assert life.ended_ms is not None, "no life is left open that never began"


def test_what_the_system_refuses_may_be_tried_later(start):
    with pytest.raises(TryLater, match="cannot start the gateway: Resource"):
        start(OSError(11, "Resource temporarily unavailable"))


def test_a_command_that_could_be_started_is_tried_again_and_the_second_failure_alerts(start):
    process, *decisions = start("a process", ConfigInvalid("gone"), ConfigInvalid("gone"))
    assert process == "a process"
    assert all(isinstance(each, Decision) for each in decisions)
    assert [each.alert for each in decisions] == [False, True]
    waits = [each.at_ms - each.made.at_ms for each in decisions]
    assert 0 < waits[0] < waits[1]


def test_the_count_of_failures_begins_anew_after_a_start_that_went_well(start):
    gone = ConfigInvalid("gone")
    _, first, _, again = start("a process", gone, "a process", gone)
    assert again.at_ms - again.made.at_ms == first.at_ms - first.made.at_ms


def test_who_was_here_before_us_counts_too(start):
    gateway = start.gateway
    life = new_life(gateway, LifeMode.GATE, 1)
    gateway.record.begin_life(life.model_copy(update={"pid": 7}))
    [decision] = start(ConfigInvalid("gone"))
    assert "could be started before" in decision.reason
