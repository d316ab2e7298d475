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
from tailflip.stores.sqlite.rows import (
    decode,
    insert,
    note_index_rows,
    write_index_condition,
)
from tailflip.stores.sqlite.schema import FTS, FTS_ROWS, NODES, WINDOWS, read_schema
from tailflip.stores.sqlite.units import split_name
from tailflip.stores.sqlite.work import Verb, digest_entry

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tailflip.base.durable import Disk
    from tailflip.stores.sqlite.rows import Line
    from tailflip.stores.sqlite.schema import Schema
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
            hand.take(step, work.lines() if step.verb is not Verb.EDIT else work.chunks())
            count, size_bytes = count + 1, size_bytes + step.bytes
            if count >= BATCH_STEPS or size_bytes >= BATCH_BYTES:
                hand.certify()
                disk.commit(db)
                count, size_bytes = 0, 0
        if count:
            hand.certify()
            disk.commit(db)


def read_entry(db: sqlite3.Connection, name: str) -> bytes | None:
    """Read by what a node or a window is known again; None where it is not there."""
    node, window = split_name(name)
    if window is None:
        row = db.execute(
            f"SELECT entry_json FROM {NODES} WHERE session_key = ?", (node,)
        ).fetchone()
        return None if row is None else bytes(row[0])
    row = db.execute(f"SELECT updated_at FROM {WINDOWS} WHERE session_id = ?", (window,)).fetchone()
    return None if row is None else str(row[0]).encode()


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

    def take(self, step: Step, raw: Iterable[bytes]) -> None:
        if was_taken(self._db, step):
            raise StoreChanged(f"entry changed while it was read: {step.name}")
        node, window = split_name(step.name)
        if step.verb is Verb.DELETE:
            self._delete(node, window, raw)
        elif step.verb is Verb.EDIT:
            self._edit(node, b"".join(raw))
        elif step.verb is Verb.INSERT:
            self._insert(raw)
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

    def _delete(self, node: str, window: str | None, raw: Iterable[bytes]) -> None:
        for line in raw:
            self._move(decode(line))
        root, key = ("session_key", node) if window is None else ("session_id", window)
        condition = write_index_condition(self._schema, f"{root} = ?")
        if condition is not None:
            if self._schema.has_fts_rows:  # a trigger empties the index itself
                self._db.execute(
                    f"DELETE FROM {FTS_ROWS} WHERE session_id IN"
                    f" (SELECT session_id FROM {WINDOWS} WHERE {root} = ?)",
                    (key,),
                )
            else:
                self._db.execute(f"DELETE FROM {FTS} WHERE {condition}", (key,))
        table = NODES if window is None else WINDOWS
        self._db.execute(f"DELETE FROM {table} WHERE {root} = ?", (key,))

    def _move(self, line: Line) -> None:
        """Give a window to the node that the line names."""
        names = ("session_key", "session_id")
        self._db.execute(
            f"UPDATE {WINDOWS} SET session_key = CAST(? AS TEXT)"
            " WHERE session_id = CAST(? AS TEXT)",
            [line.values[name] for name in names],
        )

    def _edit(self, node: str, entry: bytes) -> None:
        (valid,) = self._db.execute(
            f"SELECT entry_valid FROM {NODES} WHERE session_key = ?", (node,)
        ).fetchone()
        self._db.execute(
            f"UPDATE {NODES} SET entry_json = CAST(? AS TEXT) WHERE session_key = ?",
            (entry, node),
        )
        self._valid.setdefault(node, valid)  # one that was put back just now is marked already

    def _insert(self, raw: Iterable[bytes]) -> None:
        renamed: dict[int, int] = {}
        for text in raw:
            line = decode(text)
            if line.moved:
                self._move(line)
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
                key, valid = line.values["session_key"], line.values["entry_valid"]
                if isinstance(key, bytes) and isinstance(valid, int):
                    self._valid[key.decode()] = valid

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
