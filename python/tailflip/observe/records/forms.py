"""Tells the form of each kind of record on the disk, and so which records cannot be read.

Releases keep the same records in different places: cron jobs, run history, tasks and sub-agents
lie in JSON files and `tasks/runs.sqlite` up to 2026.5.28, in `state/openclaw.sqlite` from
2026.6.1 on, each kind for itself. The form is read from the disk, not from a version. A record in
an unread form proves nothing, and entries without proof are kept.

Source: tables of 2026.7.35, 8.1 and 9.6 as their gateways made them.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from tailflip.base.regular import open_to_read
from tailflip.observe.records.cron import read_cron_store
from tailflip.observe.records.database import has_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from tailflip.observe.installation import Installation

NOT_READ = "not read: "
_CRON_VERSION = 1
DATABASE = "state/openclaw.sqlite"


class Form(StrEnum):
    """The form of a kind of record."""

    ABSENT = "absent"
    FILES = "files"  # read here
    SPLIT = "split files"  # 2026.5: jobs in one, their state in the other; read, not written
    SQLITE = "sqlite"  # not read
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Record:
    """One kind of record; for an unreadable one, with the reason."""

    kind: str
    form: Form
    why: str = ""

    @property
    def is_read(self) -> bool:
        """Say whether the record was read, or is known to be empty."""
        return self.form not in (Form.SQLITE, Form.UNREADABLE)


@dataclass(frozen=True)
class Forms:
    """All kinds of record beside the session stores."""

    cron: Record
    run_log: Record
    tasks: Record
    subagents: Record

    @property
    def unread(self) -> tuple[Record, ...]:
        """List the records that cannot be read."""
        every = (self.cron, self.run_log, self.tasks, self.subagents)
        return tuple(record for record in every if not record.is_read)

    @property
    def knows_ends(self) -> bool:
        """Say whether all ends of cron runs are known."""
        return self.run_log.is_read and self.tasks.is_read

    @property
    def may_clear_markers(self) -> bool:
        """Say whether tailflip can find orphaned markers, and remove them.

        2026.5 does both by itself at its next start.
        """
        return self.cron.form is Form.FILES and self.knows_ends

    @property
    def may_hold(self) -> bool:
        """Say whether the gateway reads from files whether a job is enabled."""
        return self.cron.form in (Form.FILES, Form.SPLIT)

    def describe(self) -> tuple[str, ...]:
        """Describe the records that cannot be read, and what is therefore left alone."""
        if not self.unread:
            return ()
        by_reason: dict[str, list[str]] = {}
        for record in self.unread:
            by_reason.setdefault(record.why, []).append(record.kind)
        told = [f"{', '.join(kinds)}: {why}" for why, kinds in by_reason.items()]
        left = "runs that it may know more about are kept as they are"
        return tuple(f"{NOT_READ}{each}; {left}" for each in told)


def read_forms(installation: Installation) -> Forms:
    """Read each kind's form from the disk."""
    state = installation.state_dir
    tables = _Tables.read(state / DATABASE)
    return Forms(
        cron=tables.find("cron jobs", {"cron_jobs", "cron_run_receipts"})
        or _read_cron(installation.cron_store),
        # From 2026.9 on the run history is part of the tasks.
        run_log=tables.find("cron run history", {"cron_run_logs", "cron_run_receipts"})
        or _read_run_log(installation.cron_store.parent / "runs"),
        tasks=tables.find("background tasks", {"task_runs"})
        or _read_file("background tasks", state / "tasks" / "runs.sqlite"),
        subagents=tables.find("sub-agent runs", {"subagent_runs"})
        or _read_file("sub-agent runs", state / "subagents" / "runs.json"),
    )


@dataclass(frozen=True)
class _Tables:
    """The names of the tables in the gateway's database; None: the database cannot be read.

    `partial`: some names may stand in its log alone.
    """

    path: Path
    names: frozenset[str] | None
    partial: bool = False

    @classmethod
    def read(cls, path: Path) -> _Tables:
        """Read the names without a lock and without making a file."""
        try:
            info = path.stat()
            if not stat.S_ISREG(info.st_mode):
                return cls(path, None)
            if not info.st_size:
                return cls(path, frozenset())
            partial = has_bytes(path.with_name(f"{path.name}-wal"))
            uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
            with closing(sqlite3.connect(uri, uri=True)) as db:
                rows = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        except FileNotFoundError:
            return cls(path, frozenset())
        except (OSError, sqlite3.Error):
            return cls(path, None)
        return cls(path, frozenset(str(row[0]) for row in rows), partial)

    def find(self, kind: str, names: set[str]) -> Record | None:
        """Return the record of a kind if this database holds or may hold it."""
        if self.names is None:
            return Record(kind, Form.UNREADABLE, f"{self.path} cannot be read")
        if self.partial or names & self.names:
            return Record(kind, Form.SQLITE, f"they are in {self.path}, which is not read yet")
        return None


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
