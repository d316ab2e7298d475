"""A decision stands until a life begins or ends after it."""

from __future__ import annotations

import pytest

from support.incident_history import GUARD, make_death, make_life
from tailflip.base.durable import RealDisk
from tailflip.base.workspace import Workspace
from tailflip.flow.lives import Breaker, Decision, Waiting
from tailflip.ledger.history import History

WAIT = Decision(kind="wait", reason="a cure", waiting=Waiting.CURE)


@pytest.fixture
def history(home):
    return History(Workspace(home, RealDisk()), GUARD)


def decide(history, at_ms):
    history.decisions.record(WAIT, Breaker(), None, at_ms)


def test_nothing_stands_where_nothing_was_decided(history):
    assert history.decisions.read_standing() is None
    history.lives.begin(make_life("a", 100, 50))
    assert history.decisions.read_standing() is None


def test_a_refused_first_start_stands(history):
    decide(history, 100)
    assert history.decisions.read_standing() == WAIT


@pytest.mark.parametrize(("made_ms", "stands"), [(149, False), (150, True), (151, True)])
def test_it_stands_if_it_was_made_after_the_last_end(history, made_ms, stands):
    history.lives.begin(make_life("a", 100))
    history.lives.end(make_life("a", 100, 50, death=make_death()), b"")
    decide(history, made_ms)
    assert (history.decisions.read_standing() == WAIT) is stands


def test_it_stands_no_more_once_a_life_has_begun(history):
    decide(history, 100)
    history.lives.begin(make_life("a", 200))
    assert history.decisions.read_standing() is None
    history.lives.end(make_life("a", 200, 1000), b"")
    assert history.decisions.read_standing() is None


def test_lives_of_other_gateways_do_not_count(history, home):
    decide(history, 100)
    other = History(Workspace(home, RealDisk()), "/elsewhere")
    other.lives.begin(make_life("b", 200))
    assert history.decisions.read_standing() == WAIT
