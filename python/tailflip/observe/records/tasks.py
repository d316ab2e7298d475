"""Reads the gateway's background task ledger, without making files beside it.

Source: `<state>/tasks/runs.sqlite`, table `task_runs`, from 2026.3.31 on.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from tailflip.flow.late import dataclass
from tailflip.observe.records.database import read_database

if TYPE_CHECKING:
    from pathlib import Path

MOST_ROWS = 20_000
# The gateway's words for a run that ended, and ours; `lost` and `cancelled` prove no end.
ENDED = {"succeeded": "done", "failed": "failed", "timed_out": "timeout"}
TASK_COLUMNS = (
    "task_id",
    "runtime",
    "source_id",
    "run_id",
    "label",
    "status",
    "created_at",
    "started_at",
    "ended_at",
    "last_event_at",
    "error",
)


@dataclass(frozen=True)
class Task:
    """One row; `source_id` is the job's id for the runtime `cron`. Times may be missing."""

    task_id: str
    runtime: str
    source_id: str | None
    run_id: str | None
    label: str | None
    status: str
    created_ms: int | None
    started_ms: int | None
    ended_ms: int | None
    heard_ms: int | None
    error: str | None


def find_ledger(state_dir: Path) -> Path:
    """Name the task ledger's file, whether it exists or not."""
    return state_dir / "tasks" / "runs.sqlite"


def read_tasks(state_dir: Path, notes: list[str]) -> tuple[Task, ...] | None:
    """Read the newest rows, newest first; None, with a note, if they cannot be read."""
    path = find_ledger(state_dir)
    if not path.exists():
        return ()
    try:
        rows = read_database(path, _select)
    except (sqlite3.Error, OSError) as error:
        notes.append(f"task ledger cannot be read: {path}: {error}")
        return None
    return tuple(Task(*row) for row in rows)


def _select(db: sqlite3.Connection) -> list[tuple[Any, ...]]:
    return db.execute(
        f"SELECT {', '.join(TASK_COLUMNS)} FROM task_runs "  # noqa: S608 - names from above
        "ORDER BY created_at DESC, task_id LIMIT ?",
        (MOST_ROWS,),
    ).fetchall()
