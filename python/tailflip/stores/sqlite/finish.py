"""After the steps: the log emptied, free pages given back, the whole file checked.

The file stays the same one: the gateway knows a database by its inode, and proves every row of
another one anew.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from tailflip.base.errors import IoFailed, StoreInvalid, TryLater
from tailflip.flow.numbers import VerifyNumbers
from tailflip.stores.sqlite.library import connect, read_pages
from tailflip.stores.sqlite.reading import read
from tailflip.stores.sqlite.schema import FTS
from tailflip.stores.sqlite.units import count_entries

if TYPE_CHECKING:
    from pathlib import Path

    from tailflip.base.durable import Disk
    from tailflip.stores.sqlite.schema import Schema

# A file with less to give back than this is left as it is.
_WORTH_PAGES = 256
_STEP_PAGES = 2_000
_ROOM_FACTOR = 2  # a VACUUM writes the live pages to a temporary file, and again to the log
_RECEIPTS = "agent_integrity_verifications"


def finish(path: Path, disk: Disk) -> None:
    """Shrink a database and check it.

    Raises:
        TryLater: somebody reads it, so that its log cannot be emptied.
        IoFailed: it does not pass its own checks.
    """
    with closing(connect(path)) as db:
        _empty_log(db, path, disk)
        _shrink(db, path, disk)
        _empty_log(db, path, disk)
        fault = find_fault(db)
    if fault is not None:
        raise IoFailed(
            f"database does not pass its check after the change: {path}: {fault}",
            hint="every removed row is in the archive; `openclaw doctor` may repair the file",
        )


def find_fault(db: sqlite3.Connection) -> str | None:
    """Check pages, foreign keys and the full-text index; say what is wrong first."""
    told = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if bytes(told) != b"ok":
        return bytes(told).decode(errors="replace")
    orphan = db.execute("PRAGMA foreign_key_check").fetchone()
    if orphan is not None:
        return f"a row of {bytes(orphan[0]).decode(errors='replace')} has lost its parent"
    has_index = db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (FTS,)).fetchone()
    if has_index is None:
        return None
    try:
        db.execute("BEGIN")
        db.execute(f"INSERT INTO {FTS} ({FTS}) VALUES ('integrity-check')")
    except sqlite3.DatabaseError as e:
        return f"the full-text index: {e}"
    finally:
        db.rollback()
    return None


def verify_database(path: Path, size_bytes: int) -> VerifyNumbers:
    """Check a database, and count its entries.

    Raises:
        StoreInvalid: it does not pass.
    """

    def work(db: sqlite3.Connection, _: Schema) -> int:
        (told,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if bytes(told) != b"ok":
            raise StoreInvalid(f"database is damaged: {path}: {bytes(told).decode()}")
        return count_entries(db)

    entries, mark = read(path, work)
    digest = hashlib.blake2b(repr(mark).encode(), digest_size=16).hexdigest()
    return VerifyNumbers(bytes=size_bytes, entries=entries, digest=digest, kept_digest=digest)


def drop_receipt(state_dir: Path | None, path: Path, disk: Disk) -> None:
    """Let the gateway check the file once itself: its receipt of the last check does not hold.

    Source: OpenClaw 2026.9.6 drops it before its own maintenance.
    """
    receipts = None if state_dir is None else state_dir / "state" / "openclaw-quarantine.sqlite"
    if receipts is None or not receipts.is_file():
        return
    with closing(connect(receipts)) as db:
        has_table = db.execute(
            "SELECT 1 FROM sqlite_master WHERE name = ?", (_RECEIPTS,)
        ).fetchone()
        if has_table is None:
            return
        db.execute("BEGIN IMMEDIATE")
        db.execute(f"DELETE FROM {_RECEIPTS} WHERE path = ?", (str(path),))
        disk.commit(db)


def _shrink(db: sqlite3.Connection, path: Path, disk: Disk) -> None:
    """Give free pages back: by VACUUM where there is room for it, else in small steps."""
    pages, free, page_bytes = read_pages(db)
    if free < _WORTH_PAGES:
        return
    room = os.statvfs(path.parent)
    if room.f_bavail * room.f_frsize >= _ROOM_FACTOR * (pages - free) * page_bytes:
        db.execute(
            f"PRAGMA temp_store_directory = '{str(path.parent).replace(chr(39), chr(39) * 2)}'"
        )
        disk.run(db, "VACUUM")
        return
    (mode,) = db.execute("PRAGMA auto_vacuum").fetchone()
    if mode == 0:
        return
    while free:
        disk.run(db, f"PRAGMA incremental_vacuum({_STEP_PAGES})")
        (left,) = db.execute("PRAGMA freelist_count").fetchone()
        if left >= free:
            return
        free = left
        _empty_log(db, path, disk)


def _empty_log(db: sqlite3.Connection, path: Path, disk: Disk) -> None:
    busy = disk.run(db, "PRAGMA wal_checkpoint(TRUNCATE)")
    if busy:
        raise TryLater(f"log cannot be emptied, somebody reads the database: {path}")
