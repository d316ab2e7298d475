"""Finds the owner of a gateway's lock file, and tells whether the owner is gone.

Source: OpenClaw writes JSON into each of its lock files: `pid`, ISO `createdAt`, and the start
of the process in clock ticks since boot, as `starttime` (`session-write-lock.ts`: stores and
transcripts) or `startTime` (`gateway-lock.ts`). Up to 2026.7 there is no start on macOS.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tailflip.flow.late import dataclass
from tailflip.observe.gateway.process import booted_ms, is_alive, started_ms

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_MAX_BYTES = 64 << 10
_CLOCK_SLACK_MS = 5_000


@dataclass(frozen=True)
class LockOwner:
    """The contents of a lock file. `changed_ms` is the file's own time; the rest may be missing.

    `pid` None: the lock names no owner; it is not yet written, torn, or may not be read.
    """

    device: int
    inode: int
    changed_ms: int
    pid: int | None
    created_ms: int | None
    start_ticks: int | None
    payload: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def describe(self, now_ms: int) -> str:
        """Describe pid and age for a person."""
        since_ms = self.changed_ms if self.created_ms is None else self.created_ms
        who = "an unknown process" if self.pid is None else f"pid {self.pid}"
        return f"{who} for {max(0, now_ms - since_ms) / 1000:.1f} s"


def read_owner(path: Path) -> LockOwner | None:
    """Read a lock file; None when there is none. Follows no link, and does not wait on a FIFO.

    Raises:
        OSError: its age cannot be read, as in a folder that may not be searched.
    """
    try:
        info, text = _read(path)
    except FileNotFoundError:
        return None
    payload = _parse(text)
    ticks = payload.get("starttime", payload.get("startTime"))
    return LockOwner(
        device=info.st_dev,
        inode=info.st_ino,
        changed_ms=info.st_mtime_ns // 1_000_000,
        pid=_positive(payload.get("pid")),
        created_ms=_parse_moment(payload.get("createdAt")),
        start_ticks=_positive(ticks),
        payload=payload,
    )


def make_owner(pid: int, start_ticks: int | None, at_ms: int) -> LockOwner:
    """Make the owner that a row of a database names, written at `at_ms`, as a lock file does."""
    return LockOwner(
        device=0, inode=0, changed_ms=at_ms, pid=pid, created_ms=at_ms, start_ticks=start_ticks
    )


def owner_lives(owner: LockOwner) -> bool | None:
    """Say whether the process that took the lock lives; None if the lock names no process.

    Without a start time, a process with that pid that is younger than the lock is another one.
    Without either, a pid from before the boot names no process.
    """
    if owner.pid is None:
        return None
    if not is_alive(owner.pid, owner.start_ticks):
        return False
    if owner.start_ticks is not None:
        return True
    if owner.created_ms is None:
        return None if owner.changed_ms < booted_ms() - _CLOCK_SLACK_MS else True
    started = started_ms(owner.pid)
    return started is None or started <= owner.created_ms + _CLOCK_SLACK_MS


def is_gone(owner: LockOwner, now_ms: int, nameless_ms: int) -> bool:
    """Say whether a lock's owner is gone.

    Args:
        owner: as read.
        now_ms: the moment of judgement.
        nameless_ms: the age from which a lock without a name has no owner.
    """
    lives = owner_lives(owner)
    return now_ms - owner.changed_ms > nameless_ms if lives is None else not lives


def _read(path: Path) -> tuple[os.stat_result, bytes]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError:  # may not be read, a link, a socket
        return os.lstat(path), b""
    try:
        info = os.fstat(fd)
        return info, os.read(fd, _MAX_BYTES) if stat.S_ISREG(info.st_mode) else b""
    except OSError:
        return os.lstat(path), b""
    finally:
        os.close(fd)


def _parse(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _positive(value: Any) -> int | None:
    return value if type(value) is int and value > 0 else None


def _parse_moment(value: Any) -> int | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return int(moment.timestamp() * 1000) if moment.tzinfo is not None else None
    except (ValueError, OverflowError, OSError):
        return None
