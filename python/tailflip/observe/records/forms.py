"""Tells the form of each kind of record on the disk, and so which records cannot be read.

Releases keep the same records in different places: cron jobs, run history, tasks, sub-agents and
the restart state lie in files up to 2026.5.28, in `state/openclaw.sqlite` from 2026.6.1 on, each
kind for itself. Sessions follow in 2026.8.1, in a database an agent. The form is read from the
disk, not from a version. A record in an unread form proves nothing, and entries without proof are
kept.

Source: tables of 2026.7.35, 8.1 and 9.6 as their gateways made them.
"""

from __future__ import annotations

import os
import sqlite3
from enum import StrEnum
from typing import TYPE_CHECKING

from tailflip.base.regular import open_to_read
from tailflip.flow.conditions import DamagedDatabase, UnreadRecord
from tailflip.flow.late import dataclass
from tailflip.observe.agents import has_nodes
from tailflip.observe.records.cron import read_cron_store
from tailflip.observe.records.database import is_empty, read_database
from tailflip.observe.records.state_database import (
    JOBS,
    NEWEST_SCHEMA,
    RECEIPTS,
    RUN_LOG,
    SUBAGENTS,
    TASKS,
    read_schema,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tailflip.observe.installation import Installation
    from tailflip.observe.records.state_database import Tables

NOT_READ = "not read: "
SESSIONS = "sessions"
NEWEST_AGENT_SCHEMA = 23  # of 2026.9.6
_CRON_VERSION = 1
DATABASE = "state/openclaw.sqlite"


class Form(StrEnum):
    """The form of a kind of record."""

    ABSENT = "absent"
    FILES = "files"  # read here
    SPLIT = "split files"  # 2026.5: jobs in one, their state in the other; read, not written
    SQLITE = "SQLite"  # read, not written
    UNKNOWN = "unknown schema"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Record:
    """One kind of record; `why` is the reason where it is not read, `schema` that of its tables.

    `damaged` is the database that holds it, where that is damaged.
    """

    kind: str
    form: Form
    why: str = ""
    schema: int | None = None
    damaged: DamagedDatabase | None = None

    @property
    def is_read(self) -> bool:
        """Say whether the record was read, or is known to be empty."""
        return self.form not in (Form.UNKNOWN, Form.UNREADABLE)


@dataclass(frozen=True)
class Forms:
    """All kinds of record. Nobody here reads the restart state; sessions are the engines'."""

    cron: Record
    run_log: Record
    tasks: Record
    subagents: Record
    sessions: Record = Record(SESSIONS, Form.ABSENT)
    restart: Record = Record("restart state", Form.ABSENT)

    @property
    def unread(self) -> tuple[Record, ...]:
        """List the records that cannot be read."""
        return tuple(record for record in self.every if not record.is_read)

    @property
    def every(self) -> tuple[Record, ...]:
        """List the records of all kinds."""
        others = (self.cron, self.run_log, self.tasks, self.subagents, self.restart)
        return (self.sessions, *others)

    @property
    def damaged(self) -> tuple[DamagedDatabase, ...]:
        """List the databases that are damaged, each once."""
        return tuple(dict.fromkeys(each.damaged for each in self.every if each.damaged is not None))

    @property
    def knows_ends(self) -> bool:
        """Say whether all ends of cron runs are known."""
        return self.run_log.is_read and self.tasks.is_read

    @property
    def may_clear_markers(self) -> bool:
        """Say whether tailflip can find orphaned markers, and remove them.

        2026.5 and later do both by themselves at their next start.
        """
        return self.cron.form is Form.FILES and self.knows_ends

    @property
    def may_hold(self) -> bool:
        """Say whether the gateway reads from files whether a job is enabled."""
        return self.cron.form in (Form.FILES, Form.SPLIT)

    @property
    def lists_jobs(self) -> bool:
        """Say whether all jobs that there are can be listed."""
        return self.may_hold or self.cron.form is Form.SQLITE

    def sum_up(
        self, without: Sequence[str] = (), *, without_damaged: bool = False
    ) -> tuple[UnreadRecord, ...]:
        """Sum up the records that cannot be read, by reason.

        Args:
            without: fields of this that are not summed up.
            without_damaged: leave out what damaged databases hold.
        """
        by_reason: dict[str, list[str]] = {}
        told_elsewhere = [getattr(self, name) for name in without]
        for record in self.unread:
            if record not in told_elsewhere and (record.damaged is None or not without_damaged):
                by_reason.setdefault(record.why, []).append(record.kind)
        return tuple(UnreadRecord(tuple(kinds), why) for why, kinds in by_reason.items())

    def describe(self) -> tuple[str, ...]:
        """Describe the records that cannot be read, and what is therefore left alone."""
        left = "runs that it may know more about are kept as they are"
        return tuple(
            f"{NOT_READ}{', '.join(each.kinds)}: {each.why}; {left}" for each in self.sum_up()
        )


def read_forms(installation: Installation) -> Forms:
    """Read each kind's form from the disk."""
    state = installation.state_dir
    found = _StateDatabase.read(state / DATABASE)
    return Forms(
        cron=found.find("cron jobs", JOBS, RECEIPTS) or _read_cron(installation.cron_store),
        # From 2026.9 on the run history is part of the tasks.
        run_log=found.find("cron run history", RUN_LOG, RECEIPTS)
        or _read_run_log(installation.cron_store.parent / "runs"),
        tasks=found.find("background tasks", TASKS)
        or _read_file("background tasks", state / "tasks" / "runs.sqlite"),
        subagents=found.find("sub-agent runs", SUBAGENTS)
        or _read_file("sub-agent runs", state / "subagents" / "runs.json"),
        sessions=_read_sessions(installation),
        restart=found.find("restart state", "gateway_restart_sentinel")
        or _read_file("restart state", state / "restart-sentinel.json"),
    )


def _read_sessions(installation: Installation) -> Record:
    kind = SESSIONS
    schemas: list[int] = []
    for path in installation.databases:
        try:
            schemas += read_database(path, _read_session_schema)
        except (OSError, sqlite3.Error) as e:
            why = f"{path} cannot be read: {e}"
            return Record(kind, Form.UNREADABLE, why, damaged=name_damage(path, e))
    if not schemas:
        return Record(kind, Form.FILES if installation.stores else Form.ABSENT)
    if max(schemas) > NEWEST_AGENT_SCHEMA:
        why = f"an agent's database has schema {max(schemas)}, newer than {NEWEST_AGENT_SCHEMA}"
        return Record(kind, Form.UNKNOWN, why)
    return Record(kind, Form.SQLITE, schema=max(schemas))


def name_damage(path: Path, error: Exception) -> DamagedDatabase | None:
    """Name a damaged database by the error of a reader; None if it is another error."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    is_damage = code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    return DamagedDatabase(str(path), str(error)) if is_damage else None


def _read_session_schema(db: sqlite3.Connection) -> tuple[int, ...]:
    """Read the schema of an agent's database; empty if it holds no sessions."""
    return db.execute("PRAGMA user_version").fetchone() if has_nodes(db) else ()


@dataclass(frozen=True)
class _StateDatabase:
    """The tables of the gateway's database; None: there are none, or `why` they cannot be read."""

    path: Path
    tables: Tables | None = None
    why: str = ""
    damaged: DamagedDatabase | None = None

    @classmethod
    def read(cls, path: Path) -> _StateDatabase:
        """Read the names of the tables without making a file."""
        try:
            if is_empty(path):
                return cls(path)
            return cls(path, read_schema(path))
        except FileNotFoundError:
            return cls(path)
        except (OSError, sqlite3.Error) as e:
            why = f"{path} cannot be read: {e}"
            return cls(path, why=why, damaged=name_damage(path, e))

    def find(self, kind: str, table: str, *others: str) -> Record | None:
        """Return the record of a kind if this database holds or may hold it.

        Args:
            kind: for people.
            table: holds the records.
            others: tables beside which such records are no longer in files either.
        """
        if self.tables is None:
            unread = Record(kind, Form.UNREADABLE, self.why, damaged=self.damaged)
            return unread if self.why else None
        if not self.tables.columns.keys() & {table, *others}:
            return None
        if self.tables.version > NEWEST_SCHEMA:
            why = f"{self.path} has schema {self.tables.version}, newer than {NEWEST_SCHEMA}"
            return Record(kind, Form.UNKNOWN, why)
        lacking = self.tables.lacks(table) if table in self.tables.columns else ()
        if lacking:
            why = f"table {table} of {self.path} lacks {', '.join(lacking)}"
            return Record(kind, Form.UNKNOWN, why)
        return Record(kind, Form.SQLITE, schema=self.tables.version)


def _read_cron(path: Path) -> Record:
    kind, found = "cron jobs", read_cron_store(path)
    if not found.exists:
        return Record(kind, Form.ABSENT)
    if found.problem is not None:
        return Record(kind, Form.UNREADABLE, f"{path}: {found.problem}")
    if type(found.version) is int and found.version != _CRON_VERSION:
        return Record(kind, Form.UNREADABLE, f"{path}: version {found.version} is not known")
    return Record(kind, Form.SPLIT if found.is_split else Form.FILES)


def _read_run_log(folder: Path) -> Record:
    kind = "cron run history"
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(".jsonl") and not os.access(entry.path, os.R_OK):
                    return Record(kind, Form.UNREADABLE, f"{entry.path}: no permission")
    except FileNotFoundError:
        return Record(kind, Form.ABSENT)
    except OSError as e:
        return Record(kind, Form.UNREADABLE, f"{folder}: {e.strerror}")
    return Record(kind, Form.FILES)


def _read_file(kind: str, path: Path) -> Record:
    try:
        os.close(open_to_read(path))
    except FileNotFoundError:
        return Record(kind, Form.ABSENT)
    except OSError as e:
        return Record(kind, Form.UNREADABLE, f"{path}: {e.strerror}")
    return Record(kind, Form.FILES)
