"""A Python whose SQLite cannot read STRICT tables: it is told, and nothing is written."""

from __future__ import annotations

import sqlite3

import pytest

from support.agent_database import make_database
from support.stores import list_tree, make_entries

UNAVAILABLE = 69


@pytest.fixture
def database(place, monkeypatch):
    path = place.state / "agents" / "main" / "agent" / "openclaw-agent.sqlite"
    make_database(path, make_entries())
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.34.1")
    return path


@pytest.mark.parametrize(
    "words", [("inspect",), ("compact",), ("compact", "--apply"), ("reconcile", "--apply")]
)
def test_the_reason_is_the_library_and_not_the_database(place, database, words):
    """It was told as a damaged database, with `openclaw doctor` as its cure."""
    before = list_tree(place.state)
    code, _, err = place.run(*words)
    assert code == UNAVAILABLE
    assert f"SQLite 3.34.1 of this Python cannot read {database}: its tables are STRICT" in err
    assert "since 3.37; nothing was changed" in err
    assert "run tailflip with a Python that has a newer one" in err
    assert "doctor" not in err
    assert list_tree(place.state) == before


def test_a_start_goes_on_and_tells_it(place, database):
    before = list_tree(place.state)
    code, out, err = place.run("preflight", "--heap-limit", "64mb")
    assert (code, out) == (0, "go\n")
    assert "SQLite 3.34.1 of this Python cannot read" in err
    assert list_tree(place.state) == before
