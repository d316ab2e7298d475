"""Facts come back, and are written when they change."""

from __future__ import annotations

from support.ledger_rows import DISK, commits
from tailflip.base.workspace import Workspace
from tailflip.ledger.history import History


def test_facts_come_back_and_are_written_when_they_change(counted):
    value = {"b": [1, None], "a": "x"}
    counted.facts.put("limit", value)
    counted.facts.put("limit", {"a": "x", "b": [1, None]})
    assert commits(counted) == 1
    assert counted.facts.get("limit") == value
    counted.facts.put("limit", 5)
    assert counted.facts.get("limit") == 5


def test_a_fact_that_was_never_put_is_none_and_a_fact_that_is_none_is_on_record(history):
    assert (history.facts.get("x"), history.facts.read_text("x")) == (None, None)
    history.facts.put("x", None)
    assert (history.facts.get("x"), history.facts.read_text("x")) == (None, "null")


def test_facts_of_other_gateways_and_names_are_others(history, home):
    history.facts.put("x", 1)
    history.facts.put("y", 2)
    other = History(Workspace(home, DISK), "/srv/other")
    other.facts.put("x", 3)
    assert [history.facts.get(name) for name in "xy"] == [1, 2]
    assert [other.facts.get(name) for name in "xy"] == [3, None]
