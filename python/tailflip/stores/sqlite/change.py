"""Takes the steps of a draft on a database, in short transactions, and keeps the file's identity.

A batch is one transaction of at most 100 steps and 8 MB. The first batch proves, after a kill,
whether anything was done: its first step was taken or not. Everything that a step removes is in
the archive and on the medium before the first transaction begins.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from tailflip.base.errors import InternalError, StoreChanged, StoreInvalid, Unavailable
from tailflip.stores.sqlite.library import connect, find_lack
from tailflip.stores.sqlite.rows import decode, insert, note_index_rows, update
from tailflip.stores.sqlite.schema import (
    ACTIVE_EVENTS,
    CONTRACT,
    EVENTS,
    FTS,
    FTS_ROWS,
    INDEX_STATE,
    NODES,
    WINDOWS,
    read_schema,
)
from tailflip.stores.sqlite.units import split_name
from tailflip.stores.sqlite.work import Verb, digest_entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from tailflip.base.durable import Disk
    from tailflip.stores.sqlite.rows import Line
    from tailflip.stores.sqlite.schema import Schema
    from tailflip.stores.sqlite.units import Target
    from tailflip.stores.sqlite.work import Step, WorkReader

BATCH_STEPS = 100
BATCH_BYTES = 8 << 20


def take_steps(path: Path, work: WorkReader, disk: Disk) -> None:
    """Take every step of a draft; each batch is whole or not taken.

    Raises:
        StoreChanged: an entry is no longer as the draft found it; batches before it are taken.
        Unavailable: this SQLite, or this version of the database, forbids it.
    """
    with closing(connect(path)) as db:
        schema = read_schema(db)
        if not schema.is_known:
            raise Unavailable(f"unknown version of the database: {path}; nothing was changed")
        lack = find_lack(db)
        if lack is not None:
            raise Unavailable(f"cannot write {path}: {lack}; nothing was changed")
        note_index_rows(db, schema)
        hand = _Hand(db, schema)
        count, size_bytes = 0, 0
        for step in work.steps():
            if not count:
                db.execute("BEGIN IMMEDIATE")
            hand.take(step, work.lines())
            count, size_bytes = count + 1, size_bytes + step.bytes
            if count >= BATCH_STEPS or size_bytes >= BATCH_BYTES:
                hand.certify()
                disk.commit(db)
                count, size_bytes = 0, 0
        if count:
            hand.certify()
            disk.commit(db)


def read_entry(db: sqlite3.Connection, name: str) -> bytes | None:
    """Read by what a target is known again; None where it is not there."""
    target = split_name(name)
    table, condition, columns = _known_by(target)
    row = db.execute(
        f"SELECT {', '.join(columns)} FROM {table} WHERE {condition}", target._asdict()
    ).fetchone()
    return None if row is None else find_entry(name, dict(zip(columns, row, strict=True)))


def find_entry(name: str, values: Mapping[str, object]) -> bytes | None:
    """Find by what a target is known again among the columns of its row.

    Of the contract of keys, that is the gateway's receipt of its last check; empty for none.
    """
    table, _, columns = _known_by(split_name(name))
    if table == NODES:
        entry = values.get("entry_json")
        return bytes(entry) if isinstance(entry, bytes) else None
    known = [values.get(column) for column in columns]
    return b" ".join(
        each if isinstance(each, bytes) else str(each).encode() for each in known if each
    )


def _known_by(target: Target) -> tuple[str, str, tuple[str, ...]]:
    """Return the table of a target, the condition for its row, and by what it is known again."""
    if target.node == CONTRACT:
        return CONTRACT, "id = 1", ("canonical_ready",)
    if target.window is None:
        return NODES, "session_key = :node", ("entry_json",)
    if target.seq is None:
        return WINDOWS, "session_id = :window", ("updated_at", "status", "ended_at")
    return EVENTS, "session_id = :window AND seq = :seq", ("event_json",)


def was_taken(db: sqlite3.Connection, step: Step) -> bool:
    """Say whether a step was taken, or somebody else changed what it is about."""
    entry = read_entry(db, step.name)
    return (None if entry is None else digest_entry(entry)) != step.before


class _Hand:
    """Takes steps inside a transaction that the caller began."""

    def __init__(self, db: sqlite3.Connection, schema: Schema) -> None:
        self._db = db
        self._schema = schema
        self._valid: dict[str, int] = {}
        self._indexed: set[str | None] = set()  # sessions whose index comes back with their events

    def take(self, step: Step, raw: Iterable[bytes]) -> None:
        if was_taken(self._db, step):
            raise StoreChanged(f"entry changed while it was read: {step.name}")
        target = split_name(step.name)
        if step.verb is Verb.DELETE:
            self._delete(target, raw)
        elif step.verb is Verb.EDIT:
            self._edit(raw)
        elif step.verb is Verb.INSERT:
            self._insert(target, raw)
        else:
            raise InternalError(f"a draft asks for {step.verb}")

    def certify(self) -> None:
        """Say of the nodes that were written, last of all, what was known of them before.

        The gateway's own triggers have marked them as unproven.
        """
        self._db.executemany(
            f"UPDATE {NODES} SET entry_valid = ? WHERE session_key = ?",
            [(valid, key) for key, valid in self._valid.items()],
        )
        self._valid.clear()

    def _delete(self, target: Target, raw: Iterable[bytes]) -> None:
        node, window, seq = target
        for line in raw:
            update(self._db, decode(line))
        if seq is not None:
            self._db.execute(
                f"DELETE FROM {EVENTS} WHERE session_id = ? AND seq = ?", (window, seq)
            )
            self._db.execute(f"DELETE FROM {INDEX_STATE} WHERE session_id = ?", (window,))
            return
        root, key = ("session_key", node) if window is None else ("session_id", window)
        self._empty_index(f"SELECT session_id FROM {WINDOWS} WHERE {root} = ?", key)
        table = NODES if window is None else WINDOWS
        self._db.execute(f"DELETE FROM {table} WHERE {root} = ?", (key,))

    def _empty_index(self, windows: str, key: str) -> None:
        """Delete what the full-text index holds of the windows that a statement finds."""
        if not self._schema.has_fts:
            return
        for (session,) in self._db.execute(windows, (key,)).fetchall():
            if self._schema.has_fts_rows:  # a trigger empties the index itself
                statement = f"DELETE FROM {FTS_ROWS} WHERE session_id = CAST(? AS TEXT)"
            else:
                ids = "SELECT id FROM temp.fts_rows WHERE session_id = CAST(? AS TEXT)"
                statement = f"DELETE FROM {FTS} WHERE rowid IN ({ids})"
            self._db.execute(statement, (session,))

    def _edit(self, raw: Iterable[bytes]) -> None:
        for line in map(decode, raw):
            if line.table == NODES:
                key = _key_of(line)
                (valid,) = self._db.execute(
                    f"SELECT entry_valid FROM {NODES} WHERE session_key = ?", (key,)
                ).fetchone()
                self._valid.setdefault(key, valid)  # what was put back just now is noted already
            update(self._db, line)

    def _insert(self, target: Target, raw: Iterable[bytes]) -> None:
        renamed: dict[int, int] = {}
        has_new_index = target.seq is not None and self._has_new_index(target.window)
        for text in raw:
            line = decode(text)
            if has_new_index and line.table in (ACTIVE_EVENTS, INDEX_STATE):
                continue  # the gateway made it anew without the event
            if line.moved:
                update(self._db, line)
                continue
            if line.table == FTS and line.rowid is not None:
                rowid = self._find_free(line.rowid)
                renamed[line.rowid] = rowid
                line = line.with_rowid(rowid)
            elif line.table == FTS_ROWS:
                line = line.with_value("id", renamed)
            try:
                insert(self._db, line)
            except sqlite3.IntegrityError as e:
                raise StoreInvalid(
                    f"a row of {line.table} cannot be put back: {e}; nothing was changed"
                ) from e
            if line.table == NODES:
                valid = line.values["entry_valid"]
                if isinstance(valid, int):
                    self._valid[_key_of(line)] = valid

    def _has_new_index(self, session: str | None) -> bool:
        if session not in self._indexed:
            found = self._db.execute(
                f"SELECT 1 FROM {INDEX_STATE} WHERE session_id = ?", (session,)
            ).fetchone()
            if found is not None:
                return True
            self._indexed.add(session)
        return False

    def _find_free(self, rowid: int) -> int:
        """Return the row id for a text of the index, or a new one where it is used again."""
        taken = self._db.execute(f"SELECT 1 FROM {FTS} WHERE rowid = ?", (rowid,)).fetchone()
        if taken is None and self._schema.has_fts_rows:
            taken = self._db.execute(f"SELECT 1 FROM {FTS_ROWS} WHERE id = ?", (rowid,)).fetchone()
        if taken is None:
            return rowid
        tables = (FTS, FTS_ROWS) if self._schema.has_fts_rows else (FTS,)
        columns = {FTS: "rowid", FTS_ROWS: "id"}
        largest = [
            int(self._db.execute(f"SELECT coalesce(max({columns[t]}), 0) FROM {t}").fetchone()[0])
            for t in tables
        ]
        return 1 + max(largest)


def _key_of(line: Line) -> str:
    key = line.values["session_key"]
    return key.decode() if isinstance(key, bytes) else str(key)
