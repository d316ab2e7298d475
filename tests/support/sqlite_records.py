"""What a gateway of the SQLite era has on record, in small: tables and manifests as it makes them.

Source: `OPENCLAW_STATE_SCHEMA_SQL` of OpenClaw 2026.9.6, and a state directory that it made.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DEFERRED = "deferred-plugin-session-import"
PLUGINS = ("brave", "codex")
RECORDED_MS = 1_769_000_000_000

_TABLES = """
CREATE TABLE IF NOT EXISTS migration_runs (
  id TEXT NOT NULL PRIMARY KEY, started_at INTEGER NOT NULL, finished_at INTEGER,
  status TEXT NOT NULL, report_json TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS migration_sources (
  source_key TEXT NOT NULL PRIMARY KEY, migration_kind TEXT NOT NULL, source_path TEXT NOT NULL,
  target_table TEXT NOT NULL, source_sha256 TEXT, source_size_bytes INTEGER,
  source_record_count INTEGER, last_run_id TEXT NOT NULL, status TEXT NOT NULL,
  imported_at INTEGER NOT NULL, removed_source INTEGER NOT NULL DEFAULT 0,
  report_json TEXT NOT NULL, FOREIGN KEY (last_run_id) REFERENCES migration_runs(id));
CREATE TABLE IF NOT EXISTS session_watch_cursors (watcher_store_path TEXT, cursor TEXT);
CREATE TABLE IF NOT EXISTS outbound_media_provenance (
  realpath TEXT NOT NULL PRIMARY KEY, kind TEXT, sha256 TEXT NOT NULL, size_bytes INTEGER);
CREATE TABLE IF NOT EXISTS cron_jobs (job_id TEXT PRIMARY KEY, state_json TEXT);
CREATE TABLE IF NOT EXISTS task_runs (task_id TEXT PRIMARY KEY, status TEXT);
PRAGMA user_version = 18;
"""
# Source: `ensureSchema` of 2026.4.14's `task-registry.store.sqlite.ts`.
TASKS_SCHEMA = """
CREATE TABLE task_runs (
  task_id TEXT PRIMARY KEY, runtime TEXT NOT NULL, task_kind TEXT, source_id TEXT,
  requester_session_key TEXT, owner_key TEXT NOT NULL, scope_kind TEXT NOT NULL,
  child_session_key TEXT, parent_flow_id TEXT, parent_task_id TEXT, agent_id TEXT, run_id TEXT,
  label TEXT, task TEXT NOT NULL, status TEXT NOT NULL, delivery_status TEXT NOT NULL,
  notify_policy TEXT NOT NULL, created_at INTEGER NOT NULL, started_at INTEGER,
  ended_at INTEGER, last_event_at INTEGER, cleanup_after INTEGER, error TEXT,
  progress_summary TEXT, terminal_summary TEXT, terminal_outcome TEXT)
"""


def state_database(state: Path) -> Path:
    return state / "state" / "openclaw.sqlite"


def change_database(path: Path, sql: str, values: Sequence[object] = ()) -> None:
    """Change a database as a gateway does that then closes it: in WAL mode, nothing left beside."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(_TABLES) if path.name == "openclaw.sqlite" else None
        db.execute(sql, values)
        db.commit()


def make_state_database(state: Path) -> Path:
    """A state database with nothing on record."""
    change_database(state_database(state), "SELECT 1")
    return state_database(state)


def identify(path: Path) -> dict[str, Any]:
    """Identify a file as its manifests and receipts do."""
    info, data = path.stat(), path.read_bytes()
    return {
        "dev": str(info.st_dev),
        "ino": str(info.st_ino),
        "mtimeNs": str(info.st_mtime_ns),
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def record_source(
    state: Path,
    path: Path,
    *,
    kind: str = DEFERRED,
    status: str = "completed",
    removed: int = 0,
    report: dict[str, Any] | None = None,
    recorded_as: str | None = None,
) -> None:
    """Put one file on record in `migration_sources`, with its run."""
    database = make_state_database(state)
    identity = identify(path)
    text = json.dumps({} if report is None else report)
    run = f"{kind}:run"
    change_database(
        database,
        "INSERT OR REPLACE INTO migration_runs VALUES (?, ?, ?, 'completed', ?)",
        (run, RECORDED_MS, RECORDED_MS, text),
    )
    named = recorded_as or str(path)
    change_database(
        database,
        "INSERT INTO migration_sources VALUES (?, ?, ?, 't', ?, ?, 7, ?, ?, ?, ?, ?)",
        (
            f"{kind}:{named}",
            kind,
            named,
            identity["sha256"],
            identity["size"],
            run,
            status,
            RECORDED_MS,
            removed,
            text,
        ),
    )


def defer_import(state: Path, store: Path) -> None:
    """Put a store and its transcripts on record, as 2026.9.6 does while plugins are missing."""
    files = [store, *sorted(store.parent.glob("*.jsonl"))]
    sources = [{"path": str(path), "identity": identify(path)} for path in files]
    report = {"databaseIdentity": "1:2", "pluginIds": list(PLUGINS), "sources": sources}
    record_source(state, store, report=report)
    fill_agent_database(state, store.parent.parent.name)


def fill_agent_database(state: Path, agent: str = "main") -> Path:
    """An agent's database with a session in it."""
    path = state / "agents" / agent / "agent" / "openclaw-agent.sqlite"
    change_database(path, "CREATE TABLE session_nodes (session_key TEXT PRIMARY KEY)")
    change_database(path, "INSERT INTO session_nodes VALUES ('agent:main:main')")
    return path


def write_manifest(
    state: Path, store: Path, *, over: bool, moves: Sequence[Path] = (), number: int = 1
) -> None:
    """A manifest of one run of the import, with the moves that it planned."""
    planned = [
        {
            "sourcePath": str(path),
            "archivePath": str(path.parent.parent / "session-sqlite-import-archive" / path.name),
            "kind": "legacy-store",
            "artifact": {"identity": identify(path), "classification": "imported"},
        }
        for path in moves
    ]
    manifest = {
        "manifestVersion": 3,
        "openClawVersion": "2026.9.6",
        "runId": f"session-sqlite-{number}",
        "startedAt": f"2026-01-0{number}T00:00:00.000Z",
        "targets": [
            {
                "agentId": "main",
                "storePath": str(store),
                "sqlitePath": str(store.parent / "x.sqlite"),
                "plannedMoves": planned,
                "completedMoves": [],
                "issues": [],
                "validationBeforeArchive": "passed" if over else "not_run",
            }
        ],
    }
    if over:
        manifest["completedAt"] = f"2026-01-0{number}T00:00:09.000Z"
    folder = state / "session-sqlite-migration-runs"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"session-sqlite-{number}.json").write_text(json.dumps(manifest))
