"""Takes sessions over from another agent's database, as an archive of this engine's own form.

The other database is one that the gateway's own import made from archived entries of JSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tailflip.base.errors import ArchiveDamaged, Unavailable
from tailflip.flow.numbers import RecordHeader
from tailflip.stores.records import RecordWriter, verify_records
from tailflip.stores.sqlite.drafting import Spool
from tailflip.stores.sqlite.reading import read
from tailflip.stores.sqlite.rows import note_index_rows, plan_walk
from tailflip.stores.sqlite.schema import NODES, WINDOWS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from tailflip.stores.sqlite.schema import Schema

RULE = "imported"
_EVERY_NODE = f"SELECT rowid, session_key, current_session_id FROM {NODES} ORDER BY rowid"


class Living(NamedTuple):
    """Which of some keys and sessions live in a database, of which version.

    `is_known`: rows of that version may be changed.
    """

    keys: frozenset[str]
    sessions: frozenset[str]
    version: int | None
    is_known: bool


def find_living(path: Path, keys: Iterable[str], sessions: Iterable[str]) -> Living:
    """Look which keys and sessions live in an agent's database."""

    def look(db: sqlite3.Connection, schema: Schema) -> Living:
        return Living(
            _choose(db, NODES, "session_key", keys),
            _choose(db, WINDOWS, "session_id", sessions),
            schema.version,
            is_known=schema.is_known,
        )

    return read(path, look)[0]


class Adopter:
    """Writes nodes of databases that an import made to one archive, for another database.

    Args:
        fd: an empty file, for the archive.
        used: sessions that live in that other database: their windows stay out.
        version: of that other database.
        now_ms: wall clock.
    """

    def __init__(self, fd: int, used: Collection[str], version: int | None, now_ms: int) -> None:
        """Begin the archive."""
        self._fd = fd
        self._records = RecordWriter(fd)
        self._used = used
        self._version = version
        self._now_ms = now_ms

    def add(self, path: Path) -> set[str]:
        """Write every node of a database; returns their keys.

        Raises:
            Unavailable: it is of another version.
        """
        return read(path, self._write)[0]

    def finish(self) -> None:
        """End the archive, and read it back.

        Raises:
            ArchiveDamaged: it does not read as it was written.
        """
        written = self._records.finish()
        if verify_records(self._fd) != written:
            raise ArchiveDamaged(
                "archive does not read back as it was written; nothing was changed"
            )

    def _write(self, db: sqlite3.Connection, schema: Schema) -> set[str]:
        if schema.version != self._version:
            raise Unavailable(
                f"the installed OpenClaw is of another release: its databases have version "
                f"{schema.version}, the agent's has {self._version}; nothing was changed",
                hint="start the gateway once, so that both are of one release; stop it, and try "
                "again",
            )
        db.execute("CREATE TEMP TABLE rehomed (session_id TEXT PRIMARY KEY) WITHOUT ROWID")
        db.executemany(
            "INSERT OR IGNORE INTO temp.rehomed VALUES (?)", ((each,) for each in self._used)
        )
        note_index_rows(db, schema)
        walk, written = plan_walk(db, schema, NODES), set()
        with Spool() as spool:
            for rowid, key, session in db.execute(_EVERY_NODE):
                node = key.decode()
                for line in walk.lines(db, node):
                    spool.put(line.encode())
                header = RecordHeader(
                    key=node,
                    rule=RULE,
                    time_ms=self._now_ms,
                    at=rowid,
                    bytes=spool.size_bytes,
                    lead=0,
                    trail=0,
                    session=session.decode(),
                    file=None,
                    job=None,
                    after=None,
                    after_bytes=0,
                )
                self._records.add(header, spool.take())
                written.add(node)
        return written


def _choose(
    db: sqlite3.Connection, table: str, column: str, values: Iterable[str]
) -> frozenset[str]:
    statement = f"SELECT 1 FROM {table} WHERE {column} = ?"
    return frozenset(v for v in values if db.execute(statement, (v,)).fetchone() is not None)
