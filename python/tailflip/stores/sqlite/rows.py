"""Rows of an agent's database as lines of JSON, and back: what an archive holds of a session.

One line a row, parents first. `t` is the table, `v` the values by column; `r` is the row id where
the table's other tables use it (the full-text index). A text that is not UTF-8 is `{"t": base64}`,
a blob `{"b": base64}`, and a number that JSON has no word for `{"f": hex}`. A line with `p` is a
row that is put back where nothing is in its place: others need it, such as a conversation, or the
gateway makes it anew, such as the place of an event in the index. A line with `m` is a window that
stayed and was changed: its session, and the columns as they were. It may have gone to another node,
which still uses it, or got the end of its run; `l` then says to what it was changed.
"""

from __future__ import annotations

import base64
import codecs
import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tailflip.flow.late import dataclass
from tailflip.stores.sqlite.library import Text
from tailflip.stores.sqlite.schema import (
    ACTIVE_EVENTS,
    CONTRACT,
    EVENTS,
    FTS,
    FTS_ROWS,
    INDEX_STATE,
    NODES,
    WINDOWS,
    quote,
    read_columns,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping

    from tailflip.stores.sqlite.schema import Schema, Table

Value = int | float | bytes | None
_UTF8 = codecs.getincrementaldecoder("utf-8")
_END = b"}}\n"
_LARGE_BYTES = 1 << 18
_PIECE_BYTES = 3 << 16  # a multiple of three, so that base64 can be put together again
_ROOTS = {
    NODES: "session_key = :root",
    WINDOWS: "session_id = :root",
    EVENTS: "session_id = :root AND seq = :seq",
}
_KEYS = {NODES: "session_key", WINDOWS: "session_id", CONTRACT: "id"}
_FTS_COLUMNS = ("text", "session_id", "message_id", "role", "timestamp")


@dataclass(frozen=True)
class Line:
    """One archived row. `stays`: it was not removed, or the gateway itself may have made it anew.

    `rowid` is None where none counts.

    `moved`: a window that stayed and was changed; `values` are its session, and the columns as they
    were. `left` are columns as they were left; None where those do not count.
    """

    table: str
    values: dict[str, Value]
    rowid: int | None = None
    stays: bool = False
    moved: bool = False
    left: dict[str, Value] | None = None

    def with_rowid(self, rowid: int) -> Line:
        """Return the same row under another row id."""
        return replace(self, rowid=rowid)

    def with_value(self, name: str, renamed: Mapping[int, int]) -> Line:
        """Return the same row with a number exchanged, where it has a new one."""
        value = self.values[name]
        new = renamed.get(value, value) if isinstance(value, int) else value
        return replace(self, values={**self.values, name: new})

    def pieces(self) -> Iterator[bytes]:
        """Give what `encode` returns piece by piece, and large values last.

        So a value of megabytes is not there as text, as JSON and as bytes at once.
        """
        large = {
            name: value
            for name, value in self.values.items()
            if isinstance(value, bytes) and len(value) > _LARGE_BYTES
        }
        small = {name: value for name, value in self.values.items() if name not in large}
        if not large or self.left is not None:
            yield self.encode()
            return
        yield replace(self, values=small).encode().removesuffix(_END)
        lead = "," if small else ""
        for name, value in large.items():
            yield f"{lead}{json.dumps(name)}:".encode()
            yield from _encode_large(value)
            lead = ","
        yield _END

    def encode(self) -> bytes:
        """Return the row as one line, with its line feed."""
        told: dict[str, Any] = {"t": self.table}
        if self.rowid is not None:
            told["r"] = self.rowid
        if self.stays:
            told["p"] = 1
        if self.moved:
            told["m"] = 1
        told["v"] = {name: _encode(value) for name, value in self.values.items()}
        if self.left is not None:
            told["l"] = {name: _encode(value) for name, value in self.left.items()}
        return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> Line:
    """Read what `Line.encode` wrote.

    Raises:
        ValueError: it is something else.
    """
    told = json.loads(line)
    try:
        left = told.get("l")
        return Line(
            str(told["t"]),
            _decode_all(told["v"]),
            told.get("r"),
            bool(told.get("p")),
            bool(told.get("m")),
            None if left is None else _decode_all(left),
        )
    except (KeyError, TypeError, AttributeError) as e:
        raise ValueError(f"no archived row: {e}") from e


@dataclass(frozen=True)
class _Reading:
    """A statement that reads rows of one table: the row id, where one counts, then the columns."""

    table: str
    columns: tuple[str, ...]
    text: str
    has_rowid: bool = False
    stays: bool = False


@dataclass(frozen=True)
class Walk:
    """The statements that read what goes with a node, a window or an event.

    Empty tables are left out.
    """

    readings: tuple[_Reading, ...]

    def lines(self, db: sqlite3.Connection, root: str, seq: int | None = None) -> Iterator[Line]:
        """Stream the rows of one node or window, or of one event of it, parents first."""
        for each in self.readings:
            for row in db.execute(each.text, {"root": root, "seq": seq}):
                values = dict(zip(each.columns, row[1:], strict=True))
                line = Line(each.table, values, row[0] if each.has_rowid else None, each.stays)
                del row, values  # a row of megabytes is not held while the next one is read
                yield line
                del line


def plan_walk(db: sqlite3.Connection, schema: Schema, root: str) -> Walk:
    """Prepare to read what hangs on rows of nodes, of windows, or of events.

    With an event goes the state of its session's index, so that the gateway makes that anew.

    Windows in `temp.rehomed` are somebody else's and stay.
    """
    tables = {table.name: table for table in schema.below(root)}
    found: list[_Reading] = []
    for table in tables.values():
        if not _has_rows(db, table.name):
            continue
        for link in table.others:
            needed = f"SELECT DISTINCT * FROM ({_write_rows(tables, root, table, link.columns)})"
            columns = read_columns(db, link.parent)
            text = _write_join(needed, link.columns, link.parent, link.of, columns)
            found.append(_Reading(link.parent, columns, _first(text), stays=True))
        text = _write_rows(tables, root, table, table.columns)
        is_made_anew = root == EVENTS and table.name == ACTIVE_EVENTS
        found.append(_Reading(table.name, table.columns, _first(text), stays=is_made_anew))
    if root != EVENTS:
        found += _plan_index(db, schema, tables, root)
    elif _has_rows(db, INDEX_STATE):
        columns = read_columns(db, INDEX_STATE)
        text = f"SELECT {_join(columns)} FROM {INDEX_STATE} WHERE session_id = :root"
        found.append(_Reading(INDEX_STATE, columns, _first(text), stays=True))
    return Walk(tuple(found))


def _write_rows(
    tables: Mapping[str, Table], root: str, table: Table, columns: tuple[str, ...]
) -> str:
    """Write the statement that reads columns of the rows of a table that go with `:root`.

    From the root on, each row is looked up by its parent. CROSS JOIN names that order: by its
    statistics, which a gateway leaves in the file on some day, SQLite reads tables whole.
    """
    if table.name == root:
        return f"SELECT {_join(columns)} FROM {quote(root)} WHERE {_ROOTS[root]}"
    stays = "own.session_id NOT IN (SELECT session_id FROM temp.rehomed)"
    parts = [
        _write_join(
            _write_rows(tables, root, tables[link.parent], link.of),
            link.of,
            table.name,
            link.columns,
            columns,
        )
        + (f" AND {stays}" if table.name == WINDOWS else "")
        for link in table.links
        if link.parent in tables
    ]
    return " UNION ".join(parts)


def _write_join(
    rows: str, given: tuple[str, ...], table: str, by: tuple[str, ...], columns: tuple[str, ...]
) -> str:
    """Write the statement that looks up rows of a table by the `given` columns of other rows."""
    names = ", ".join(f"own.{quote(name)}" for name in columns)
    pairs = zip(by, given, strict=True)
    on = " AND ".join(f"own.{quote(name)} = above.{quote(other)}" for name, other in pairs)
    return f"SELECT {names} FROM ({rows}) AS above CROSS JOIN {quote(table)} AS own ON {on}"


def note_index_rows(db: sqlite3.Connection, schema: Schema) -> None:
    """Find out which rows of the index are of which session, where no table says it."""
    if schema.has_fts and not schema.has_fts_rows:
        db.executescript(
            f"""
            CREATE TEMP TABLE fts_rows (session_id TEXT, id INTEGER,
              PRIMARY KEY (session_id, id)) WITHOUT ROWID;
            INSERT INTO temp.fts_rows SELECT session_id, rowid FROM {FTS};
            """
        )


def _plan_index(
    db: sqlite3.Connection, schema: Schema, tables: Mapping[str, Table], root: str
) -> list[_Reading]:
    if not schema.has_fts or not _has_rows(db, FTS):
        return []
    session, row = ("session_id",), ("id",)
    windows = _write_rows(tables, root, tables[WINDOWS], session)
    source = FTS_ROWS if schema.has_fts_rows else "fts_rows"
    ids = _write_join(windows, session, source, session, row)
    texts = _write_join(ids, row, FTS, ("rowid",), ("rowid", *_FTS_COLUMNS))
    found = [_Reading(FTS, _FTS_COLUMNS, texts, has_rowid=True)]
    if schema.has_fts_rows:
        columns = read_columns(db, FTS_ROWS)
        text = _write_join(windows, session, FTS_ROWS, session, columns)
        found.append(_Reading(FTS_ROWS, columns, _first(text)))
    return found


def _first(text: str) -> str:
    """Put a column before those of a statement, where a row id stands in others."""
    return f"SELECT NULL, * FROM ({text})"


def insert(db: sqlite3.Connection, line: Line) -> None:
    """Insert one row.

    Raises:
        sqlite3.Error: it cannot stand beside those that are there.
    """
    values = dict(line.values)
    if line.rowid is not None:
        values["rowid"] = line.rowid
    names = ", ".join(map(quote, values))
    marks = ", ".join(map(_mark, values.values()))
    verb = "INSERT OR IGNORE" if line.stays else "INSERT"
    db.execute(
        f"{verb} INTO {quote(line.table)} ({names}) VALUES ({marks})",
        list(map(_plain, values.values())),
    )


def update(db: sqlite3.Connection, line: Line) -> None:
    """Give a row the columns of a line, which names it by its key.

    It is one of a node or a window, or of the contract of keys.
    """
    key = _KEYS[line.table]
    columns = {name: value for name, value in line.values.items() if name != key}
    changes = ", ".join(f"{quote(name)} = {_mark(value)}" for name, value in columns.items())
    db.execute(
        f"UPDATE {quote(line.table)} SET {changes} WHERE {key} = {_mark(line.values[key])}",
        [*map(_plain, columns.values()), _plain(line.values[key])],
    )


def _mark(value: Value) -> str:
    return "CAST(? AS TEXT)" if isinstance(value, Text) else "?"


def _plain(value: Value) -> Value:
    return bytes(value) if isinstance(value, Text) else value


def _has_rows(db: sqlite3.Connection, table: str) -> bool:
    return bool(db.execute(f"SELECT EXISTS (SELECT 1 FROM {quote(table)})").fetchone()[0])


def _join(names: tuple[str, ...]) -> str:
    return ", ".join(map(quote, names))


def _encode(value: Value) -> Any:
    if isinstance(value, Text):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"t": base64.b64encode(value).decode()}
    if isinstance(value, bytes):
        return {"b": base64.b64encode(value).decode()}
    if isinstance(value, float) and not math.isfinite(value):
        return {"f": value.hex()}
    return value


def _decode_all(told: Mapping[str, Any]) -> dict[str, Value]:
    return {str(name): _decode(value) for name, value in told.items()}


def _encode_large(value: bytes) -> Iterator[bytes]:
    view = memoryview(value)
    parts = [view[at : at + _PIECE_BYTES] for at in range(0, len(view), _PIECE_BYTES)]
    if isinstance(value, Text) and _is_utf8(parts):
        yield b'"'
        decoder = _UTF8()
        for part in parts:
            text = json.dumps(decoder.decode(part), ensure_ascii=False)
            yield text[1:-1].encode()
        yield b'"'
        return
    yield b'{"t":"' if isinstance(value, Text) else b'{"b":"'
    yield from map(base64.b64encode, parts)
    yield b'"}'


def _is_utf8(parts: list[memoryview]) -> bool:
    decoder = _UTF8()
    try:
        for part in parts:
            decoder.decode(part)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _decode(value: Any) -> Value:
    if isinstance(value, str):
        return Text(value.encode())
    if isinstance(value, dict):
        if "t" in value:
            return Text(base64.b64decode(value["t"]))
        return base64.b64decode(value["b"]) if "b" in value else float.fromhex(value["f"])
    if value is None or isinstance(value, int | float):
        return value
    raise ValueError("no value of a row")
