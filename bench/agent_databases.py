"""Databases of an agent to measure with: the incident as it was imported, tiny rows, big events.

    python bench/agent_databases.py KIND DATABASE [SHARE]

Made by `tests/support/agent_database.py`, whose tables are those of a real gateway's. `SHARE`
shrinks one.
"""

from __future__ import annotations

import base64
import json
import random
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.agent_database import add_entry, connect, make_database
from tailflip.demo.incident import write_incident

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PLACE = Path("agents/main/agent/openclaw-agent.sqlite")
# Of a store of 185 MB. The import drops what is found again: 94 MB are left of it.
_IMPORTED_BYTES = 185_000_000
_DROPPED = "resolvedSkills"
_JOB = "7c0f6b0e-0000-4000-8000-000000000001"
_DAY_MS = 86_400_000
_TINY, _BIG = 1_000_000, 64
_EVENT_CHARS = 3_900_000
_PICTURES, _PICTURE_RUNS, _PICTURE_CHARS = 12_000, 6_000, 190_000


def make_imported(path: Path, share: float = 1.0) -> None:
    """Import the incident as 2026.9.6 does: one node, window and event an entry."""
    with tempfile.TemporaryDirectory(prefix="tailflip-bench-") as folder:
        incident = write_incident(
            Path(folder), size_bytes=int(_IMPORTED_BYTES * share), now_ms=_now_ms()
        )
        entries: dict[str, Any] = json.loads(incident["store"].read_bytes())
    for entry in entries.values():
        entry["skillsSnapshot"].pop(_DROPPED)
    make_database(path, entries)


def make_tiny(path: Path, share: float = 1.0) -> None:
    """Make many finished runs whose entries have nothing but what every entry has."""

    def entries() -> Iterator[tuple[str, dict[str, Any]]]:
        old_ms = _now_ms() - 3 * _DAY_MS
        for n in range(int(_TINY * share)):
            session = f"{n:08x}-0000-4000-8000-{n:012x}"
            entry = {"sessionId": session, "updatedAt": old_ms + n, "status": "done"}
            yield f"agent:main:cron:{_JOB}:run:{session}", entry

    make_database(path, {"agent:main:main": {"sessionId": "main", "updatedAt": _now_ms()}})
    with closing(connect(path)) as db, db:
        for key, entry in entries():
            add_entry(db, key, entry)


def make_few(path: Path, share: float = 1.0) -> None:
    """Make a fiftieth of them."""
    make_tiny(path, share / 50)


def make_big(path: Path, share: float = 1.0) -> None:
    """Make runs of which each has one event of 3.9 MB, with letters outside ASCII."""
    make_tiny(path, int(_BIG * share) / _TINY)
    text = "a picture in words: \u2192 "
    body = text * (_EVENT_CHARS // len(text.encode()))
    with closing(connect(path)) as db, db:
        sessions = db.execute("SELECT session_id FROM session_windows").fetchall()
        for (session,) in sessions:
            event = json.dumps({"type": "message", "id": session, "text": body}, ensure_ascii=False)
            db.execute(
                "INSERT INTO transcript_events (session_id, seq, event_json, created_at)"
                " VALUES (?, 1, ?, 0)",
                (session, event),
            )


def make_pictures(path: Path, share: float = 1.0) -> None:
    """Make runs of which each has two events of 190 KB that no packer makes smaller."""
    runs = int(_PICTURE_RUNS * share)
    make_tiny(path, runs / _TINY)
    generator = random.Random(1)
    with closing(connect(path)) as db, db:
        sessions = db.execute("SELECT session_id FROM session_windows").fetchall()
        for n in range(int(_PICTURES * share)):
            data = base64.b64encode(generator.randbytes(_PICTURE_CHARS * 3 // 4)).decode()
            event = json.dumps({"type": "message", "id": f"p{n}", "image": data})
            db.execute(
                "INSERT INTO transcript_events (session_id, seq, event_json, created_at)"
                " VALUES (?, ?, ?, 0)",
                (sessions[n % len(sessions)][0], 1 + n // len(sessions), event),
            )


FEW, MANY = "database, 20,000 tiny rows", "database, 1 million tiny rows"
ROWS = (FEW, MANY)
KINDS: dict[str, Callable[..., None]] = {
    "database, the incident imported": make_imported,
    FEW: make_few,
    MANY: make_tiny,
    "database, events of 3.9 MB": make_big,
    "database, 12,000 events of 190 KB": make_pictures,
}


def _now_ms() -> int:
    return int(time.time() * 1000)


if __name__ == "__main__":
    KINDS[sys.argv[1]](Path(sys.argv[2]), float(sys.argv[3]) if len(sys.argv) > 3 else 1.0)
