"""Reads the gateway's own records from its state database, in pages and in bounded memory.

Cron jobs, their run history, background tasks and sub-agent runs lie there from 2026.6.1 on. Up to
2026.7.x a row has the values that change in columns of their own, which count over the same values
in its JSON; from 2026.8.1 on JSON alone has them. The run history has its own table up to 2026.7.x.
From 2026.8.1 on, which has receipts of runs, it is the detail of each cron task that ended, and
what the old table had is copied there.

Source: the tables of 2026.6.1, 2026.6.11, 2026.7.35, 2026.8.1, 2026.9.5 and 2026.9.6, and their
`stateFromRow`, `parseStoredRunLogEntry`, `rowToSubagentRunRecord`, `cronTaskRecordToRunLogEntry`.
"""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from tailflip.flow.late import dataclass
from tailflip.observe.records.cron import parse_job
from tailflip.observe.records.database import Database, read_database
from tailflip.observe.records.runlog import make_line
from tailflip.observe.records.subagents import parse_run
from tailflip.observe.records.tasks import MOST_ROWS, TASK_COLUMNS, Task

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from tailflip.flow.observed import Job
    from tailflip.observe.records.runlog import RunLine
    from tailflip.observe.records.subagents import SubagentRun

NEWEST_SCHEMA = 18  # of 2026.9.6
JOBS, RUN_LOG, RECEIPTS = "cron_jobs", "cron_run_logs", "cron_run_receipts"
TASKS, SUBAGENTS = "task_runs", "subagent_runs"
# The columns that are read; a table without one of them is of an unknown schema.
NEEDED = {
    JOBS: frozenset({"store_key", "job_id", "enabled", "job_json", "state_json"}),
    RUN_LOG: frozenset(
        [
            "store_key",
            "job_id",
            "seq",
            "ts",
            "status",
            "error",
            "session_id",
            "session_key",
            "run_at_ms",
            "duration_ms",
        ]
    ),
    RECEIPTS: frozenset(
        ["store_key", "job_id", "status", "owner_pid", "owner_start_time", "started_at_ms"]
    ),
    TASKS: frozenset(TASK_COLUMNS),
    SUBAGENTS: frozenset({"run_id", "child_session_key", "requester_session_key", "payload_json"}),
}
# The columns of 2026.6 and 2026.7 that count over the same member in JSON.
_STATE = {
    "next_run_at_ms": "nextRunAtMs",
    "running_at_ms": "runningAtMs",
    "last_run_at_ms": "lastRunAtMs",
    "last_run_status": "lastRunStatus",
}
_SUBAGENT = {
    "child_session_key": "childSessionKey",
    "requester_session_key": "requesterSessionKey",
    "controller_session_key": "controllerSessionKey",
    "created_at": "createdAt",
    "started_at": "startedAt",
    "ended_at": "endedAt",
    "ended_reason": "endedReason",
}
_NOT_ASKED: frozenset[str] = frozenset()
_MOST_JSON_CHARS = 1 << 20  # of one row
_MOST_ERROR_CHARS = 400
_CRON_RUN = "cron-run"  # the kind of a detail that tells of an ended run
_LOG_MEMBERS = ("ts", "status", "error", "sessionId", "sessionKey", "runAtMs", "durationMs")


@dataclass(frozen=True)
class Tables:
    """The tables of one state database: their columns by name, and the schema's version."""

    columns: Mapping[str, frozenset[str]]
    version: int

    def lacks(self, name: str) -> tuple[str, ...]:
        """List the columns that a table should have, and has not."""
        return tuple(sorted(NEEDED.get(name, frozenset()) - self.columns.get(name, frozenset())))


def read_schema(path: Path) -> Tables:
    """Read the names of the tables, and the columns of those that are read.

    Raises:
        sqlite3.Error: the file is no database, or is damaged.
        OSError: the file is missing, not a regular file, or may not be read.
    """
    return read_database(path, _read_schema)


def _read_schema(db: sqlite3.Connection) -> Tables:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    names = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    columns = {name: list_columns(db, name) if name in NEEDED else _NOT_ASKED for name in names}
    return Tables(columns, version)


def list_columns(db: sqlite3.Connection, table: str) -> frozenset[str]:
    """List the columns of a table; none where there is no such table."""
    return frozenset(row[1] for row in db.execute(f"PRAGMA table_info({table})"))


def read_job_rows(path: Path, cron_store: Path) -> tuple[Job, ...]:
    """Read the jobs of one cron store, as the gateway orders them.

    Raises:
        sqlite3.Error: the database cannot be read, or which jobs are this store's is unclear.
        OSError: as `read_schema`.
    """

    def read(db: sqlite3.Connection) -> list[Mapping[str, Any]]:
        key = choose_key(db, JOBS, cron_store)
        columns = [name for name in _STATE if name in list_columns(db, JOBS)]
        chosen = ", ".join(("job_id", "enabled", "job_json", "state_json", *columns))
        rows = db.execute(
            f"SELECT {chosen} FROM {JOBS} WHERE store_key = ? "  # noqa: S608 - names from above
            "AND length(job_json) <= ? ORDER BY sort_order, job_id",
            (key, _MOST_JSON_CHARS),
        )
        return [_make_job(row, columns) for row in rows]

    found = (parse_job(raw) for raw in read_database(path, read))
    return tuple(job for job in found if job is not None)


def _make_job(row: tuple[Any, ...], columns: Iterable[str]) -> Mapping[str, Any]:
    job_id, enabled, text, state_text, *values = row
    raw, state = _parse_object(text), _parse_object(state_text)
    state |= {_STATE[n]: value for n, value in zip(columns, values, strict=True) if value}
    is_enabled = bool(enabled) and raw.get("enabled") is not False
    return {**raw, "id": job_id, "enabled": is_enabled, "state": state}


def choose_key(db: sqlite3.Connection, table: str, cron_store: Path) -> str:
    """Choose the rows' own name for a cron store: its path, as the gateway sees it.

    Raises:
        sqlite3.OperationalError: the rows are of several stores, and none is this one.
    """
    query = f"SELECT DISTINCT store_key FROM {table}"  # noqa: S608 - a name from above
    keys = [str(row[0]) for row in db.execute(query)]
    wanted = {str(cron_store.absolute()), os.path.realpath(cron_store)}
    own = [key for key in keys if key in wanted]
    if len(own or keys) > 1:
        listed = ", ".join(sorted(keys)[:3])
        raise sqlite3.OperationalError(f"table {table} is of other cron stores: {listed}")
    return (own or keys or [""])[0]


def read_run_rows(path: Path, cron_store: Path) -> Iterator[RunLine]:
    """Stream the runs that ended: of the tasks' details, else of the run history's own table.

    Raises:
        sqlite3.Error: the database cannot be read, or changes all the time.
        OSError: as `read_schema`.
    """
    with Database(path) as database:
        tables = database.read(_read_schema)
        is_moved = RECEIPTS in tables.columns and "detail_json" in tables.columns.get(TASKS, ())
        if is_moved:
            made = map(_make_detail, database.pages(_DETAILS, (), (-1,)))
        elif RUN_LOG in tables.columns:
            key = database.read(lambda db: choose_key(db, RUN_LOG, cron_store))
            made = map(_make_log, database.pages(_LOG, (key,), ("", -1)))
        else:
            return
        for job_id, raw in made:
            line = make_line(raw, job_id)
            if line is not None:
                yield line


def _make_log(row: tuple[Any, ...]) -> tuple[str, Mapping[str, Any]]:
    job_id, _, *values = row
    return str(job_id), dict(zip(_LOG_MEMBERS, values, strict=True))


def _make_detail(row: tuple[Any, ...]) -> tuple[str, Mapping[str, Any]]:
    _, job_id, at_ms, error, key, text = row
    kind, status, session, began_ms, lasted_ms = from_json(text) if text else (None,) * 5
    raw = {"ts": at_ms, "error": error, "sessionKey": key, "sessionId": session}
    raw |= {"status": status if kind == _CRON_RUN else None}
    return str(job_id), raw | {"runAtMs": began_ms, "durationMs": lasted_ms}


_LOG = (
    "SELECT job_id, seq, ts, status, "  # noqa: S608 - names from above
    f"substr(error, 1, {_MOST_ERROR_CHARS}), session_id, session_key, run_at_ms, duration_ms "
    f"FROM {RUN_LOG} WHERE store_key = ? AND (job_id, seq) > (?, ?) ORDER BY job_id, seq LIMIT ?"
)
# Several paths at once give one JSON array, and the text is parsed once.
_DETAILS = (
    "SELECT rowid, source_id, coalesce(ended_at, last_event_at, created_at), "  # noqa: S608
    f"substr(error, 1, {_MOST_ERROR_CHARS}), child_session_key, "
    "CASE WHEN json_valid(detail_json) THEN json_extract(detail_json, '$.kind', '$.status', "
    "'$.sessionId', '$.runAtMs', '$.durationMs') END "
    # An index of the runtime would be sorted anew for every page.
    f"FROM {TASKS} NOT INDEXED WHERE rowid > ? AND runtime = 'cron' AND source_id IS NOT NULL "
    "AND detail_json IS NOT NULL ORDER BY rowid LIMIT ?"
)


def read_task_rows(path: Path) -> tuple[Task, ...]:
    """Read the newest `MOST_ROWS` tasks, newest first.

    Raises:
        sqlite3.Error: the database cannot be read.
        OSError: as `read_schema`.
    """
    statement = (
        f"SELECT {', '.join(TASK_COLUMNS)} FROM {TASKS} "  # noqa: S608 - names from above
        "ORDER BY created_at DESC, task_id LIMIT ?"
    )
    rows = read_database(path, lambda db: db.execute(statement, (MOST_ROWS,)).fetchall())
    return tuple(Task(*row) for row in rows)


def read_subagent_rows(path: Path) -> tuple[SubagentRun, ...]:
    """Read all runs of sub-agents.

    Raises:
        sqlite3.Error: the database cannot be read.
        OSError: as `read_schema`.
    """
    with Database(path) as database:
        columns = database.read(lambda db: list_columns(db, SUBAGENTS))
        own = [name for name in (*_SUBAGENT, "outcome_json") if name in columns]
        rows = database.pages(
            f"SELECT rowid, payload_json, {', '.join(own)} FROM {SUBAGENTS} "  # noqa: S608
            "WHERE rowid > ? ORDER BY rowid LIMIT ?",
            (),
            (-1,),
        )
        made = (_make_run(text, zip(own, values, strict=True)) for _, text, *values in rows)
        found = [parse_run(raw) for raw in made]
    return tuple(run for run in found if run is not None)


def _make_run(text: object, columns: Iterable[tuple[str, Any]]) -> Mapping[str, Any]:
    payload = _parse_object(text)
    execution = payload.get("execution")
    if isinstance(execution, dict):  # from 2026.7 on
        payload = {**{n: execution.get(n) for n in ("startedAt", "endedAt", "outcome")}, **payload}
    for name, value in columns:
        if name == "outcome_json" and value is not None:
            payload["outcome"] = _parse_object(value)
        elif value is not None:
            payload[_SUBAGENT[name]] = value
    return payload


def _parse_object(text: object) -> dict[str, Any]:
    """Parse a JSON object; what is none, or too long, has no members."""
    if not isinstance(text, str) or len(text) > _MOST_JSON_CHARS:
        return {}
    try:
        found = from_json(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
