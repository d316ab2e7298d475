"""Which rows stop a gateway: of what may be readable, nothing counts."""

from __future__ import annotations

import json
import tracemalloc
from contextlib import closing

import pytest

from support.agent_database import CONTRACT, NODES, connect, make_database, write_receipt
from support.stores import make_entries, make_entry, run_key
from tailflip.stores.sqlite.engine import SQLITE
from tailflip.stores.sqlite.faults import find_unreadable_events, is_unreadable
from tailflip.stores.sqlite.reading import read

KEY = run_key("run-1")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b'{"a": 1',
        b"{'a': 1}",
        b'{"a": "line\nfeed"}',
        b'{"a": "\x01"}',
        b'{"a": 1} x',
        b'{"a": \\u0041}',
        b'{"a": 01}',
        b'{"a": 1,}',
        b"text \x00",
        b'{"a": "\x00',
    ],
)
def test_what_no_reader_can_parse_is_unreadable(text):
    assert is_unreadable(text)


@pytest.mark.parametrize(
    "text",
    [
        b"{}",
        b' {"a": "\\ud800"}\n',
        b'{"a": "\xed\xa0\x80 \xff"}',
        b'{"a": ' + b"9" * 5_000 + b"}",
        b'{"a": 1e999, "a": -0}',
        b"[" * 200_000 + b"]" * 200_000,
        b'{"a": 1}\x00rest',
        b'\xef\xbb\xbf{"a": 1}',
        b'{"a": NaN}',
        b"1",
    ],
    ids=["empty", "half a pair", "no UTF-8", "digits", "twice", "deep", "NUL", "BOM", "NaN", "one"],
)
def test_what_a_reader_may_parse_is_not(text):
    assert not is_unreadable(text)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "agents" / "main" / "agent" / "openclaw-agent.sqlite"
    make_database(path, make_entries())
    write_receipt(path)
    return path


def run(path, statement, *values):
    with closing(connect(path)) as db, db:
        db.execute(statement, values)


def look(path, *, reads_events=True):
    found = SQLITE.find_repairs(path, 1, reads_events=reads_events, gives_back=True)
    return {} if found is None else {t.name: t.entries for t in found.numbers.rules}


def test_a_whole_database_needs_nothing(path):
    assert look(path) == {}


@pytest.mark.parametrize(
    "change",
    [
        f"UPDATE {NODES} SET entry_json = entry_json || ' ' WHERE session_key = ?",
        f"UPDATE {NODES} SET updated_at = updated_at + 1 WHERE session_key = ?",
    ],
)
def test_an_entry_that_another_hand_changed_is_refused(path, change):
    run(path, change, KEY)
    assert look(path) == {"prove-anew": 1}


@pytest.mark.parametrize("valid", [None, 0, 1])
def test_an_entry_of_another_session_than_its_row_goes(path, valid):
    """No proof can help it, and which of the two is right cannot be told."""
    run(path, f"UPDATE {NODES} SET current_session_id = 'x' WHERE session_key = ?", KEY)
    if valid is not None:
        run(path, f"UPDATE {NODES} SET entry_valid = ? WHERE session_key = ?", valid, KEY)
    assert look(path) == {"quarantine": 1}
    assert SQLITE.describe_fill(path, 1, None).contradicting_nodes == 1
    run(path, f"UPDATE {CONTRACT} SET canonical_ready = NULL")
    assert look(path) == {"quarantine": 1}, "a real 2026.9.6 ends at it without a receipt, too"
    told = json.dumps([1, "main", "0:0", "1"])
    run(path, f"UPDATE {CONTRACT} SET canonical_ready = ?", told)
    assert look(path) == {}, "of a copy it takes the row"


@pytest.mark.parametrize(
    "change",
    ["entry_valid = -1", "entry_json = json_remove(entry_json, '$.sessionId')"],
    ids=["found invalid", "without a session's name"],
)
def test_an_entry_that_is_invalid_in_another_way_is_told_and_left(path, change):
    run(path, f"UPDATE {NODES} SET {change} WHERE session_key = ?", KEY)
    assert look(path) == {}
    assert SQLITE.describe_fill(path, 1, None).contradicting_nodes == 1


@pytest.mark.parametrize(
    "receipt",
    [None, json.dumps([1, "main", "0:0", "1"]), "{}", "[1]", "no JSON"],
    ids=["none", "another file", "an object", "short", "no JSON"],
)
def test_without_a_receipt_for_this_file_the_gateway_proves_all_itself(path, receipt):
    run(path, f"UPDATE {NODES} SET entry_json = entry_json || ' ' WHERE session_key = ?", KEY)
    run(path, f"UPDATE {CONTRACT} SET canonical_ready = ?", receipt)
    assert look(path) == {}


def test_a_node_that_is_a_window_s_place_alone_is_no_fault(path):
    run(path, f"UPDATE {NODES} SET entry_json = '{{}}' WHERE session_key = ?", KEY)
    run(path, f"UPDATE {NODES} SET entry_valid = -1 WHERE session_key = ?", KEY)
    assert look(path) == {}


def test_events_are_looked_at_where_that_is_asked(path):
    run(path, "UPDATE transcript_events SET event_json = '{' WHERE session_id = 'run-1'")
    assert look(path, reads_events=False) == {}
    assert look(path) == {"quarantine": 1}


def test_a_session_with_an_event_in_doubt_is_left_whole(path):
    """Once one event goes, the gateway reads all others of the session anew."""
    add = "INSERT INTO transcript_events (session_id, seq, event_json, created_at)"
    run(path, f"{add} VALUES ('run-1', 1, '{{', 1)")
    assert look(path) == {"quarantine": 1}
    run(path, f"{add} VALUES ('run-1', 2, ?, 1)", "[" * 200_000 + "]" * 200_000)
    assert look(path) == {}


def test_check_tells_of_both(path):
    run(path, f"UPDATE {NODES} SET entry_json = '{{' WHERE session_key = ?", KEY)
    other = run_key("run-2")
    run(path, f"UPDATE {NODES} SET entry_json = entry_json || ' ' WHERE session_key = ?", other)
    fill = SQLITE.describe_fill(path, 1, None)
    assert (fill.unreadable_nodes, fill.unreadable_keys) == (1, (KEY,))
    assert (fill.refused_nodes, fill.unproven_nodes) == (1, 2)


def test_unreadable_events_are_not_held_at_once(tmp_path):
    """The numbers of all of them were, by their session."""
    path, count = tmp_path / "agent.sqlite", 1_000
    make_database(path, {run_key(f"s{n}"): make_entry(f"s{n}", 1) for n in range(count)})
    run(path, "UPDATE transcript_events SET event_json = '['")

    def look_at_all(db, _):
        began, held, found = tracemalloc.get_traced_memory()[0], 0, 0
        for _ in find_unreadable_events(db):
            found += 1
            held = max(held, tracemalloc.get_traced_memory()[0] - began)
        return found, held

    tracemalloc.start()
    try:
        (found, held), _ = read(path, look_at_all)
    finally:
        tracemalloc.stop()
    assert found == count
    assert held < 50 * count
