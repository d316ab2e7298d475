"""A decision stands until a life begins or ends after it, and is written with its breaker."""

from __future__ import annotations

import os

import pytest

from support.incident_history import make_death, make_life
from support.ledger_rows import DISK, GUARD, commits
from support.stores import NOW_MS, FaultyDisk
from tailflip.base.workspace import Workspace
from tailflip.flow.lives import Breaker, BreakerState, Decision, Waiting
from tailflip.ledger.history import History

WAIT = Decision(kind="wait", reason="a cure", waiting=Waiting.CURE)


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
    other = History(Workspace(home, DISK), "/elsewhere")
    other.lives.begin(make_life("b", 200))
    assert history.decisions.read_standing() == WAIT


def test_decision_and_breaker_come_back_together(history):
    breaker = Breaker(state=BreakerState.OPEN, signature="s", row=3, trials=1, marks="m")
    first = Decision(kind="start", reason="first")
    last = Decision(kind="wait", reason="last", at_ms=NOW_MS + 5, alert=True)
    history.decisions.record(first, Breaker(row=1), None, NOW_MS)
    history.decisions.record(last, breaker, "l1", NOW_MS - 1)
    assert history.decisions.read_last().decision == last
    assert history.decisions.read_breaker() == breaker
    made = history.decisions.read_since(NOW_MS)
    assert [(each.at_ms, each.life_id, each.decision) for each in made] == [(NOW_MS, None, first)]


def test_killed_at_any_effect_a_decision_is_there_with_its_breaker_or_neither(home):
    """A supervisor that restarted with half of it would count a death twice, or not at all."""
    History(Workspace(home, DISK), GUARD).decisions.record(
        Decision(kind="start", reason="old"), Breaker(row=1), None, NOW_MS
    )
    pid = os.fork()
    if pid == 0:
        dying = History(Workspace(home, FaultyDisk(1)), GUARD)
        dying.decisions.record(Decision(kind="end", reason="new"), Breaker(row=2), None, NOW_MS)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    after = History(Workspace(home, DISK), GUARD)
    made = after.decisions.read_last()
    assert made is not None
    assert (made.decision.reason, after.decisions.read_breaker().row) == ("old", 1)
    after.decisions.record(Decision(kind="end", reason="new"), Breaker(row=2), None, NOW_MS)
    assert after.decisions.read_breaker().row == 2


def test_a_breaker_that_did_not_change_is_not_written(counted):
    counted.decisions.record_breaker(Breaker())
    assert commits(counted) == 0
    counted.decisions.record_breaker(Breaker(row=1))
    counted.decisions.record_breaker(Breaker(row=1))
    assert commits(counted) == 1
    assert counted.decisions.read_breaker() == Breaker(row=1)
