"""What a policy judges in an agent's database: session nodes, and closed windows of cron jobs.

A finished run of 2026.8.1 and later leaves no node. It stays as a closed window under the key of
its job, with its events. Such a window is judged as the run that it was: by its job's key with
`:run:` and the session. A window that its own node names as current or previous, or another node
names at all, is none of these. Windows of chats are not looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tailflip import _native
from tailflip.stores.sqlite.library import octets, to_text
from tailflip.stores.sqlite.schema import EVENTS, NODES, TRAJECTORIES, WINDOWS, read_columns

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator
    from typing import Any

# What the gateway rebuilds at the next use of a session.
BULK = ("skillsSnapshot", "systemPromptReport")
RUNNING = "running"
_PAGE_ROWS = 256
_BASE_PARTS = 4  # agent:ID:cron:JOB
_IS_BASE = (
    "{0} GLOB 'agent:*:cron:*' AND length({0}) - length(replace({0}, ':', '')) = "
    f"{_BASE_PARTS - 1}"
)
_MARK, _EVENT = ":window:", ":event:"

_Row = tuple[str, str | None, int | None, int | None, int | None, str | None, bool, bool, int, int]


class Target(NamedTuple):
    """What a step or a record is about: a node, a window of it, or an event of that window."""

    node: str
    window: str | None = None
    seq: int | None = None

    @property
    def name(self) -> str:
        """The name in an archive, in a draft and in reports."""
        if self.window is None:
            return self.node
        event = "" if self.seq is None else f"{_EVENT}{self.seq}"
        return f"{self.node}{_MARK}{self.window}{event}"

    @property
    def job(self) -> str | None:
        """The cron job of a run or a base node."""
        parts = self.node.split(":")
        return parts[3] if len(parts) >= _BASE_PARTS and parts[2] == "cron" else None


class Unit(NamedTuple):
    """A node, or a closed window of one, with what is judged of it.

    `node` is the key of the node that it is or belongs to; `window` is None for a node. `target` is
    how an archive knows it, `judged` how the policy does: a closed window is judged as a run.
    `written_ms` is when its transcript was written last. `number` is its place among those that
    were gathered.
    """

    number: int
    rowid: int
    node: str
    window: str | None
    session: str | None
    updated_ms: int | None
    started_ms: int | None
    ended_ms: int | None
    status: str | None
    has_override: bool
    is_odd: bool
    bulk_bytes: int
    bytes: int
    entry_bytes: int
    written_ms: int | None = None

    @property
    def loaded_bytes(self) -> int:
        """What a gateway loads of it: every entry at its start, and a run's events to remove it.

        No gateway loads a closed window: it has no entry in memory.
        """
        if self.window is not None:
            return 0
        return self.bytes if ":run:" in self.node else self.entry_bytes

    @property
    def target(self) -> Target:
        """What a step on it is about."""
        return Target(self.node, self.window)

    @property
    def judged(self) -> str:
        """The key that tells the policy its kind and job."""
        return self.node if self.window is None else f"{self.node}:run:{self.window}"

    def row(self) -> _Row:
        """Return what `_native.RowJudge` takes."""
        return (
            self.judged,
            self.session,
            self.updated_ms,
            self.started_ms,
            self.ended_ms,
            self.status,
            self.has_override,
            self.is_odd,
            self.bulk_bytes,
            self.bytes,
        )


# Columns of the table of units; `rowid` would hide the number.
_COLUMNS = [f"own_{field}" for field in Unit._fields[1:]]
_VERDICT = ("verb", "rule", "end_status", "end_ms", "end_runtime_ms")
_GATHERED, _WINDOW, _BYTES = ", ".join(_COLUMNS), "own_window", "own_bytes"
_OVERRIDE, _ODD = Unit._fields.index("has_override"), Unit._fields.index("is_odd")
# Each string of an entry that is a session, with that session's window. What the gateway rebuilds
# at the next use names nothing that must stay. CROSS JOIN names the order: by its own statistics,
# which a gateway leaves in the file, SQLite reads all nodes for each window.
NAMING = f"""
    {NODES} AS node CROSS JOIN json_tree(
      CASE WHEN json_valid(node.entry_json)
        THEN json_remove(node.entry_json, {", ".join(f"'$.{name}'" for name in BULK)})
        ELSE '{{}}' END) AS tree
    CROSS JOIN {WINDOWS} AS own ON tree.type = 'text' AND own.session_id = tree.atom
"""


def split_name(name: str) -> Target:
    """Return what a name is of."""
    node, mark, window = name.rpartition(_MARK)
    if not mark:
        return Target(name)
    session, mark, seq = window.rpartition(_EVENT)
    is_event = mark and seq.isascii() and seq.isdecimal()
    return Target(node, session, int(seq)) if is_event else Target(node, window)


def gather(db: sqlite3.Connection) -> None:
    """Gather all units in a temporary table, of which `read_units` then gives pages.

    So each entry is parsed once, however often the units are read. Temporary tables lie in a file,
    and take no memory by number of rows.
    """
    _begin(db, (write_sizes(db, EVENTS), write_sizes(db, TRAJECTORIES)))
    db.execute("CREATE TEMP TABLE parents (session_key TEXT PRIMARY KEY) WITHOUT ROWID")
    for column in ("spawned_by", "parent_session_key"):  # of nodes with a child that runs
        db.execute(
            f"INSERT OR IGNORE INTO temp.parents SELECT {column} FROM {NODES}"
            f" WHERE status = 'running' AND {column} <> session_key"
        )
    db.execute(f"INSERT INTO temp.units ({_GATHERED}) {_nodes(_write_judged())}")
    db.execute(f"INSERT INTO temp.units ({_GATHERED}) {_windows()}")


def gather_times(db: sqlite3.Connection) -> None:
    """Gather all units with what evidence judges: key, session, times and status."""
    _begin(db)
    db.execute(f"INSERT INTO temp.units ({_GATHERED}) {_nodes()}")
    db.execute(f"INSERT INTO temp.units ({_GATHERED}) {_windows()}")


def gather_windows(db: sqlite3.Connection, *sizes: str) -> None:
    """Gather closed windows of cron jobs alone.

    Args:
        db: in which to gather them.
        sizes: queries for the bytes of events of each session, as `write_sizes` writes them.
            Without any, the windows have no size.
    """
    _begin(db, sizes)
    db.execute(f"INSERT INTO temp.units ({_GATHERED}) {_windows()}")


def _begin(db: sqlite3.Connection, sizes: Iterable[str] = ()) -> None:
    """Make the table of units, and what they join.

    `sizes`: bytes of events of each session. `guarded`: windows of jobs that their own node names
    as the previous one, or another node in any field.
    """
    db.executescript(
        f"""
        CREATE TEMP TABLE units ({_GATHERED}, {", ".join(_VERDICT)});
        CREATE TEMP TABLE sizes (session_id TEXT PRIMARY KEY, bytes INTEGER) WITHOUT ROWID;
        CREATE TEMP TABLE guarded (session_id TEXT PRIMARY KEY) WITHOUT ROWID;
        """
    )
    for query in sizes:
        db.execute(
            f"INSERT INTO temp.sizes {query}"
            " ON CONFLICT (session_id) DO UPDATE SET bytes = bytes + excluded.bytes"
        )
    if db.execute(f"SELECT EXISTS ({_windows()})").fetchone()[0]:  # else there are none to guard
        db.execute(
            f"""
            INSERT OR IGNORE INTO temp.guarded
            SELECT own.session_id FROM {NAMING}
            WHERE tree.key = 'previousSessionId' OR own.session_key <> node.session_key
            """
        )


def write_sizes(db: sqlite3.Connection, table: str) -> str:
    """Write a query for the bytes that the events of each session take."""
    size = write_event_size(db, table)
    return f"SELECT session_id, sum({size}) FROM {table} WHERE true GROUP BY session_id"


def write_event_size(db: sqlite3.Connection, table: str) -> str:
    """Write an expression for the bytes that an event takes in the file.

    Where the gateway counted the bytes of the text itself, that is not read: an old library would
    read all of it (`octets`).
    """
    columns, size = set(read_columns(db, table)), octets("event_json")
    if "event_utf8_bytes" in columns:
        size = f"coalesce(event_utf8_bytes, {size})"
    packed = octets("event_zstd") if "event_zstd" in columns else "0"
    return f"coalesce(CASE WHEN event_json IS NULL THEN {packed} ELSE {size} END, 0)"


def read_units(db: sqlite3.Connection) -> Iterator[list[Unit]]:
    """Stream what was gathered, in pages: nodes, then closed windows, always in the same order."""
    for page in _read_pages(db, "true"):
        yield [_unit(row[: len(Unit._fields)]) for row in page]


def note_verdict(db: sqlite3.Connection, unit: Unit, verdict: tuple[object, ...]) -> None:
    """Note what is done to a unit: verb, rule, and status, end and length of an end to write."""
    changes = ", ".join(f"{name} = ?" for name in _VERDICT)
    db.execute(f"UPDATE temp.units SET {changes} WHERE rowid = ?", (*verdict, unit.number))


def read_verdicts(db: sqlite3.Connection) -> Iterator[tuple[Unit, tuple[Any, ...]]]:
    """Stream the units of which a verdict was noted, with it."""
    for page in _read_pages(db, "verb IS NOT NULL"):
        for row in page:
            own, verdict = row[: len(Unit._fields)], row[len(Unit._fields) :]
            yield _unit(own), tuple(to_text(v) if isinstance(v, bytes) else v for v in verdict)


def _read_pages(db: sqlite3.Connection, condition: str) -> Iterator[list[tuple[Any, ...]]]:
    after = 0
    page = f"SELECT rowid, * FROM temp.units WHERE rowid > ? AND {condition} ORDER BY rowid LIMIT ?"
    while rows := db.execute(page, (after, _PAGE_ROWS)).fetchall():
        yield rows
        after = rows[-1][0]


def count_windows(db: sqlite3.Connection) -> tuple[int, int]:
    """Count the closed windows that were gathered; returns their number and their bytes."""
    (count, size) = db.execute(
        f"SELECT count(*), coalesce(sum({_BYTES}), 0) FROM temp.units WHERE {_WINDOW} IS NOT NULL"
    ).fetchone()
    return int(count), int(size)


def count_entries(db: sqlite3.Connection) -> int:
    """Count nodes and closed windows of cron jobs."""
    gather_windows(db)
    (nodes,) = db.execute(f"SELECT count(*) FROM {NODES}").fetchone()
    return int(nodes) + count_windows(db)[0]


def _write_judged() -> str:
    """Write what a policy judges of an entry: overrides, oddness, bytes of what is rebuilt."""
    fields = (f"json_extract(entry, '$.{name}')" for name in BULK)
    bulk = " + ".join(f"coalesce({octets(field)}, 0)" for field in fields)
    overrides = " OR ".join(
        f"json_type(entry, '$.{name}') IS NOT NULL" for name in _native.OVERRIDES
    )
    return f"""
          {overrides},
          entry_valid <> 1 OR NOT is_json OR pinned_at IS NOT NULL
            OR status IS NOT json_extract(entry, '$.status')
            OR updated_at IS NOT json_extract(entry, '$.updatedAt')
            OR current_session_id IS NOT json_extract(entry, '$.sessionId')
            OR (session_key IN (SELECT session_key FROM temp.parents)
                AND json_type(entry, '$.cronRunContinuation') IS NOT NULL),
          {bulk}
    """


def _nodes(judged: str = "0, 0, 0") -> str:
    entry = "CASE WHEN json_valid(node.entry_json) THEN node.entry_json ELSE '{}' END"
    return f"""
        SELECT id, session_key, NULL, current_session_id, updated_at,
          CASE WHEN json_type(entry, '$.startedAt') = 'integer'
               THEN json_extract(entry, '$.startedAt') END,
          CASE WHEN json_type(entry, '$.endedAt') = 'integer'
               THEN json_extract(entry, '$.endedAt') END,
          status,
          {judged},
          size + coalesce((
            SELECT sum(sizes.bytes) FROM {WINDOWS} AS own
            JOIN temp.sizes AS sizes USING (session_id)
            WHERE own.session_key = page.session_key
              AND (own.session_id = page.current_session_id OR NOT is_base)
          ), 0),
          size,
          (SELECT transcript_updated_at FROM {WINDOWS} WHERE session_id = page.current_session_id)
        FROM (
          SELECT node.rowid AS id, node.*, {entry} AS entry,
            json_valid(node.entry_json) AS is_json, {octets("node.entry_json")} AS size,
            {_IS_BASE.format("node.session_key")} AS is_base
          FROM {NODES} AS node ORDER BY node.rowid LIMIT -1 OFFSET 0
        ) AS page
    """


def _windows() -> str:
    return f"""
        SELECT own.rowid, own.session_key, own.session_id, own.session_id, own.updated_at,
          own.started_at, own.ended_at, own.status, 0,
          own.acp_owned <> 0 OR own.plugin_owner_id IS NOT NULL, 0,
          coalesce((SELECT bytes FROM temp.sizes WHERE session_id = own.session_id), 0), 0,
          own.transcript_updated_at
        FROM {WINDOWS} AS own JOIN {NODES} AS node USING (session_key)
        WHERE own.session_id <> node.current_session_id
          AND {_IS_BASE.format("own.session_key")}
          AND own.session_id NOT IN (SELECT session_id FROM temp.guarded)
          AND NOT EXISTS (
            SELECT 1 FROM {NODES} AS other
            WHERE other.current_session_id = own.session_id
          )
        ORDER BY own.rowid
    """


def _unit(row: tuple[object, ...]) -> Unit:
    values = [to_text(each) if isinstance(each, bytes) else each for each in row]
    values[_OVERRIDE], values[_ODD] = bool(values[_OVERRIDE]), bool(values[_ODD])
    return Unit(*values)  # type: ignore[arg-type]
