"""Rows of a gateway's state database, in the two shapes that releases have given their tables.

Source: the tables that gateways of 2026.6.11 and 2026.9.6 made, without columns that nobody reads.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

SPLIT, JSON_ONLY = "2026.6.11", "2026.9.6"
_TASKS = """
CREATE TABLE task_runs (
  task_id TEXT NOT NULL PRIMARY KEY, runtime TEXT NOT NULL, source_id TEXT, child_session_key TEXT,
  run_id TEXT, label TEXT, task TEXT NOT NULL, status TEXT NOT NULL, created_at INTEGER NOT NULL,
  started_at INTEGER, ended_at INTEGER, last_event_at INTEGER, error TEXT{more});
CREATE INDEX idx_task_runs_runtime_source_ended
  ON task_runs(runtime, source_id, ended_at, created_at, task_id);
"""
_SCHEMAS = {
    SPLIT: """
CREATE TABLE cron_jobs (
  store_key TEXT NOT NULL, job_id TEXT NOT NULL, name TEXT NOT NULL, enabled INTEGER NOT NULL,
  next_run_at_ms INTEGER, running_at_ms INTEGER, last_run_at_ms INTEGER, last_run_status TEXT,
  job_json TEXT NOT NULL, state_json TEXT NOT NULL DEFAULT '{}',
  sort_order INTEGER NOT NULL DEFAULT 0, updated_at INTEGER NOT NULL,
  PRIMARY KEY (store_key, job_id));
CREATE TABLE cron_run_logs (
  store_key TEXT NOT NULL, job_id TEXT NOT NULL, seq INTEGER NOT NULL, ts INTEGER NOT NULL,
  status TEXT, error TEXT, session_id TEXT, session_key TEXT, run_at_ms INTEGER,
  duration_ms INTEGER, entry_json TEXT NOT NULL, created_at INTEGER NOT NULL,
  PRIMARY KEY (store_key, job_id, seq));
CREATE TABLE subagent_runs (
  run_id TEXT NOT NULL PRIMARY KEY, child_session_key TEXT NOT NULL, controller_session_key TEXT,
  requester_session_key TEXT NOT NULL, created_at INTEGER NOT NULL, started_at INTEGER,
  ended_at INTEGER, outcome_json TEXT, ended_reason TEXT, payload_json TEXT NOT NULL DEFAULT '{}');
PRAGMA user_version = 1;
"""
    + _TASKS.format(more=""),
    JSON_ONLY: """
CREATE TABLE cron_jobs (
  store_key TEXT NOT NULL, job_id TEXT NOT NULL, name TEXT NOT NULL, enabled INTEGER NOT NULL,
  job_json TEXT NOT NULL, state_json TEXT NOT NULL DEFAULT '{}',
  sort_order INTEGER NOT NULL DEFAULT 0, updated_at INTEGER NOT NULL,
  PRIMARY KEY (store_key, job_id)) STRICT;
CREATE TABLE cron_run_receipts (
  receipt_id TEXT PRIMARY KEY, store_key TEXT NOT NULL, job_id TEXT NOT NULL, status TEXT NOT NULL,
  owner_pid INTEGER NOT NULL, owner_start_time INTEGER, started_at_ms INTEGER NOT NULL,
  finished_at_ms INTEGER) STRICT;
CREATE INDEX idx_cron_run_receipts_job_history
  ON cron_run_receipts(store_key, job_id, started_at_ms DESC, receipt_id DESC);
CREATE TABLE subagent_runs (
  run_id TEXT NOT NULL PRIMARY KEY, child_session_key TEXT NOT NULL, controller_session_key TEXT,
  requester_session_key TEXT NOT NULL, created_at INTEGER NOT NULL,
  payload_json TEXT NOT NULL DEFAULT '{}') STRICT;
CREATE TABLE agent_database_leases (
  lease_id TEXT NOT NULL PRIMARY KEY, agent_id TEXT NOT NULL, path TEXT NOT NULL,
  owner_pid INTEGER NOT NULL, owner_start_time INTEGER, opened_at INTEGER NOT NULL) STRICT;
CREATE TABLE gateway_boot_lifecycle (
  boot_id TEXT NOT NULL PRIMARY KEY, pid INTEGER NOT NULL, started_at_ms INTEGER NOT NULL,
  completed_at_ms INTEGER, outcome TEXT) STRICT;
PRAGMA user_version = 18;
"""
    + _TASKS.format(more=", detail_json TEXT"),
}


class StateRows:
    """The state database of one gateway; every method writes as a gateway that then stops."""

    def __init__(self, state: Path, shape: str) -> None:
        self.path = state / "state" / "openclaw.sqlite"
        self.shape = shape
        self.store_key = str(state / "cron" / "jobs.json")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.path)) as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.executescript(_SCHEMAS[shape])

    def change(self, sql: str, *values: object) -> None:
        with closing(sqlite3.connect(self.path)) as db:
            db.execute(sql, values)
            db.commit()

    def put(self, table: str, **values: object) -> None:
        names = ", ".join(values)
        marks = ", ".join("?" * len(values))
        sql = f"INSERT INTO {table} ({names}) VALUES ({marks})"  # noqa: S608 - ours
        self.change(sql, *values.values())

    def add_job(self, job_id: str, state: dict[str, Any] | None = None, **members: Any) -> None:
        state = state or {}
        job = {"id": job_id, "name": job_id, "enabled": True, "sessionTarget": "isolated"}
        job |= {"schedule": {"kind": "every", "everyMs": 3_600_000}} | members
        columns: dict[str, object] = {"state_json": json.dumps(state)}
        if self.shape == SPLIT:  # what changes often stands in columns, and a stale copy in JSON
            columns = {
                "state_json": json.dumps({**state, "runningAtMs": None}),
                "running_at_ms": state.get("runningAtMs"),
                "next_run_at_ms": state.get("nextRunAtMs"),
                "last_run_at_ms": state.get("lastRunAtMs"),
                "last_run_status": state.get("lastRunStatus"),
            }
        self.put(
            "cron_jobs",
            store_key=self.store_key,
            job_id=job_id,
            name=job["name"],
            enabled=int(job["enabled"]),
            job_json=json.dumps(job),
            updated_at=1,
            **columns,
        )

    def add_run(
        self,
        job_id: str,
        began_ms: int,
        *,
        lasted_ms: int = 1000,
        status: str = "ok",
        error: str | None = None,
        key: str | None = None,
        session: str | None = None,
    ) -> None:
        """A run that ended: a row of the history, or the detail of a task."""
        ended = began_ms + lasted_ms
        if self.shape == SPLIT:
            self.change(
                "INSERT INTO cron_run_logs SELECT ?, ?, 1 + coalesce(max(seq), 0), ?, ?, ?, ?, ?, "
                "?, ?, '{}', 1 FROM cron_run_logs WHERE job_id = ?",
                *(self.store_key, job_id, ended, status, error, session, key),
                *(began_ms, lasted_ms, job_id),
            )
            return
        detail = {"kind": "cron-run", "status": status, "error": error, "sessionId": session}
        detail |= {"runAtMs": began_ms, "durationMs": lasted_ms, "storeKey": self.store_key}
        self.add_task(
            f"{job_id}-{began_ms}",
            job_id=job_id,
            status="succeeded" if status == "ok" else "failed",
            began_ms=began_ms,
            ended_ms=ended,
            detail=detail,
            key=key,
            error=error,
        )

    def add_receipt(
        self,
        job_id: str,
        began_ms: int,
        pid: int,
        ticks: int | None,
        *,
        status: str = "running",
        lasted_ms: int = 1,
    ) -> None:
        self.put(
            "cron_run_receipts",
            receipt_id=f"{job_id}-{began_ms}",
            store_key=self.store_key,
            job_id=job_id,
            status=status,
            owner_pid=pid,
            owner_start_time=ticks,
            started_at_ms=began_ms,
            finished_at_ms=None if status == "running" else began_ms + lasted_ms,
        )

    def add_lease(self, path: Path, pid: int, ticks: int | None, opened_ms: int) -> None:
        self.put(
            "agent_database_leases",
            lease_id=f"{path}-{pid}",
            agent_id="main",
            path=str(path),
            owner_pid=pid,
            owner_start_time=ticks,
            opened_at=opened_ms,
        )

    def add_boot(self, pid: int, started_ms: int, completed_ms: int | None = None) -> None:
        self.put(
            "gateway_boot_lifecycle",
            boot_id=f"boot-{started_ms}",
            pid=pid,
            started_at_ms=started_ms,
            completed_at_ms=completed_ms,
            outcome=None if completed_ms is None else "clean",
        )

    def add_task(
        self,
        task_id: str,
        *,
        job_id: str | None,
        status: str,
        began_ms: int,
        ended_ms: int | None = None,
        detail: dict[str, Any] | None = None,
        key: str | None = None,
        error: str | None = None,
    ) -> None:
        more = {} if self.shape == SPLIT else {"detail_json": json.dumps(detail)}
        self.put(
            "task_runs",
            task_id=task_id,
            runtime="cron" if job_id else "cli",
            source_id=job_id,
            child_session_key=key,
            task="a task",
            status=status,
            created_at=began_ms,
            started_at=began_ms,
            ended_at=ended_ms,
            last_event_at=ended_ms or began_ms,
            error=error,
            **more,
        )

    def add_subagent(
        self, key: str, requester: str, began_ms: int, ended_ms: int | None = None, **more: Any
    ) -> None:
        outcome = more.pop("outcome", None)
        payload: dict[str, Any] = {"runId": key, **more}
        columns: dict[str, object] = {}
        if self.shape == SPLIT:
            columns = {"started_at": began_ms, "ended_at": ended_ms}
            columns["outcome_json"] = json.dumps(outcome) if outcome else None
        else:
            payload["execution"] = {
                "startedAt": began_ms,
                **({"endedAt": ended_ms, "outcome": outcome} if ended_ms else {}),
            }
        self.put(
            "subagent_runs",
            run_id=key,
            child_session_key=key,
            requester_session_key=requester,
            created_at=began_ms,
            payload_json=json.dumps(payload),
            **columns,
        )
