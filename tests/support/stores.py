"""Small stores, evidence of a gateway that is gone, disks that fail: shared by all tests."""

from __future__ import annotations

import errno
import json
import os
from typing import TYPE_CHECKING, Any

from tailflip.base.durable import RealDisk
from tailflip.flow.observed import Evidence, Gateway

if TYPE_CHECKING:
    from pathlib import Path

NOW_MS = 1_770_000_000_000
HOUR_MS = 3_600_000
JOB = "7c0f6b0e-0000-4000-8000-000000000001"
GONE = Evidence(gateway=Gateway(alive=False, pid=None, started_ms=None, evidence="test"))


def make_entry(session: str, age_ms: int = 0, **fields: Any) -> dict[str, Any]:
    """An entry last touched `age_ms` before NOW_MS."""
    return {"sessionId": session, "updatedAt": NOW_MS - age_ms, **fields}


def run_key(session: str, job: str = JOB) -> str:
    return f"agent:main:cron:{job}:run:{session}"


def make_entries(old_runs: int = 3) -> dict[str, Any]:
    """A store of everyday shape: chats, a base entry, `old_runs` to expire, one fresh run."""
    entries: dict[str, Any] = {
        "agent:main:main": make_entry("main-1", 50 * HOUR_MS, note="grüß dich \u2028 \\ud83d"),
        f"agent:main:cron:{JOB}": make_entry("run-0", HOUR_MS),
    }
    for n in range(old_runs):
        entries[run_key(f"run-{n}")] = make_entry(f"run-{n}", 60 * HOUR_MS, status="done", n=n)
    entries["agent:main:direct:peer"] = make_entry("direct-1", 90 * HOUR_MS, unknown=[1, {}])
    entries[run_key("fresh")] = make_entry(
        "fresh", HOUR_MS // 2, status="done", skillsSnapshot={"prompt": "p" * 500}, label="mine"
    )
    return entries


def format_store(entries: dict[str, Any]) -> bytes:
    """Lay a store out as the gateway does."""
    return json.dumps(entries, indent=2, ensure_ascii=False).encode()


def make_store(path: Path, entries: dict[str, Any] | None = None) -> bytes:
    """Write a store in a new directory, with a transcript for every session; return its bytes."""
    entries = make_entries() if entries is None else entries
    path.parent.mkdir(parents=True)
    data = format_store(entries)
    path.write_bytes(data)
    path.chmod(0o600)
    for entry in entries.values():
        if isinstance(entry, dict) and "sessionId" in entry:
            transcript = path.with_name(f"{entry['sessionId']}.jsonl")
            transcript.write_text(f'{{"type":"session","id":"{entry["sessionId"]}"}}\n')
    return data


def split_members(data: bytes) -> list[tuple[str, str]]:
    """Cut a store into (key, raw text of the value), by Python's own parser."""
    text = data.decode()
    decoder = json.JSONDecoder()
    found = []
    at = _skip_space(text, text.index("{") + 1)
    while text[at] != "}":
        if text[at] == ",":
            at = _skip_space(text, at + 1)
        key, at = decoder.raw_decode(text, at)
        at = _skip_space(text, _skip_space(text, at) + 1)
        _, end = decoder.raw_decode(text, at)
        found.append((key, text[at:end]))
        at = _skip_space(text, end)
    return found


def _skip_space(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at


def list_tree(root: Path) -> dict[str, bytes]:
    """Every file under a directory, with its bytes."""
    return {
        str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()
    }


class FaultyDisk(RealDisk):
    """Counts effects; at the `at`-th (from 1) it dies, tears a write, or fails with `error`.

    `for_good`: the disk stays broken from there on.
    """

    def __init__(self, at: int = 0, *, error: int | None = None, for_good: bool = False) -> None:
        self.effects: list[str] = []
        self._at = at
        self._error = error
        self._for_good = for_good

    def _effect(self, name: str) -> None:
        self.effects.append(name)
        count = len(self.effects)
        if not self._at or count < self._at or (count > self._at and not self._for_good):
            return
        if self._error is None:
            os._exit(9)
        raise OSError(self._error, os.strerror(self._error))

    def open_new(self, path: Path, mode: int) -> int:
        self._effect(f"open {path.name}")
        return super().open_new(path, mode)

    def open_lock(self, path: Path) -> int:
        self._effect(f"open_lock {path.name}")
        return super().open_lock(path)

    def write(self, fd: int, data: bytes) -> None:
        self._effect("write nothing of it")
        super().write(fd, data[: len(data) // 2])
        self._effect("write the second half")
        super().write(fd, data[len(data) // 2 :])

    def fsync(self, fd: int) -> None:
        self._effect("fsync")

    def set_owner(self, fd: int, mode: int, uid: int, gid: int) -> None:
        self._effect("set_owner")
        super().set_owner(fd, mode, uid, gid)

    def set_time(self, fd: int, mtime_ns: int) -> None:
        self._effect("set_time")
        super().set_time(fd, mtime_ns)

    def rename(self, old: Path, new: Path) -> None:
        self._effect(f"rename {old.name}")
        super().rename(old, new)

    def unlink(self, path: Path) -> None:
        self._effect(f"unlink {path.name}")
        super().unlink(path)

    def fsync_dir(self, path: Path) -> None:
        self._effect(f"fsync_dir {path.name}")

    def mkdir(self, path: Path, mode: int) -> None:
        self._effect(f"mkdir {path.name}")
        super().mkdir(path, mode)

    def rmdir(self, path: Path) -> None:
        self._effect(f"rmdir {path.name}")
        super().rmdir(path)

    def commit(self, db: Any) -> None:
        self._effect("commit")
        super().commit(db)

    def run(self, db: Any, statement: str) -> int:
        self._effect(f"run {statement}")
        return super().run(db, statement)


FULL, BROKEN = errno.ENOSPC, errno.EIO
