"""Archives nodes of a database as they are; the database is read and not changed.

For a gateway that removes them itself. It ends what works under a session that it removes, and
leaves a window to another node that names it. So a node is passed over if another node names one
of its sessions, in any field: what is archived is then all that goes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic_core import from_json

from tailflip.base.errors import ArchiveDamaged
from tailflip.flow.numbers import KeptEntry, RecordHeader
from tailflip.stores.records import RecordWriter, verify_records
from tailflip.stores.sqlite.drafting import Spool
from tailflip.stores.sqlite.reading import read
from tailflip.stores.sqlite.rows import note_index_rows, plan_walk
from tailflip.stores.sqlite.schema import NODES, WINDOWS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from pathlib import Path

    from tailflip.flow.numbers import ArchiveNumbers
    from tailflip.stores.sqlite.schema import Schema


def choose_nodes(store: Path, keys: Sequence[str]) -> tuple[KeptEntry, ...]:
    """Choose the nodes that `keep_nodes` would archive; `bytes` is 0.

    Raises:
        StoreChanged: somebody wrote meanwhile.
    """

    def work(db: sqlite3.Connection, _: Schema) -> tuple[KeptEntry, ...]:
        _note_those_that_stay(db, keys)
        return tuple(kept for key in keys if (kept := _describe(db, key)) is not None)

    return read(store.resolve(), work)[0]


def keep_nodes(
    store: Path, keys: Sequence[str], fd: int, *, rule: str, now_ms: int
) -> tuple[tuple[KeptEntry, ...], ArchiveNumbers]:
    """Write nodes that stand alone, with all that hangs on them, to an empty archive.

    Args:
        store: the database, in use or not.
        keys: of nodes. Passed over is what is not there, is not proven by its gateway, is pinned,
            shares a session, has a descendant that runs, or a job whose own node runs.
        fd: of the archive.
        rule: why they will go.
        now_ms: wall clock.

    Returns:
        What was archived, in the order of the keys, and the archive's own numbers.

    Raises:
        StoreChanged: somebody wrote meanwhile; the archive is then to be begun anew.
        ArchiveDamaged: it does not read back as it was written.
    """

    def work(
        db: sqlite3.Connection, schema: Schema
    ) -> tuple[tuple[KeptEntry, ...], ArchiveNumbers]:
        _note_those_that_stay(db, keys)
        note_index_rows(db, schema)
        walk = plan_walk(db, schema, NODES)
        records = RecordWriter(fd)
        found: list[KeptEntry] = []
        with Spool() as spool:
            for key in keys:
                kept = _describe(db, key)
                if kept is None:
                    continue
                for line in walk.lines(db, key):
                    spool.put(line.encode())
                kept = kept._replace(bytes=spool.size_bytes)
                records.add(_head(kept, rule, now_ms), spool.take())
                found.append(kept)
        return tuple(found), records.finish()

    found, archived = read(store.resolve(), work)[0]
    if verify_records(fd) != archived:
        raise ArchiveDamaged("archive does not read back as it was written; nothing was changed")
    return found, archived


def _note_those_that_stay(db: sqlite3.Connection, keys: Sequence[str]) -> None:
    """Note in `temp.stays` the nodes that others need; `temp.rehomed` is empty, for the walk."""
    db.executescript(
        """
        CREATE TEMP TABLE rehomed (session_id TEXT PRIMARY KEY) WITHOUT ROWID;
        CREATE TEMP TABLE wanted (session_key TEXT PRIMARY KEY) WITHOUT ROWID;
        CREATE TEMP TABLE own (session_id TEXT, session_key TEXT, PRIMARY KEY (session_id,
          session_key)) WITHOUT ROWID;
        CREATE TEMP TABLE stays (session_key TEXT PRIMARY KEY) WITHOUT ROWID;
        """
    )
    db.executemany("INSERT OR IGNORE INTO temp.wanted VALUES (?)", [(key,) for key in keys])
    for table, session in ((NODES, "current_session_id"), (WINDOWS, "session_id")):
        db.execute(
            f"INSERT OR IGNORE INTO temp.own SELECT {session}, session_key FROM {table}"
            " JOIN temp.wanted USING (session_key)"
        )
    db.execute(
        f"""
        INSERT OR IGNORE INTO temp.stays
        SELECT own.session_key FROM temp.own
        JOIN {NODES} AS node ON node.current_session_id = own.session_id
        WHERE node.session_key <> own.session_key
        """
    )
    db.execute(
        f"""
        INSERT OR IGNORE INTO temp.stays
        SELECT session_key FROM temp.wanted WHERE EXISTS (
          SELECT 1 FROM {NODES} AS child
          WHERE wanted.session_key IN (child.spawned_by, child.parent_session_key)
            AND child.status = 'running' AND child.session_key <> wanted.session_key
        )
        """
    )
    db.execute(
        f"""
        INSERT OR IGNORE INTO temp.stays
        SELECT wanted.session_key FROM temp.wanted JOIN {NODES} AS base
        ON base.session_key = substr(wanted.session_key, 1, instr(wanted.session_key, ':run:') - 1)
        WHERE base.status = 'running'
        """
    )
    db.execute("DELETE FROM temp.own WHERE session_key IN (SELECT session_key FROM temp.stays)")
    if db.execute("SELECT EXISTS (SELECT 1 FROM temp.own)").fetchone()[0]:  # else no text is read
        db.execute(
            f"""
            INSERT OR IGNORE INTO temp.stays
            SELECT own.session_key FROM {NODES} AS node, json_tree(node.entry_json) AS tree
            JOIN temp.own ON own.session_id = tree.atom
            WHERE json_valid(node.entry_json) AND tree.type = 'text'
              AND own.session_key <> node.session_key
            """
        )


def _describe(db: sqlite3.Connection, key: str) -> KeptEntry | None:
    """Describe a node that stands alone, and whose columns and entry say the same."""
    row = db.execute(
        f"""
        SELECT rowid, current_session_id, updated_at, status, entry_json FROM {NODES}
        WHERE session_key = ? AND entry_valid = 1 AND pinned_at IS NULL
          AND session_key NOT IN (SELECT session_key FROM temp.stays)
          AND json_valid(entry_json) AND status IS json_extract(entry_json, '$.status')
          AND updated_at IS json_extract(entry_json, '$.updatedAt')
          AND current_session_id IS json_extract(entry_json, '$.sessionId')
        """,
        (key,),
    ).fetchone()
    if row is None or row[1] is None:
        return None
    rowid, session, updated_ms, status, entry = row
    revision = from_json(entry).get("lifecycleRevision")
    return KeptEntry(
        key,
        rowid,
        session.decode(),
        updated_ms,
        None if status is None else status.decode(),
        revision if isinstance(revision, str) else None,
        0,
    )


def _head(kept: KeptEntry, rule: str, now_ms: int) -> RecordHeader:
    return RecordHeader(
        key=kept.key,
        rule=rule,
        time_ms=now_ms,
        at=kept.at,
        bytes=kept.bytes,
        lead=0,
        trail=0,
        session=kept.session,
        file=None,
        job=kept.job,
        after=None,
        after_bytes=0,
    )
