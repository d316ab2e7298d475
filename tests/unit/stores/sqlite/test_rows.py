"""A row is archived as a line, and the line gives back every byte and every type."""

from __future__ import annotations

import sqlite3

import pytest

from tailflip.stores.sqlite.library import Text
from tailflip.stores.sqlite.rows import Line, decode, insert, update

VALUES = {
    "text": Text('grüß\u2028 "\\ \x00 end'.encode()),
    "odd_text": Text(b"half \xed\xa0\xbd of a pair"),
    "blob": bytes(range(256)),
    "whole": 2**62,
    "real": 0.1,
    "round": 3.0,
    "endless": float("inf"),
    "none": None,
    "empty": Text(b""),
}


def test_a_line_gives_back_what_went_in():
    line = Line("t", VALUES, rowid=7, stays=True, moved=True, left=VALUES)
    found = decode(line.encode())
    assert found == line
    for name, value in VALUES.items():
        assert type(found.values[name]) is type(value), name


@pytest.mark.parametrize(
    "large",
    [
        Text("grüß\u2028 \U0001f600\n".encode() * 40_000),
        Text(b"half \xed\xa0\xbd of a pair" * 40_000),
        Text("ß".encode() * 200_000 + b"\xc3"),
        bytes(range(256)) * 4_001,
    ],
    ids=["text", "odd text", "broken off", "blob"],
)
def test_a_large_value_is_written_in_pieces_and_read_as_one(large):
    line = Line("t", {"large": large, **VALUES, "other": large}, rowid=7)
    pieces = list(line.pieces())
    assert max(map(len, pieces)) < len(large)
    found = decode(b"".join(pieces))
    assert found == line
    assert type(found.values["other"]) is type(large)
    alone = Line("t", {"large": large})
    assert decode(b"".join(alone.pieces())) == alone
    assert b"".join(pieces).count(b"\n") == 1


def test_a_small_row_is_one_piece():
    line = Line("t", VALUES)
    assert list(line.pieces()) == [line.encode()]


def test_a_line_is_one_line():
    assert Line("t", {"a": Text(b"1\n2")}).encode().count(b"\n") == 1


@pytest.mark.parametrize(
    "text", [b"{}", b"[]", b'{"t":"x","v":{"a":[]}}', b'{"t":"x","v":3}', b"x"]
)
def test_what_is_no_row_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        decode(text)


def test_an_inserted_row_has_the_types_that_it_had():
    db = sqlite3.connect(":memory:")
    db.text_factory = Text
    db.execute(f"CREATE TABLE t ({', '.join(VALUES)})")
    insert(db, Line("t", VALUES))
    row = db.execute("SELECT * FROM t").fetchone()
    assert dict(zip(VALUES, row, strict=True)) == VALUES
    kinds = db.execute(
        f"SELECT {', '.join(f'typeof({name})' for name in VALUES)} FROM t"
    ).fetchone()
    assert [bytes(kind).decode() for kind in kinds] == [
        "text", "text", "blob", "integer", "real", "real", "real", "null", "text",
    ]  # fmt: skip


def test_an_updated_row_has_the_new_columns_and_the_old_ones():
    db = sqlite3.connect(":memory:")
    db.text_factory = Text
    db.execute("CREATE TABLE session_nodes (session_key, entry_json, status, other)")
    db.execute("INSERT INTO session_nodes VALUES ('a', 'old', 'running', 1), ('b', 'b', 'b', 2)")
    new = {"session_key": Text(b"a"), "entry_json": VALUES["odd_text"], "status": None}
    update(db, Line("session_nodes", new))
    assert db.execute("SELECT * FROM session_nodes").fetchall() == [
        (b"a", VALUES["odd_text"], None, 1),
        (b"b", b"b", b"b", 2),
    ]
    assert db.execute("SELECT typeof(entry_json) FROM session_nodes").fetchone() == (b"text",)


def test_a_row_of_the_contract_of_keys_is_named_by_its_number():
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE session_key_contract (id INTEGER PRIMARY KEY, canonical_ready TEXT)")
    db.execute("INSERT INTO session_key_contract VALUES (1, 'told'), (2, 'other')")
    update(db, Line("session_key_contract", {"id": 1, "canonical_ready": None}))
    assert db.execute("SELECT * FROM session_key_contract").fetchall() == [(1, None), (2, "other")]


def test_a_row_that_stays_is_put_back_only_where_it_is_gone():
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
    db.execute("INSERT INTO t VALUES (1, 'new')")
    insert(db, Line("t", {"a": 1, "b": Text(b"old")}, stays=True))
    assert db.execute("SELECT b FROM t").fetchall() == [("new",)]
    with pytest.raises(sqlite3.IntegrityError):
        insert(db, Line("t", {"a": 1, "b": Text(b"old")}))
