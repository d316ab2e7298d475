"""Writes the draft of a restore: archived rows that are gone, and entries that were cut."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.base.durable import open_scratch
from tailflip.base.errors import ArchiveDamaged, CannotCreate
from tailflip.flow.numbers import RestoreNumbers, VerifyNumbers
from tailflip.stores.records import RecordReader
from tailflip.stores.sqlite.change import find_entry, read_entry
from tailflip.stores.sqlite.drafting import Spool
from tailflip.stores.sqlite.reading import read
from tailflip.stores.sqlite.rows import decode
from tailflip.stores.sqlite.schema import WINDOWS
from tailflip.stores.sqlite.units import Target, count_entries, split_name
from tailflip.stores.sqlite.work import Step, Verb, WorkReader, WorkWriter, digest_entry

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping

    from tailflip.flow.numbers import RecordHeader, Selection
    from tailflip.stores.engine import Opened
    from tailflip.stores.sqlite.rows import Line, Value
    from tailflip.stores.sqlite.schema import Schema

_MOST_TOLD = 20


class PutBack:
    """One archive put back onto a database, or onto the draft of what other archives put back.

    The entries that the draft already changes are noted in a temporary table of the connection.
    """

    def __init__(self, db: sqlite3.Connection, before: VerifyNumbers) -> None:
        """Take a connection of its own, and the numbers of what is put back onto."""
        self._db = db
        self._before = before
        self._conflicts: list[str] = []
        self._counts = dict.fromkeys(("added", "replaced", "unchanged", "conflicts"), 0)
        self._grown_bytes = 0
        db.execute("CREATE TEMP TABLE taken (name TEXT PRIMARY KEY, digest TEXT) WITHOUT ROWID")

    def follow(self, earlier: WorkReader, out: WorkWriter) -> None:
        """Copy the steps of an earlier draft, and note what they change."""
        with Spool() as spool:
            for step in earlier.steps():
                for chunk in earlier.chunks():
                    spool.put(chunk)
                size_bytes = spool.size_bytes
                digest = _Digesting(step)
                out.add(step, digest.watch(spool.take()), size_bytes)
                self._note(step.name, digest.entry_digest())
        self._before = earlier.verify()

    def add(self, records: int, selection: Selection, out: WorkWriter) -> None:
        """Add the wanted entries of an archive."""
        archive = RecordReader(records)
        keys, jobs = set(selection.keys), set(selection.jobs)
        with Spool() as spool:
            while (header := archive.next()) is not None:
                if selection.all or header.key in keys or header.job in jobs:
                    self._add(header, archive, spool, out)

    def finish(self, out: WorkWriter) -> RestoreNumbers:
        """End the draft."""
        written = out.finish(
            self._before.entries + self._counts["added"], self._before.bytes + self._grown_bytes
        )
        return RestoreNumbers(
            **self._counts,
            conflict_keys=tuple(self._conflicts),
            bytes=written.bytes,
            entries=written.entries,
            digest=written.digest,
            kept_digest=written.kept_digest,
        )

    def _add(
        self, header: RecordHeader, archive: RecordReader, spool: Spool, out: WorkWriter
    ) -> None:
        entry, clashes = self._look_at(header, archive, spool)
        present, old = self._find(header.key), digest_entry(entry)
        is_gone = present is None and not clashes and self._has_parent(header.key)
        if present == old:
            self._counts["unchanged"] += 1
        elif header.after is None and is_gone:
            size_bytes = spool.size_bytes
            out.add(Step(Verb.INSERT, header.key, size_bytes), spool.take(), size_bytes)
            # An event makes its session whole again, and no session is added.
            is_event = split_name(header.key).seq is not None
            self._count("replaced" if is_event else "added", header.key, old, size_bytes)
        elif header.after is not None and present == header.after and not clashes:
            size_bytes = spool.size_bytes
            step = Step(Verb.EDIT, header.key, len(entry), present)
            out.add(step, spool.take(), size_bytes)
            self._count("replaced", header.key, old, len(entry) - header.after_bytes)
        else:
            self._counts["conflicts"] += 1
            if len(self._conflicts) < _MOST_TOLD:
                self._conflicts.append(header.key)
        for _ in spool.take():
            pass

    def _look_at(
        self, header: RecordHeader, archive: RecordReader, spool: Spool
    ) -> tuple[bytes, bool]:
        """Read a record; returns its entry, and whether one of its windows is in use.

        A window that was changed is in use where it is no longer as it was left.
        """
        entry, clashes = None, False
        for text in archive.lines():
            line = decode(text)
            if line.table == WINDOWS and not line.moved:
                clashes = clashes or self._has_window(line.values)
            if line.left is not None:
                clashes = clashes or self._is_otherwise(header.key, line, line.left)
            if entry is None and not line.stays:
                entry = find_entry(header.key, line.values)
            spool.put(text + b"\n" if line.left is None else replace(line, left=None).encode())
        if entry is None:
            raise ArchiveDamaged("a record without its entry")
        return entry, clashes

    def _count(self, what: str, name: str, digest: str, grown_bytes: int) -> None:
        self._counts[what] += 1
        self._grown_bytes += grown_bytes
        self._note(name, digest)

    def _note(self, name: str, digest: str | None) -> None:
        self._db.execute("INSERT OR REPLACE INTO temp.taken VALUES (?, ?)", (name, digest))

    def _find(self, name: str) -> str | None:
        """Return the digest of the entry under a name, as the draft so far leaves it."""
        noted = self._db.execute("SELECT digest FROM temp.taken WHERE name = ?", (name,)).fetchone()
        if noted is not None:
            return None if noted[0] is None else bytes(noted[0]).decode()
        entry = read_entry(self._db, name)
        return None if entry is None else digest_entry(entry)

    def _has_parent(self, name: str) -> bool:
        """Say whether the node of a window, or the window of an event, is there or will be.

        A window comes back with its node, or by itself.
        """
        node, window, seq = split_name(name)
        if window is None or self._find(node) is None:
            return window is None
        return (
            seq is None or self._is_taken(node) or self._find(Target(node, window).name) is not None
        )

    def _is_taken(self, name: str) -> bool:
        found = self._db.execute("SELECT 1 FROM temp.taken WHERE name = ?", (name,)).fetchone()
        return found is not None

    def _is_otherwise(self, name: str, line: Line, left: Mapping[str, Value]) -> bool:
        """Say whether a window was changed since; what the draft so far changes is as it says."""
        if self._is_taken(name):
            return False
        row = self._db.execute(
            f"SELECT {', '.join(left)} FROM {WINDOWS} WHERE session_id = CAST(? AS TEXT)",
            (line.values["session_id"],),
        ).fetchone()
        return row is None or tuple(row) != tuple(left.values())

    def _has_window(self, values: Mapping[str, object]) -> bool:
        """Say whether a session lives in a window of a node that the draft so far leaves."""
        owner = self._db.execute(
            f"SELECT session_key FROM {WINDOWS} WHERE session_id = CAST(? AS TEXT)",
            (values.get("session_id"),),
        ).fetchone()
        return owner is not None and self._find(bytes(owner[0]).decode()) is not None


class _Digesting:
    """Watches the bytes of a step, to know what entry it leaves."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._entry: bytes | None = None

    def watch(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Pass the bytes on; the first line of an insertion or an edit has the entry."""
        held, is_done = b"", self._step.verb is Verb.DELETE
        for chunk in chunks:
            yield chunk
            if is_done:
                continue
            held += chunk
            is_done = self._read_lines(held)
            if not is_done:
                held = held[held.rfind(b"\n") + 1 :]

    def entry_digest(self) -> str | None:
        """Return the digest of the entry that the step leaves; None if it leaves none."""
        return None if self._entry is None else digest_entry(self._entry)

    def _read_lines(self, held: bytes) -> bool:
        for text in held.split(b"\n")[:-1]:
            line = decode(text)
            if not line.stays:
                self._entry = find_entry(self._step.name, line.values)
                return True
        return False


def put_back(
    reading: Opened | int, fd: int | None, records: int, selection: Selection
) -> RestoreNumbers:
    """Put an archive back onto a database, or onto a draft; without `fd`, measure alone.

    Raises:
        CannotCreate: there is no room to measure.
    """
    earlier = WorkReader(reading) if isinstance(reading, int) else None
    path = Path(earlier.store) if earlier is not None else _path_of(reading)
    size_bytes = 0 if isinstance(reading, int) else reading.size_bytes
    out_fd = open_scratch() if fd is None else fd
    if out_fd < 0:
        raise CannotCreate("cannot measure the restore: no room for a scratch file")

    def work(db: sqlite3.Connection, _: Schema) -> RestoreNumbers:
        out = WorkWriter(out_fd, str(path))
        own = PutBack(
            db,
            VerifyNumbers(bytes=size_bytes, entries=count_entries(db), digest="", kept_digest=""),
        )
        if earlier is not None:
            own.follow(earlier, out)
        own.add(records, selection, out)
        return own.finish(out)

    try:
        return read(path, work)[0]
    finally:
        if fd is None:
            os.close(out_fd)


def _path_of(opened: Opened | int) -> Path:
    if isinstance(opened, int):
        raise TypeError("a draft names its database itself")
    return opened.real
