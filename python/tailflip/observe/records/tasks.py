"""The gateway's background task ledger, read without a trace.

Source: `<state>/tasks/runs.sqlite`, table `task_runs`, from 2026.3.31 on. Beside a living
gateway its own file is opened read-only. A stopped gateway's is read from a private copy:
opening a database in WAL mode would otherwise leave files of ours beside it.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_ROWS = 20_000
# What it calls a run that ended, and what we do; `lost` and `cancelled` prove no end.
ENDED = {"succeeded": "done", "failed": "failed", "timed_out": "timeout"}
_BUSY_S = 5.0
_SIDECARS = ("", "-wal")
_COLUMNS = "task_id, runtime, source_id, run_id, label, status, created_at, started_at, ended_at"
_COLUMNS += ", last_event_at, error"


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
    """Name the file; it need not exist."""
    return state_dir / "tasks" / "runs.sqlite"


def read_tasks(
    state_dir: Path, notes: list[str], *, gateway_is_gone: bool
) -> tuple[Task, ...] | None:
    """Read the newest rows, newest first; None, with a note, if they cannot be read."""
    path = find_ledger(state_dir)
    if not path.exists():
        return ()
    try:
        with _open(path, as_copy=gateway_is_gone) as db:
            rows = db.execute(
                f"SELECT {_COLUMNS} FROM task_runs "  # noqa: S608 - names from above
                "ORDER BY created_at DESC, task_id LIMIT ?",
                (MOST_ROWS,),
            ).fetchall()
    except (sqlite3.Error, OSError) as error:
        notes.append(f"task ledger cannot be read: {path}: {error}")
        return None
    return tuple(Task(*row) for row in rows)


@contextmanager
def _open(path: Path, *, as_copy: bool) -> Iterator[sqlite3.Connection]:
    if not as_copy:
        with closing(_connect(path)) as db:
            yield db
        return
    with tempfile.TemporaryDirectory(prefix="tailflip-") as folder:
        for suffix in _SIDECARS:
            source = path.with_name(path.name + suffix)
            if source.exists():
                shutil.copyfile(source, Path(folder) / source.name)
        with closing(_connect(Path(folder) / path.name)) as db:
            yield db


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_S)
