"""A database at which its gateway ends: `check` names it, `compact` shows it and sets it right."""

from __future__ import annotations

import json
from contextlib import closing

import pytest

from support.agent_database import connect, dump, make_database, write_receipt
from support.stores import make_entries
from tailflip.flow import fill

CHAT, PEER = "agent:main:main", "agent:main:direct:peer"


@pytest.fixture
def database(place):
    path = place.state / "agents" / "main" / "agent" / "openclaw-agent.sqlite"
    make_database(path, {key: e for key, e in make_entries().items() if ":run:" not in key})
    write_receipt(path)
    (place.state / "openclaw.json").write_text("{}")
    return path


def change(path, *statements):
    with closing(connect(path)) as db, db:
        for statement in statements:
            db.execute(statement)


def read_codes(place):
    _, out, _ = place.run("check", "--json")
    return {each["code"] for each in json.loads(out)["findings"]}


def test_rows_are_named_shown_set_right_and_put_back(place, database):
    change(
        database,
        "UPDATE transcript_events SET event_json = '{' WHERE session_id = 'main-1'",
        f"UPDATE session_nodes SET entry_json = '{{' WHERE session_key = '{PEER}'",
        f"UPDATE session_nodes SET entry_json = entry_json || ' ' WHERE session_key = '{CHAT}'",
    )
    before = dump(database)
    faults = {"entry-unreadable", "entry-unproven", "event-unreadable"}
    assert faults <= read_codes(place)
    code, out, _ = place.run("compact")
    assert code == 0
    assert "whatever the policy" in out
    assert "prove-anew" in out
    assert "quarantine" in out
    assert "add --apply to do it" in out
    assert dump(database) == before
    code, out, _ = place.run("compact", "--apply", "--json")
    assert code == 0
    answer = json.loads(out)
    [found] = answer["repairs"]
    told = {rule["name"]: rule["entries"] for rule in found["survey"]["rules"]}
    assert told == {"prove-anew": 1, "quarantine": 2}
    [report] = answer["reports"]
    assert not faults & read_codes(place)
    assert "nothing to do" in place.run("compact")[1]
    assert place.run(*report["undo"].split()[1:])[0] == 0
    assert dump(database) == before


def test_free_pages_alone_are_shown_and_given_back(place, database, monkeypatch):
    monkeypatch.setattr(fill, "MUCH_FREE_BYTES", 2 << 20)
    change(database, "CREATE TABLE ballast (x)")
    with closing(connect(database)) as db, db:
        db.executemany("INSERT INTO ballast VALUES (?)", [("x" * 40_000,)] * 100)
    change(database, "DROP TABLE ballast")
    size_bytes, before = database.stat().st_size, dump(database)
    assert "database-bloat" in read_codes(place)
    code, out, _ = place.run("compact")
    assert (code, database.stat().st_size) == (0, size_bytes)
    assert "free-pages" in out
    assert "add --apply to do it" in out
    code, out, _ = place.run("compact", "--apply")
    assert code == 0
    assert "compact done" in out
    assert "undo" not in out
    assert database.stat().st_size < size_bytes / 2
    assert dump(database) == before
    assert "database-bloat" not in read_codes(place)
