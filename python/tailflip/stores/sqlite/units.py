"""What a policy judges in an agent's database: session nodes, and closed windows of cron jobs.

A finished run of 2026.8.1 and later leaves no node. It stays as a closed window under the key of
its job, with its events. Such a window is judged as the run that it was: by its job's key with
`:run:` and the session. A window that its own node names as current or previous, or another node
names at all, is none of these. Windows of chats are not looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tailflip import _native
from tailflip.stores.sqlite.library import octets
from tailflip.stores.sqlite.schema import NODES, WINDOWS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

# What the gateway rebuilds at the next use of a session.
BULK = ("skillsSnapshot", "systemPromptReport")
RUNNING = "running"
_PAGE_ROWS = 256
_BASE_PARTS = 4  # agent:ID:cron:JOB
_MARK = ":window:"

_Row = tuple[str, str | None, int | None, int | None, int | None, str | None, bool, bool, int, int]


class Unit(NamedTuple):
    """A node, or a closed window of one, with what is judged of it.

    `node` is the key of the node that it is or belongs to; `window` is None for a node. `name` is
    how an archive knows it, `judged` how the policy does: a closed window is judged as a run.
    `written_ms` is when its transcript was written last.
    """

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
    def name(self) -> str:
        """The name in an archive and in reports."""
        return self.node if self.window is None else f"{self.node}{_MARK}{self.window}"

    @property
    def judged(self) -> str:
        """The key that tells the policy its kind and job."""
        return self.node if self.window is None else f"{self.node}:run:{self.window}"

    @property
    def job(self) -> str | None:
        """The cron job of a run or a base node."""
        parts = self.node.split(":")
        return parts[3] if len(parts) >= _BASE_PARTS and parts[2] == "cron" else None

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


def split_name(name: str) -> tuple[str, str | None]:
    """Return the node's key and the window's session of a name, None for a node."""
    node, mark, window = name.rpartition(_MARK)
    return (node, window) if mark else (name, None)


def gather(db: sqlite3.Connection) -> None:
    """Gather all units in a temporary table, of which `read_units` then gives pages.

    So each entry is parsed once, however often the units are read. Temporary tables lie in a file,
    and take no memory by number of rows.
    """
    _begin(db)
    db.execute("CREATE TEMP TABLE continued (session_key TEXT PRIMARY KEY) WITHOUT ROWID")
    db.execute(
        f"""
        INSERT OR IGNORE INTO temp.continued
        SELECT node.session_key
        FROM (
          SELECT session_key, spawned_by AS parent FROM {NODES} WHERE status = 'running'
          UNION ALL
          SELECT session_key, parent_session_key FROM {NODES} WHERE status = 'running'
        ) AS child CROSS JOIN {NODES} AS node ON node.session_key = child.parent
        WHERE child.session_key <> node.session_key AND json_valid(node.entry_json)
          AND json_type(node.entry_json, '$.cronRunContinuation') IS NOT NULL
        """
    )
    db.execute(f"INSERT INTO temp.units {_nodes()}")
    db.execute(f"INSERT INTO temp.units {_windows()}")


def gather_windows(db: sqlite3.Connection) -> None:
    """Gather closed windows of cron jobs alone."""
    _begin(db)
    db.execute(f"INSERT INTO temp.units {_windows()}")


def _begin(db: sqlite3.Connection) -> None:
    """Make the table of units, and sum up what they join.

    `sizes`: bytes of events of each session. `guarded`: windows of jobs that their own node names
    as the previous one, or another node in any field.
    """
    columns = ", ".join(f"c{number}" for number in range(len(Unit._fields)))
    db.execute(f"CREATE TEMP TABLE units ({columns})")
    db.execute("CREATE TEMP TABLE sizes (session_id TEXT PRIMARY KEY, bytes INTEGER) WITHOUT ROWID")
    db.execute("CREATE TEMP TABLE guarded (session_id TEXT PRIMARY KEY) WITHOUT ROWID")
    for table in ("transcript_events", "trajectory_runtime_events"):
        db.execute(
            f"INSERT INTO temp.sizes SELECT session_id, sum({write_event_size(db, table)})"
            f" FROM {table} WHERE true GROUP BY session_id"
            " ON CONFLICT (session_id) DO UPDATE SET bytes = bytes + excluded.bytes"
        )
    if db.execute(f"SELECT EXISTS ({_windows()})").fetchone()[0]:  # else there are none to guard
        db.execute(
            f"""
            INSERT OR IGNORE INTO temp.guarded
            SELECT own.session_id
            FROM {NODES} AS node CROSS JOIN json_tree(node.entry_json) AS tree
            CROSS JOIN {WINDOWS} AS own ON own.session_id = tree.atom
            WHERE json_valid(node.entry_json) AND tree.type = 'text'
              AND (tree.key = 'previousSessionId' OR own.session_key <> node.session_key)
            """
        )


def write_event_size(db: sqlite3.Connection, table: str) -> str:
    """Write an expression for the bytes that an event takes in the file."""
    has_packed = db.execute(
        "SELECT 1 FROM pragma_table_info(?) WHERE name = 'event_zstd'", (table,)
    ).fetchone()
    size = f"coalesce({octets('event_json')}, 0)"
    return f"{size} + coalesce({octets('event_zstd')}, 0)" if has_packed else size


def read_units(db: sqlite3.Connection) -> Iterator[list[Unit]]:
    """Stream what was gathered, in pages: nodes, then closed windows, always in the same order."""
    after = 0
    page = "SELECT rowid, * FROM temp.units WHERE rowid > ? ORDER BY rowid LIMIT ?"
    while rows := db.execute(page, (after, _PAGE_ROWS)).fetchall():
        units = [_unit(row[1:]) for row in rows]
        yield [unit for unit in units if unit.window is None or _is_base(unit.node)]
        after = rows[-1][0]


def count_entries(db: sqlite3.Connection) -> int:
    """Count nodes and closed windows of cron jobs."""
    gather_windows(db)
    (nodes,) = db.execute(f"SELECT count(*) FROM {NODES}").fetchone()
    return int(nodes) + sum(len(page) for page in read_units(db))


def _nodes() -> str:
    entry = "CASE WHEN json_valid(node.entry_json) THEN node.entry_json ELSE '{}' END"
    fields = (f"json_extract(entry, '$.{name}')" for name in BULK)
    bulk = " + ".join(f"coalesce({octets(field)}, 0)" for field in fields)
    overrides = " OR ".join(
        f"json_type(entry, '$.{name}') IS NOT NULL" for name in _native.OVERRIDES
    )
    return f"""
        SELECT id, session_key, NULL, current_session_id, updated_at,
          CASE WHEN json_type(entry, '$.startedAt') = 'integer'
               THEN json_extract(entry, '$.startedAt') END,
          CASE WHEN json_type(entry, '$.endedAt') = 'integer'
               THEN json_extract(entry, '$.endedAt') END,
          status,
          {overrides},
          entry_valid <> 1 OR NOT is_json OR pinned_at IS NOT NULL
            OR status IS NOT json_extract(entry, '$.status')
            OR updated_at IS NOT json_extract(entry, '$.updatedAt')
            OR current_session_id IS NOT json_extract(entry, '$.sessionId')
            OR session_key IN (SELECT session_key FROM temp.continued),
          {bulk},
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
            node.session_key GLOB 'agent:*:cron:*'
              AND node.session_key NOT GLOB 'agent:*:cron:*:*' AS is_base
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
          AND own.session_key GLOB 'agent:*:cron:*'
          AND own.session_key NOT GLOB 'agent:*:cron:*:*'
          AND own.session_id NOT IN (SELECT session_id FROM temp.guarded)
          AND NOT EXISTS (
            SELECT 1 FROM {NODES} AS other
            WHERE other.current_session_id = own.session_id
          )
        ORDER BY own.rowid
    """


def _unit(row: tuple[object, ...]) -> Unit:
    texts = [each.decode("utf-8", "replace") if isinstance(each, bytes) else each for each in row]
    texts[8], texts[9] = bool(texts[8]), bool(texts[9])
    return Unit(*texts)  # type: ignore[arg-type]


def _is_base(key: str) -> bool:
    return key.count(":") == _BASE_PARTS - 1
