"""Reads each kind of record in the form that it has on the disk: one reader a kind, for all.

What lies in the old place of a kind that moved is not what the gateway reads, and is not read.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, TypeVar

from tailflip.observe.records import tasks as task_files
from tailflip.observe.records.cron import CronStore, read_cron_store
from tailflip.observe.records.forms import DATABASE, Form, read_forms
from tailflip.observe.records.owners import Owned, read_ended_receipts, read_owned
from tailflip.observe.records.runlog import read_run_logs
from tailflip.observe.records.state_database import (
    read_job_rows,
    read_run_rows,
    read_subagent_rows,
    read_task_rows,
)
from tailflip.observe.records.subagents import read_subagents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tailflip.observe.installation import Installation
    from tailflip.observe.records.forms import Forms
    from tailflip.observe.records.runlog import RunLine
    from tailflip.observe.records.subagents import SubagentRun
    from tailflip.observe.records.tasks import Task

_T = TypeVar("_T")
_NOT_READ = (sqlite3.Error, OSError)


class Records:
    """The records of one installation, read when they are asked for.

    Args:
        installation: whose records.
        forms: as they were read just now; else they are read by the first question.
    """

    def __init__(self, installation: Installation, forms: Forms | None = None) -> None:
        self._installation = installation
        self._forms = forms
        self._lost_ends = False

    @property
    def knows_ends(self) -> bool:
        """Say whether all ends of cron runs are known; ask after they were read."""
        return self.forms.knows_ends and not self._lost_ends

    @property
    def forms(self) -> Forms:
        """The form of each kind."""
        if self._forms is None:
            self._forms = read_forms(self._installation)
        return self._forms

    @property
    def _database(self) -> Path:
        return self._installation.state_dir / DATABASE

    def read_jobs(self) -> CronStore:
        """Read the cron jobs, with a problem where they cannot be read."""
        record, store = self.forms.cron, self._installation.cron_store
        if not record.is_read:
            return CronStore(problem=record.why)
        if record.form is not Form.SQLITE:
            return read_cron_store(store)
        try:
            return CronStore(read_job_rows(self._database, store))
        except _NOT_READ as e:
            return CronStore(problem=f"{self._database}: {e}")

    def read_lines(self, notes: list[str]) -> Iterator[RunLine]:
        """Stream the runs that ended; what cannot be read becomes a note, and proves nothing."""
        if not self.forms.run_log.is_read:
            return
        if self.forms.run_log.form is not Form.SQLITE:
            yield from read_run_logs(self._installation.cron_store.parent / "runs", notes)
            return
        try:
            yield from read_run_rows(self._database, self._installation.cron_store)
        except _NOT_READ as e:
            self._lost_ends = True
            notes.append(f"run history cannot be read: {self._database}: {e}")

    def read_tasks(self, notes: list[str]) -> tuple[Task, ...] | None:
        """Read the newest tasks, newest first; None, with a note, if they cannot be read."""
        if not self.forms.tasks.is_read:
            return None
        if self.forms.tasks.form is not Form.SQLITE:
            return task_files.read_tasks(self._installation.state_dir, notes)
        return self._read("task ledger", notes, read_task_rows)

    def read_subagents(self, notes: list[str]) -> tuple[SubagentRun, ...] | None:
        """Read all runs of sub-agents; None, with a note, if they cannot be read."""
        if not self.forms.subagents.is_read:
            return None
        if self.forms.subagents.form is not Form.SQLITE:
            registry = self._installation.state_dir / "subagents" / "runs.json"
            return read_subagents(registry, notes)
        return self._read("sub-agent registry", notes, read_subagent_rows)

    def read_owned(self, notes: list[str]) -> Owned:
        """Read the runs and databases that have an owner on record; before 2026.8.1 none has."""
        if self.forms.cron.form is not Form.SQLITE:
            return Owned()
        try:
            return read_owned(self._database, self._installation.cron_store)
        except _NOT_READ as e:
            notes.append(f"owners of runs cannot be read: {self._database}: {e}")
            return Owned()

    def read_ended_receipts(self, notes: list[str]) -> Iterator[RunLine]:
        """Stream the runs that ended by their receipts; what cannot be read becomes a note."""
        if self.forms.cron.form is not Form.SQLITE:
            return
        try:
            yield from read_ended_receipts(self._database, self._installation.cron_store)
        except _NOT_READ as e:
            self._lost_ends = True
            notes.append(f"run receipts cannot be read: {self._database}: {e}")

    def _read(
        self, what: str, notes: list[str], read: Callable[[Path], tuple[_T, ...]]
    ) -> tuple[_T, ...] | None:
        """Read rows of the database; None, with a note, if they cannot be read."""
        try:
            return read(self._database)
        except _NOT_READ as e:
            notes.append(f"{what} cannot be read: {self._database}: {e}")
            return None

    def find_task_ledger(self) -> Path:
        """Name the file that holds the background tasks, whether it exists or not."""
        if self.forms.tasks.form is Form.SQLITE:
            return self._database
        return task_files.find_ledger(self._installation.state_dir)


def read_jobs(installation: Installation) -> CronStore:
    """Read the cron jobs of an installation, in the form that they have."""
    return Records(installation).read_jobs()


def read_job_names(installation: Installation) -> dict[str, str]:
    """Read the names of cron jobs by id; empty if they cannot be read."""
    return {job.job_id: job.name for job in read_jobs(installation).jobs if job.name}
