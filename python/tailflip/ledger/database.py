"""The ledger's file: one SQLite database, its schema, and its connections.

Make every table here, so that one version number names the file's schema. A write returns when it
is on the medium.
"""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from tailflip.base.durable import naming
from tailflip.base.errors import IoFailed
from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tailflip.base.durable import Disk
    from tailflip.base.workspace import Workspace

_BUSY_S = 5.0
_UNSTORABLE, _STORED = re.compile("[\0\ud800-\udfff]"), re.compile("\0([0-9a-f]{4})")

# Each step takes the file from version n to n + 1. Add steps; do not edit old ones.
_STEPS = (
    """
CREATE TABLE actions (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    store TEXT NOT NULL,
    state TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    details TEXT NOT NULL
) STRICT
""",
    """
CREATE TABLE lives (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    guard TEXT NOT NULL,
    started_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    incident TEXT,
    details TEXT NOT NULL,
    stderr BLOB
) STRICT;
CREATE INDEX lives_by_guard ON lives (guard, seq);
CREATE TABLE incidents (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    guard TEXT NOT NULL,
    opened_ms INTEGER NOT NULL,
    closed_ms INTEGER,
    acked_ms INTEGER,
    cause TEXT NOT NULL,
    signature TEXT NOT NULL
) STRICT;
CREATE TABLE decisions (
    seq INTEGER PRIMARY KEY,
    guard TEXT NOT NULL,
    made_ms INTEGER NOT NULL,
    life TEXT,
    details TEXT NOT NULL
) STRICT;
CREATE INDEX decisions_by_guard ON decisions (guard, seq);
CREATE TABLE findings (
    guard TEXT NOT NULL,
    code TEXT NOT NULL,
    subject TEXT NOT NULL,
    severity TEXT NOT NULL,
    message TEXT NOT NULL,
    hint TEXT NOT NULL,
    evidence TEXT NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    ended_ms INTEGER
) STRICT;
CREATE UNIQUE INDEX findings_open ON findings (guard, code, subject) WHERE ended_ms IS NULL;
CREATE TABLE samples (
    guard TEXT NOT NULL,
    life TEXT,
    at_ms INTEGER NOT NULL,
    rss_bytes INTEGER,
    stores_bytes INTEGER
) STRICT;
CREATE INDEX samples_by_guard ON samples (guard, at_ms);
CREATE TABLE facts (
    guard TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (guard, name)
) STRICT
""",
    """
CREATE TABLE runs (
    guard TEXT NOT NULL,
    job TEXT NOT NULL,
    began_ms INTEGER NOT NULL,
    title TEXT NOT NULL,
    seen_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    verdict TEXT,
    evidence TEXT NOT NULL,
    PRIMARY KEY (guard, job, began_ms)
) STRICT
""",
    """
CREATE TABLE alerts (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    guard TEXT NOT NULL,
    code TEXT NOT NULL,
    subject TEXT NOT NULL,
    urgency TEXT NOT NULL,
    words TEXT NOT NULL,
    since_ms INTEGER NOT NULL,
    first_ms INTEGER NOT NULL,
    opened_ms INTEGER NOT NULL,
    cleared_ms INTEGER,
    closed_ms INTEGER,
    acked_ms INTEGER,
    by TEXT NOT NULL,
    note TEXT NOT NULL,
    times INTEGER NOT NULL,
    maintained INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX alerts_open ON alerts (guard, code, subject) WHERE closed_ms IS NULL;
CREATE TABLE notices (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    guard TEXT NOT NULL,
    destination TEXT NOT NULL,
    kind TEXT NOT NULL,
    urgency TEXT NOT NULL,
    alerts TEXT NOT NULL,
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    made_ms INTEGER NOT NULL,
    tries INTEGER NOT NULL,
    next_ms INTEGER,
    delivered_ms INTEGER,
    given_up_ms INTEGER,
    error TEXT NOT NULL
) STRICT;
CREATE INDEX notices_by_guard ON notices (guard, made_ms);
ALTER TABLE incidents ADD COLUMN acked_by TEXT NOT NULL DEFAULT '';
ALTER TABLE incidents ADD COLUMN note TEXT NOT NULL DEFAULT ''
""",
    # The counters begin with what is on record; `coalesce` of actions is `counters.find_guard_of`.
    """
CREATE TABLE counters (
    guard TEXT NOT NULL,
    name TEXT NOT NULL,
    label TEXT NOT NULL,
    value INTEGER NOT NULL,
    PRIMARY KEY (guard, name, label)
) STRICT;
INSERT INTO counters SELECT guard, 'starts', '', count(*) FROM lives GROUP BY guard;
INSERT INTO counters SELECT guard, 'deaths', cause, count(*) FROM (
    SELECT guard, CASE WHEN json_valid(details) THEN json_extract(details, '$.death.cause') END
        AS cause FROM lives
) WHERE cause IS NOT NULL GROUP BY guard, cause;
INSERT INTO counters SELECT guard, 'incidents', cause, count(*) FROM incidents
    GROUP BY guard, cause;
INSERT INTO counters SELECT owner, name, kind, count(*) FROM (
    SELECT coalesce((SELECT guard FROM lives WHERE substr(store, 1, length(guard) + 1)
            = guard || '/' ORDER BY length(guard) DESC LIMIT 1), '') AS owner,
        CASE state WHEN 'undone' THEN 'action-failures' ELSE 'actions' END AS name, kind
    FROM actions WHERE state IN ('done', 'expired', 'undone')
) GROUP BY owner, name, kind
""",
    """
CREATE TABLE maintenances (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    guard TEXT NOT NULL,
    began_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    details TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX maintenances_open ON maintenances (guard) WHERE ended_ms IS NULL
""",
)


class _Connection(sqlite3.Connection):
    """A connection that stores paths that are not UTF-8, which SQLite does not take.

    Python carries such a byte as a lone surrogate. The connection writes it as NUL and four
    digits; no path holds a NUL.
    """

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        return super().execute(sql, _write_cells(parameters))

    def executemany(self, sql: str, rows: Iterable[Any], /) -> sqlite3.Cursor:
        return super().executemany(sql, map(_write_cells, rows))


def _write_cells(cells: Any) -> Any:
    if isinstance(cells, dict):
        return {name: _write_cell(cell) for name, cell in cells.items()}
    return tuple(map(_write_cell, cells))


def _write_cell(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    return _UNSTORABLE.sub(lambda found: f"\0{ord(found[0]):04x}", cell)


def _read_cell(data: bytes) -> str:
    text = data.decode()
    return _STORED.sub(lambda found: chr(int(found[1], 16)), text) if "\0" in text else text


@dataclass(frozen=True)
class Database:
    """The file, opened for each use and closed after it."""

    workspace: Workspace

    @property
    def exists(self) -> bool:
        """Say whether the file exists and holds anything.

        A full disk leaves a file of no bytes; there nothing is on record, and nothing is written
        to read that.

        Raises:
            TailflipError: that is unknown.
        """
        path = self.workspace.home.ledger
        with naming(path):
            try:
                return path.stat().st_size > 0
            except FileNotFoundError:
                return False

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Run one transaction; it is on the medium after the block."""
        with self.connected() as db:
            with naming(self.workspace.home.ledger):
                db.execute("BEGIN IMMEDIATE")
            yield db
            with naming(self.workspace.home.ledger):
                self.workspace.disk.commit(db)

    @contextmanager
    def connected(self) -> Iterator[sqlite3.Connection]:
        """Open the file; make it, or bring it to the present schema, where needed.

        Raises:
            IoFailed: the file cannot be used, or a newer tailflip wrote it.
        """
        if self.workspace.is_read_only:
            with self._reading() as db:
                yield db
            return
        path = self.workspace.home.ledger
        with naming(path):
            if not path.exists():
                # SQLite would create the file with the umask's mode.
                os.close(self.workspace.disk.open_new(path, 0o600))
                self.workspace.disk.fsync_dir(path.parent)
            db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, factory=_Connection)
            db.text_factory = _read_cell
            with closing(db):
                db.execute("PRAGMA synchronous = EXTRA")
                db.execute("PRAGMA fullfsync = ON")  # for macOS: past the drive's cache
                _bring_up_to_date(db, self.workspace.disk)
                yield db

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Open the file as it is, whatever its schema; SQLite refuses each write.

        Raises:
            IoFailed: there is no file, or it cannot be used.
        """
        path = self.workspace.home.ledger
        with naming(path):
            db = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=ro",
                uri=True, timeout=_BUSY_S, isolation_level=None, factory=_Connection,
            )  # fmt: skip
            db.text_factory = _read_cell
            with closing(db):
                yield db


def _bring_up_to_date(db: sqlite3.Connection, disk: Disk) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > len(_STEPS):
        raise IoFailed(
            f"the ledger is of a version we do not know: {version}",
            hint="use the newer tailflip that wrote it",
        )
    if version < len(_STEPS):
        db.execute("BEGIN IMMEDIATE")
        # Another process may have migrated the file meanwhile.
        version = db.execute("PRAGMA user_version").fetchone()[0]
        for statement in (s for step in _STEPS[version:] for s in step.split(";")):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {len(_STEPS)}")
        disk.commit(db)
