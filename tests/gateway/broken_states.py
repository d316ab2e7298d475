"""What stops every start of a real 2026.9.6, one fault at a time, written into its state."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

from sqlite_states import database_of

from support.agent_database import connect

if TYPE_CHECKING:
    from pathlib import Path

GARBAGE_PAGES = 20
_PAGE = 4096
_JOBS = 100
# A process that ends without closing its database, as a killed gateway does, leaves the log.
_FILL_LOG = """
import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA wal_autocheckpoint = 0")
for number in range(int(sys.argv[2])):
    db.execute(
        "INSERT OR REPLACE INTO cache_entries (scope, key, blob, updated_at)"
        " VALUES ('t', 'k', ?, ?)",
        (os.urandom(1 << 20), number),
    )
os._exit(0)
"""


def state_database(state: Path) -> Path:
    return state / "state" / "openclaw.sqlite"


def write_garbage(database: Path, pages: int = GARBAGE_PAGES) -> None:
    """Overwrite pages all over a database, its first one excepted."""
    count = database.stat().st_size // _PAGE
    chosen = random.Random(7)
    with database.open("r+b") as file:
        for number in range(pages):
            file.seek(_PAGE * (1 + number * (count - 1) // pages))
            file.write(chosen.randbytes(_PAGE))


def write_newer_schema(database: Path, version: int = 99) -> None:
    with closing(sqlite3.connect(database)) as db:
        db.execute(f"PRAGMA user_version = {version}")


def empty_log(state: Path) -> None:
    """Bring what the logs beside the databases hold into the databases."""
    for database in (state_database(state), database_of(state)):
        with closing(connect(database)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def put_back(kept: Path, file: Path) -> None:
    """Put a file back as a person does: without the log of what it replaces."""
    for suffix in ("-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)
    shutil.copyfile(kept, file)


def write_task_runs(state: Path, rows: int) -> None:
    """Write finished runs of the last days, of a hundred jobs: none is old enough to go."""
    now_ms = int(time.time() * 1000)
    with closing(connect(state_database(state))) as db, db:
        db.executemany(
            "INSERT INTO task_runs (task_id, runtime, task_kind, source_id, requester_session_key,"
            " owner_key, scope_kind, child_session_key, agent_id, run_id, label, task, status,"
            " delivery_status, notify_policy, created_at, started_at, ended_at, last_event_at,"
            " terminal_summary, detail_json) VALUES (?, 'cron', 'automation', ?, '', ?,"
            " 'system', ?, 'main', ?, ?, ?, 'succeeded', 'not_applicable', 'silent',"
            " ?, ?, ?, ?, ?, ?)",
            (_task_row(number, now_ms - number * 5_000) for number in range(rows)),
        )


def fill_log(database: Path, size_bytes: int) -> None:
    """Leave a write-ahead log of this size, all of it committed."""
    words = [sys.executable, "-c", _FILL_LOG, str(database), str(size_bytes >> 20)]
    subprocess.run(words, check=True, timeout=300)


def _task_row(number: int, at_ms: int) -> tuple[object, ...]:
    job, ended_ms = f"job-{number % _JOBS}", at_ms + 3_000
    text = f"run {number}: " + "everything was done as asked. " * 20
    detail = {
        "kind": "cron-run",
        "status": "ok",
        "completionStatus": "succeeded",
        "summary": text,
        "sessionId": f"session-{number}",
        "runAtMs": at_ms,
        "durationMs": 3_000,
        "usage": {name: number + at for at, name in enumerate("abcdefgh")},
        "steps": [{"tool": f"tool-{n}", "ms": number + n, "ok": True} for n in range(12)],
    }
    return (
        f"task-{number}",
        job,
        f"system:cron:{job}",
        f"agent:main:cron:{job}:run:session-{number}",
        f"cron:{job}:{at_ms}",
        job,
        text,
        at_ms,
        at_ms,
        ended_ms,
        ended_ms,
        text,
        json.dumps(detail),
    )
