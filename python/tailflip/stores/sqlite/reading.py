"""Opens an agent's database to read it whole, as of one moment."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from tailflip.base.errors import StoreChanged, StoreInvalid
from tailflip.observe.records.database import Database
from tailflip.stores.sqlite.library import Text, prepare, require_strict_tables
from tailflip.stores.sqlite.mark import Mark, read_mark
from tailflip.stores.sqlite.schema import NODES, WINDOWS, Schema, read_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_T = TypeVar("_T")
_NEEDED = frozenset({NODES, WINDOWS})


def read(path: Path, work: Callable[[sqlite3.Connection, Schema], _T]) -> tuple[_T, Mark]:
    """Call `work` with the database, once; returns what it returned, and the mark of that moment.

    The connection has temporary tables of its own, and changes nothing.

    Raises:
        StoreInvalid: it is missing, no database, damaged, or has no sessions.
        StoreChanged: somebody wrote to it meanwhile.
        Unavailable: this Python's SQLite is too old to read it.
    """
    require_strict_tables(path)
    before = read_mark(path)
    if before is None:
        raise StoreInvalid(f"store is missing: {path}")
    calls = 0

    def once(db: sqlite3.Connection) -> _T:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise StoreChanged(f"store changed while it was read: {path}")
        db.text_factory = Text
        prepare(db)
        schema = read_schema(db)
        if not {table.name for table in schema.tables} >= _NEEDED:
            raise StoreInvalid(f"database has no sessions: {path}")
        return work(db, schema)

    with explaining(path), Database(path) as database:
        found = database.read(once)
        is_of_one_moment = database.is_copy
    # A private copy stands still. Whoever writes compares the mark with the file once more.
    if not is_of_one_moment and read_mark(path) != before:
        raise StoreChanged(f"store changed while it was read: {path}")
    return found, before


@contextmanager
def explaining(path: Path) -> Iterator[None]:
    """Turn SQLite's words for a damaged file into a broken store."""
    try:
        yield
    except sqlite3.DatabaseError as e:
        code = getattr(e, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR):
            raise StoreInvalid(
                f"database cannot be read: {path}: {e}; bytes intact",
                hint="`openclaw doctor` may repair it; keep a copy of the file first",
            ) from e
        raise
