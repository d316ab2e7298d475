"""SQLite as this engine needs it: the standard library's, and what a probe says that it can do.

An agent's database has a CHECK that calls `octet_length`, which SQLite has since 3.43. An older
library gets that function from us. Text is read as bytes that know that they are text: a gateway
writes text that is not UTF-8, and what is archived must come back byte for byte.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from tailflip.base.errors import Unavailable

if TYPE_CHECKING:
    from pathlib import Path

_BUSY_S = 5.0
_OLDEST = (3, 37, 0)  # the tables of an agent's database are STRICT
_IS_NEW = sqlite3.sqlite_version_info >= (3, 43)
_SETTINGS = (
    "PRAGMA cache_size=-8192",
    "PRAGMA mmap_size=0",
    "PRAGMA temp_store=FILE",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
)
# Nobody else gets in between two transactions, whatever opens the file.
_ALONE = "PRAGMA locking_mode=EXCLUSIVE"


class Text(bytes):
    """The bytes of a column that holds text; those of a blob are plain `bytes`."""

    __slots__ = ()


def to_text(value: object) -> str:
    """Return a name, a key or a word of a database as text; what is not UTF-8 is replaced."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def measure_octets(value: object) -> int | None:
    """Return the bytes of a value as SQLite's own `octet_length` does; None for NULL."""
    if value is None:
        return None
    if isinstance(value, bytes):
        return len(value)
    return len(str(value).encode("utf-8", "surrogateescape"))


def octets(column: str) -> str:
    """Write an expression for the bytes of a column, whether its text is UTF-8 or not.

    SQLite's own function reads no more than a row's head. Ours gets text decoded, which fails for
    text that is not UTF-8.
    """
    return f"octet_length({column})" if _IS_NEW else f"length(CAST({column} AS BLOB))"


def require_strict_tables(path: Path) -> None:
    """Refuse a library that takes every agent's database for a damaged one.

    Raises:
        Unavailable: it is older than 3.37.
    """
    if sqlite3.sqlite_version_info < _OLDEST:
        raise Unavailable(
            f"SQLite {sqlite3.sqlite_version} of this Python cannot read {path}: its tables are "
            "STRICT, which SQLite knows since 3.37; nothing was changed",
            hint="run tailflip with a Python that has a newer one: "
            "python3 -c 'import sqlite3; print(sqlite3.sqlite_version)'",
        )


def prepare(db: sqlite3.Connection) -> None:
    """Teach a connection what an old library lacks, and bound its memory."""
    for setting in _SETTINGS:
        db.execute(setting)
    if not _has_octet_length(db):
        db.create_function("octet_length", 1, measure_octets, deterministic=True)


def connect(path: Path) -> sqlite3.Connection:
    """Open a database to write to it; transactions are begun by hand.

    Raises:
        Unavailable: this library cannot keep the database's promises.
        sqlite3.Error: it is none, or is damaged.
    """
    require_strict_tables(path)
    db = sqlite3.connect(
        f"{path.as_uri()}?mode=rw", uri=True, timeout=_BUSY_S, isolation_level=None
    )
    try:
        db.text_factory = Text
        db.execute(_ALONE)
        prepare(db)
        _require_foreign_keys(db)
    except BaseException:
        db.close()
        raise
    return db


def find_lack(db: sqlite3.Connection) -> str | None:
    """Say what this library lacks to write an agent's database; None if it can.

    Each statement is prepared, and none is run.
    """
    try:
        for statement in (
            "EXPLAIN SELECT json_set(json_remove(entry_json, '$.a'), '$.b', 1) FROM session_nodes",
            "EXPLAIN DELETE FROM session_nodes WHERE session_key = ''",
            "EXPLAIN INSERT INTO session_nodes SELECT * FROM session_nodes WHERE 0",
            "EXPLAIN INSERT INTO transcript_events SELECT * FROM transcript_events WHERE 0",
            "EXPLAIN SELECT rowid FROM session_transcript_fts",
        ):
            db.execute(statement).fetchall()
    except sqlite3.Error as e:
        return f"SQLite {sqlite3.sqlite_version} of this Python: {e}"
    return None


def read_pages(db: sqlite3.Connection) -> tuple[int, int, int]:
    """Return how many pages a database has, how many are free, and the bytes of one."""
    names = ("page_count", "freelist_count", "page_size")
    pages, free, page_bytes = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in names)
    return int(pages), int(free), int(page_bytes)


def _require_foreign_keys(db: sqlite3.Connection) -> None:
    if db.execute("PRAGMA foreign_keys").fetchone() != (1,):
        raise Unavailable("this SQLite has no foreign keys; nothing was changed")


def _has_octet_length(db: sqlite3.Connection) -> bool:
    try:
        db.execute("SELECT octet_length('')").fetchone()
    except sqlite3.OperationalError:
        return False
    return True
