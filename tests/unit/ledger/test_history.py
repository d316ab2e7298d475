"""The history of one gateway: what comes back, what is not written, what a kill leaves."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from support.ledger_rows import (
    DISK,
    GUARD,
    make_death,
    make_life,
)
from support.stores import NOW_MS
from tailflip.base.workspace import Workspace
from tailflip.flow.lives import Breaker, Life
from tailflip.ledger.history import History, list_guards, read_guards


def test_reading_a_history_that_is_not_there_finds_nothing_and_makes_nothing(history, home):
    assert history.lives.read() == ()
    assert history.lives.find("l1") is None
    assert history.lives.read_stderr("l1") == b""
    assert history.decisions.read_breaker() == Breaker()
    assert history.decisions.read_last() is None
    assert history.decisions.read_since(0) == ()
    assert history.incidents.read() == ()
    assert history.lives.count_deaths() == {}
    assert history.incidents.close_all(NOW_MS) == ()
    assert history.findings.read() == ()
    assert history.findings.note((), NOW_MS, {"heap-forecast"}) is False
    assert history.samples.read(0) == ()
    assert history.facts.get("x") is None
    assert history.expire(NOW_MS, 30) is False
    assert read_guards(Workspace(home, DISK)) == ()
    assert not home.root.exists()


def test_guards_do_not_see_each_other_and_the_newest_is_named_first(history, home):
    other = History(Workspace(home, DISK), "/srv/other")
    other.lives.begin(Life(id="o", guard="/srv/other", mode="gate", started_ms=1))
    history.lives.begin(make_life())
    history.facts.put("n", 1)
    history.incidents.open(make_death(), NOW_MS)
    assert [life.id for life in other.lives.read()] == ["o"]
    assert other.facts.get("n") is None
    assert other.incidents.read() == ()
    assert read_guards(Workspace(home, DISK)) == (GUARD, "/srv/other")


@pytest.mark.parametrize("table", ["maintenances", "findings", "lives"])
def test_a_ledger_of_an_older_tailflip_is_read_as_far_as_it_goes(home, table):
    """Reading alone brings no ledger to the present schema: once its fleet could not be shown."""
    history = History(Workspace(home, DISK), GUARD)
    history.lives.begin(make_life())
    history.facts.put("any", 1)
    with closing(sqlite3.connect(home.ledger)) as db:
        db.execute(f"DROP TABLE {table}")
    before = home.ledger.read_bytes()
    only = Workspace(home, DISK, is_read_only=True)
    assert list_guards(only) == (GUARD,)
    old = History(only, GUARD)
    assert old.read_maintenance() is None
    assert old.findings.read() == ()
    assert len(old.lives.read()) == (table != "lives")
    assert home.ledger.read_bytes() == before
