"""Writes the draft of a change, and archives all that it will remove or change."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from tailflip.base.durable import open_scratch
from tailflip.base.errors import ArchiveDamaged
from tailflip.flow.numbers import RecordHeader, RewriteNumbers
from tailflip.stores.records import RecordWriter, verify_records
from tailflip.stores.sqlite.change import find_entry, read_entry
from tailflip.stores.sqlite.editing import plan_edit, write_end
from tailflip.stores.sqlite.library import Text
from tailflip.stores.sqlite.rows import Line, note_index_rows, plan_walk
from tailflip.stores.sqlite.schema import EVENTS, NODES, WINDOWS
from tailflip.stores.sqlite.survey import DROP
from tailflip.stores.sqlite.units import NAMING
from tailflip.stores.sqlite.work import Step, Verb, WorkWriter, digest_entry

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import Self

    from tailflip.flow.numbers import SurveyNumbers
    from tailflip.stores.sqlite.repairs import Repairs
    from tailflip.stores.sqlite.rows import Walk
    from tailflip.stores.sqlite.schema import Schema
    from tailflip.stores.sqlite.survey import Change, Surveyed, Told

_SPOOL_BYTES = 1 << 20


class Spool:
    """The bytes of one record, until their number is known: a large one waits in a file."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._fd = -1
        self._written = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    @property
    def size_bytes(self) -> int:
        """How many bytes were put in since it was emptied."""
        return self._written + len(self._held)

    def put(self, data: bytes) -> None:
        """Add bytes."""
        self._held += data
        if len(self._held) < _SPOOL_BYTES:
            return
        if self._fd < 0:
            self._fd = open_scratch()
        if self._fd >= 0:
            view = memoryview(self._held)
            while view:
                count = os.pwrite(self._fd, view, self._written)
                self._written, view = self._written + count, view[count:]
            view.release()
            self._held.clear()

    def take(self) -> Iterator[bytes]:
        """Give the bytes back, piece by piece, and be empty again."""
        at = 0
        while at < self._written:
            # Behind them may lie bytes of a larger record before this one.
            chunk = os.pread(self._fd, min(_SPOOL_BYTES, self._written - at), at)
            at += len(chunk)
            yield chunk
        yield bytes(self._held)
        self._held.clear()
        self._written = 0


def write_draft(
    db: sqlite3.Connection,
    schema: Schema,
    surveyed: Surveyed | Repairs,
    *,
    store: Path,
    fd: int,
    archive_fd: int,
) -> RewriteNumbers:
    """Look again, and write for each target that does not stay a step and a record."""
    numbers = _look_again(db, surveyed)
    _find_shared_windows(db)
    note_index_rows(db, schema)
    work, records = WorkWriter(fd, str(store)), RecordWriter(archive_fd)
    walks = {name: plan_walk(db, schema, name) for name in (NODES, WINDOWS, EVENTS)}
    removed = 0
    with Spool() as spool:
        for change in surveyed.read_changes(db):
            name = change.target.name
            before = read_entry(db, name)
            if before is None:
                continue
            after: bytes | None = None
            if change.told.verb == DROP:
                removed += change.target.seq is None
                changes = []
                for line in _list_lines(db, walks, change):
                    for piece in line.pieces():
                        spool.put(piece)
                    if line.moved:
                        changes.append(_turn(db, line, change.told))
                    del line
                step = Step(Verb.DELETE, name, change.bytes)
            else:
                edit = plan_edit(db, change)
                changes = list(edit.after)
                after = find_entry(name, changes[0].values)
                spool.put(b"".join(line.encode() for line in edit.before))
                step = Step(Verb.EDIT, name, len(before))
            records.add(_head(change, surveyed.now_ms, spool.size_bytes, after), spool.take())
            raw = b"".join(line.encode() for line in changes)
            work.add(replace(step, before=digest_entry(before)), (raw,), len(raw))
    archived = records.finish()
    if verify_records(archive_fd) != archived:
        raise ArchiveDamaged("archive does not read back as it was written; nothing was changed")
    written = work.finish(numbers.entries - removed, numbers.bytes_after)
    return RewriteNumbers(
        bytes=written.bytes,
        entries=written.entries,
        digest=written.digest,
        kept_digest=written.kept_digest,
        rules=numbers.rules,
        records=archived.records,
        archive_bytes=archived.archive_bytes,
        archive_digest=archived.digest,
    )


def _look_again(db: sqlite3.Connection, surveyed: Surveyed | Repairs) -> SurveyNumbers:
    """Note in the database what is done to each target, and which nodes go."""
    db.execute("CREATE TEMP TABLE doomed (session_key TEXT PRIMARY KEY) WITHOUT ROWID")

    def note(change: Change) -> None:
        if change.told.verb == DROP and change.target.window is None:
            db.execute("INSERT INTO temp.doomed VALUES (?)", (change.target.node,))

    return surveyed.judge_again(db, note)


def _find_shared_windows(db: sqlite3.Connection) -> None:
    """Find windows of nodes that go which a node that stays names: they go to that one.

    Any string of an entry counts, whatever field it stands in.
    """
    db.execute(
        "CREATE TEMP TABLE rehomed (session_id TEXT PRIMARY KEY, session_key TEXT) WITHOUT ROWID"
    )
    condition = (
        "own.session_key IN (SELECT session_key FROM temp.doomed)"
        " AND node.session_key NOT IN (SELECT session_key FROM temp.doomed)"
    )
    current = f"{NODES} AS node CROSS JOIN {WINDOWS} AS own ON own.session_id = current_session_id"
    for source in (current, NAMING):
        db.execute(
            "INSERT OR IGNORE INTO temp.rehomed"
            f" SELECT own.session_id, node.session_key FROM {source} WHERE {condition}"
        )


def _list_lines(
    db: sqlite3.Connection, walks: Mapping[str, Walk], change: Change
) -> Iterator[Line]:
    """Stream the rows that go, then the windows that another node takes over, as they are."""
    node, window, seq = change.target
    if window is not None:
        yield from walks[WINDOWS if seq is None else EVENTS].lines(db, window, seq)
        return
    yield from walks[NODES].lines(db, node)
    for session, status, ended_ms in db.execute(
        f"SELECT session_id, status, ended_at FROM {WINDOWS} WHERE session_key = ?"
        " AND session_id IN (SELECT session_id FROM temp.rehomed)",
        (node,),
    ):
        own = {"session_id": session, "session_key": Text(node.encode())}
        if write_end(status, change.told.end):
            own |= {"status": status, "ended_at": ended_ms}
        yield Line(WINDOWS, own, moved=True)


def _turn(db: sqlite3.Connection, line: Line, told: Told) -> Line:
    """Say of a window that says what it was, what it will be."""
    (new,) = db.execute(
        "SELECT session_key FROM temp.rehomed WHERE session_id = CAST(? AS TEXT)",
        (line.values["session_id"],),
    ).fetchone()
    ended = write_end(line.values.get("status"), told.end)
    return replace(line, values={**line.values, "session_key": Text(new), **ended})


def _head(change: Change, now_ms: int, size_bytes: int, after: bytes | None) -> RecordHeader:
    return RecordHeader(
        key=change.target.name,
        rule=change.told.rule,
        time_ms=now_ms,
        at=change.rowid,
        bytes=size_bytes,
        lead=0,
        trail=0,
        session=change.session,
        file=None,
        job=change.target.job,
        after=None if after is None else digest_entry(after),
        after_bytes=0 if after is None else len(after),
    )
