"""The tables of an agent's database: whether we know their version, and what hangs on a session.

A version says nothing here about where data is: tables and columns are read from the database.
It says whether rows may be changed. Source: OpenClaw 2026.8.1 (19), 2026.9.5 (21), 2026.9.6 (23).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.flow.late import dataclass
from tailflip.stores.sqlite.library import to_text

if TYPE_CHECKING:
    import sqlite3

KNOWN_VERSIONS = (19, 21, 23)
NODES, WINDOWS = "session_nodes", "session_windows"
EVENTS, TRAJECTORIES = "transcript_events", "trajectory_runtime_events"
CONTRACT = "session_key_contract"
# What the gateway shows of a session, in order, and how far it has got. It makes both anew where
# the latter is missing. Source: `selectSessionsNeedingTranscriptIndexReconcile` of 2026.9.6.
ACTIVE_EVENTS, INDEX_STATE = "session_transcript_active_events", "session_transcript_index_state"
FTS, FTS_ROWS = "session_transcript_fts", "session_transcript_fts_rows"


@dataclass(frozen=True)
class Link:
    """A foreign key: `columns` of the table name `of` the parent's rows."""

    parent: str
    columns: tuple[str, ...]
    of: tuple[str, ...]
    cascades: bool


@dataclass(frozen=True)
class Table:
    """One table below the sessions, with its links to tables of the tree and to others."""

    name: str
    columns: tuple[str, ...]
    links: tuple[Link, ...]
    others: tuple[Link, ...]


@dataclass(frozen=True)
class Schema:
    """The tree below `session_nodes`, parents first, and how the full-text index is kept.

    `version` is None for a database that does not say, or says two. `has_fts_rows`: a table says
    which rows of the index are of which session; else the index itself is searched.
    """

    version: int | None
    tables: tuple[Table, ...]
    has_fts: bool
    has_fts_rows: bool

    @property
    def is_known(self) -> bool:
        """Say whether rows of this version may be changed."""
        return self.version in KNOWN_VERSIONS

    def below(self, root: str) -> tuple[Table, ...]:
        """List a table and those whose rows go with its rows, parents first."""
        names = {root}
        found = []
        for table in self.tables:
            if table.name == root or any(link.parent in names for link in table.links):
                names.add(table.name)
                found.append(table)
        return tuple(found)


def read_schema(db: sqlite3.Connection) -> Schema:
    """Read the tables of an agent's database.

    Raises:
        sqlite3.Error: it is none, or is damaged.
    """
    names = {
        to_text(name): to_text(sql or "")
        for name, sql in db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'")
    }
    plain = [name for name, sql in names.items() if not sql.upper().startswith("CREATE VIRTUAL")]
    links = {name: _read_links(db, name) for name in plain}
    tree: list[str] = [NODES] if NODES in names else []
    while True:  # parents first; a table waits for all its parents of the tree
        below = {
            name
            for name in plain
            if name not in tree
            and any(each.parent in tree and each.cascades for each in links[name])
        }
        ready = [
            name
            for name in sorted(below)
            if not any(each.parent in below - {name} and each.cascades for each in links[name])
        ]
        if not ready:
            break
        tree += ready
    tables = tuple(
        Table(
            name,
            read_columns(db, name),
            tuple(each for each in links[name] if each.parent in tree and each.cascades),
            tuple(each for each in links[name] if each.parent not in tree),
        )
        for name in tree
    )
    return Schema(_read_version(db, names), tables, FTS in names, FTS_ROWS in names)


def read_columns(db: sqlite3.Connection, table: str) -> tuple[str, ...]:
    """Read the names of a table's columns, in their order; none of a table that is not there."""
    return tuple(name for name, _ in _read_table_info(db, table))


def quote(name: str) -> str:
    """Quote a name of the database's own for a statement."""
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def _read_version(db: sqlite3.Connection, names: dict[str, str]) -> int | None:
    """Read the version that file and table agree on, of a database in an agent's role."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if "schema_meta" not in names:
        return None
    told = db.execute(
        "SELECT role, schema_version FROM schema_meta WHERE meta_key = 'primary'"
    ).fetchone()
    if told is None or (to_text(told[0]), told[1]) != ("agent", version):
        return None
    return int(version)


def _read_links(db: sqlite3.Connection, name: str) -> tuple[Link, ...]:
    """Read a table's foreign keys; a key without named columns leads to the primary key."""
    keys: dict[int, list[tuple[str, str, str | None, str]]] = {}
    for row in db.execute(f"PRAGMA foreign_key_list({quote(name)})"):
        number, _, parent, column, of, _, on_delete, *_ = row
        keys.setdefault(number, []).append(
            (
                to_text(parent),
                to_text(column),
                None if of is None else to_text(of),
                to_text(on_delete),
            )
        )
    found = []
    for parts in keys.values():
        parent, columns = parts[0][0], tuple(part[1] for part in parts)
        named = tuple(part[2] for part in parts if part[2] is not None)
        of = named if len(named) == len(parts) else _read_primary_key(db, parent)
        found.append(Link(parent, columns, of, parts[0][3] == "CASCADE"))
    return tuple(found)


def _read_primary_key(db: sqlite3.Connection, name: str) -> tuple[str, ...]:
    keys = sorted((at, column) for column, at in _read_table_info(db, name) if at)
    return tuple(column for _, column in keys)


def _read_table_info(db: sqlite3.Connection, name: str) -> list[tuple[str, int]]:
    """Read each column's name, and its place in the primary key from 1; 0: it is in none."""
    rows = db.execute(f"PRAGMA table_info({quote(name)})")
    return [(to_text(row[1]), int(row[5])) for row in rows]
