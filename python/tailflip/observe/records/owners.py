"""Reads which processes own runs and databases, and when gateways ended, since 2026.8.1.

A receipt of a run names the gateway that began it, by pid and start, and has its end on record.
A lease names a process that has an agent's database open. A row a boot has the start of a gateway,
and its end where it was stopped; one that was killed never gets an end.

Source: `cron_run_receipts`, `agent_database_leases` and `gateway_boot_lifecycle` of 2026.8.1,
2026.9.5 and 2026.9.6, looked at while they ran and after a SIGKILL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from tailflip.observe.records.database import Database, read_database
from tailflip.observe.records.runlog import RunLine
from tailflip.observe.records.state_database import NEEDED, RECEIPTS, choose_key, list_columns
from tailflip.observe.records.tasks import MOST_ROWS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

_LEASES, _BOOTS = "agent_database_leases", "gateway_boot_lifecycle"
# What a receipt says, and our words; `skipped` and `superseded` prove no end of a run.
_ENDED = {"ok": "done", "error": "failed", "interrupted": "killed"}


class RunReceipt(NamedTuple):
    """A run that its gateway has not ended on record, with the process that owns it.

    `owner_ticks` is the start of that process in clock ticks, None where it is not on record.
    """

    job_id: str
    started_ms: int
    owner_pid: int
    owner_ticks: int | None


class Lease(NamedTuple):
    """A database that a process has open, with the start of that process in clock ticks."""

    path: str
    owner_pid: int
    owner_ticks: int | None
    opened_ms: int


class Owned(NamedTuple):
    """What processes own: runs without an end, of which a job has one, and open databases.

    `boots` are start and end of the gateways that were stopped. Owners may be dead.
    """

    receipts: tuple[RunReceipt, ...] = ()
    leases: tuple[Lease, ...] = ()
    boots: tuple[tuple[int, int], ...] = ()


def read_owned(path: Path, cron_store: Path) -> Owned:
    """Read all that has an owner on record, as of one moment; a release may have none of it.

    Raises:
        sqlite3.Error: the database cannot be read, or which receipts are ours is unclear.
        OSError: the file is missing, not a regular file, or may not be read.
    """

    def read(db: sqlite3.Connection) -> Owned:
        receipts: list[tuple[Any, ...]] = []
        if list_columns(db, RECEIPTS) >= NEEDED[RECEIPTS]:
            key = choose_key(db, RECEIPTS, cron_store)
            receipts = db.execute(_OPEN_RECEIPTS, (key, MOST_ROWS)).fetchall()
        leases = _select(db, _LEASES, ("path", "owner_pid", "owner_start_time", "opened_at"))
        boots = _select(db, _BOOTS, ("started_at_ms", "completed_at_ms"))
        return Owned(
            tuple(RunReceipt(*row) for row in receipts),
            tuple(Lease(*row) for row in leases),
            tuple((start, end) for start, end in boots if None not in (start, end)),
        )

    return read_database(path, read)


_OPEN_RECEIPTS = (
    "SELECT job_id, started_at_ms, owner_pid, owner_start_time "  # noqa: S608 - names from above
    f"FROM {RECEIPTS} WHERE store_key = ? AND status = 'running' LIMIT ?"
)


def read_ended_receipts(path: Path, cron_store: Path) -> Iterator[RunLine]:
    """Stream the runs that ended by their receipts; of an interrupted one the end is too late.

    Raises:
        sqlite3.Error: as `read_owned`.
        OSError: as `read_owned`.
    """
    with Database(path) as database:
        columns = database.read(lambda db: list_columns(db, RECEIPTS))
        if not columns >= {"receipt_id", "job_id", "status", "started_at_ms", "finished_at_ms"}:
            return
        key = database.read(lambda db: choose_key(db, RECEIPTS, cron_store))
        for _, job_id, status, started_ms, ended_ms in database.pages(_RECEIPTS, (key,), ("",)):
            if status in _ENDED and ended_ms is not None and ended_ms >= started_ms:
                yield RunLine(job_id, None, None, _ENDED[status], started_ms, ended_ms)


_RECEIPTS = (
    "SELECT receipt_id, job_id, status, started_at_ms, finished_at_ms "  # noqa: S608 - from above
    # The plus: by an index of the store's key, all rows would be sorted anew for every page.
    f"FROM {RECEIPTS} WHERE +store_key = ? AND receipt_id > ? ORDER BY receipt_id LIMIT ?"
)


def _select(db: sqlite3.Connection, table: str, columns: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """Read columns of a table; none where a release has no such table."""
    if not list_columns(db, table) >= set(columns):
        return []
    statement = f"SELECT {', '.join(columns)} FROM {table} LIMIT ?"  # noqa: S608 - from above
    return db.execute(statement, (MOST_ROWS,)).fetchall()
