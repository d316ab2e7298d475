"""Writes what gateways leave: half-written files, copies, transcripts without an entry."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from tailflip.base import clock

if TYPE_CHECKING:
    from pathlib import Path

DAY_MS = 86_400_000
DEAD_PID = 999_999_999
LIVING = "11111111-0000-4000-8000-000000000001"
ORPHAN = "22222222-0000-4000-8000-000000000002"
ENDED = "33333333-0000-4000-8000-000000000003"
CHECKPOINTS = tuple(f"44444444-0000-4000-8000-00000000000{n}" for n in range(4))


def make_transcript(session: str, lines: int = 200) -> bytes:
    head = {"type": "session", "version": 3, "id": session}
    body = b"".join(b'{"type":"message","n":%d}\n' % n for n in range(lines))
    return json.dumps(head).encode() + b"\n" + body


class Leftovers:
    """A folder of transcripts with one living session."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.folder = store.parent
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder.parents[2] / "openclaw.json").write_text("{}")
        self.name_in_store()
        self.transcript = make_transcript(LIVING)
        self.put(f"{LIVING}.jsonl", self.transcript + b'{"type":"message","n":"new"}\n')

    def name_in_store(self, **fields: object) -> None:
        """Write the store with its one entry."""
        entry = {"sessionId": LIVING, "updatedAt": clock.now_ms(), **fields}
        self.store.write_text(json.dumps({"agent:main:main": entry}))

    def put(self, name: str, data: bytes, age_ms: int = 30 * DAY_MS) -> Path:
        """Write a file that nobody wrote for so long."""
        path = self.folder / name
        path.write_bytes(data)
        self.age(path, age_ms)
        return path

    def age(self, path: Path, age_ms: int = 30 * DAY_MS) -> None:
        at = (clock.now_ms() - age_ms) / 1000
        os.utime(path, (at, at))

    def put_temporary(self, n: int = 0, size: int = 1000, **age: int) -> Path:
        """Leave a half-written store."""
        name = f"sessions.json.{DEAD_PID}.55555555-0000-4000-8000-{n:012d}.tmp"
        path = self.put(name, b"", **age)
        os.truncate(path, size)
        self.age(path, **age)
        return path

    def put_checkpoint(self, n: int, data: bytes | None = None) -> Path:
        """Leave the copy from before a compaction."""
        name = f"{LIVING}.checkpoint.{CHECKPOINTS[n]}.jsonl"
        return self.put(name, self.transcript if data is None else data)

    def put_history(self) -> tuple[Path, ...]:
        """Leave transcripts that no entry names."""
        return (
            self.put(f"{ORPHAN}.jsonl", make_transcript(ORPHAN)),
            self.put(f"{ORPHAN}.trajectory.jsonl", b"{}\n" * 50),
            self.put(f"{ENDED}.jsonl.reset.2026-01-02T03-04-05.678Z", make_transcript(ENDED)),
        )

    def list(self) -> set[str]:
        """Name all files that are there."""
        return {path.name for path in self.folder.iterdir()}
