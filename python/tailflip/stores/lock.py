"""The gateway's own `sessions.json.lock`, taken and honoured the gateway's way.

Source: OpenClaw `src/agents/session-write-lock.ts`: O_EXCL creation, then one JSON
object with `pid`, ISO `createdAt` and, on Linux, `starttime` (clock ticks since boot).
The gateway steals a lock from a living owner after 30 s; so we never rename under a
lock of ours that is older than `MAX_HELD_S`. We are stricter than the gateway in one point:
we never steal from a process that lives. A gateway that parses a huge store for long goes
on writing afterwards as if it still held the lock. A lock that we may not read (root's,
mode 0600) names no owner: it becomes stale by its age, as for the gateway.
"""

from __future__ import annotations

import json
import os
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tailflip.base import clock, rights
from tailflip.base.durable import naming, resolve
from tailflip.base.errors import TailflipError, TryLater
from tailflip.flow.late import dataclass
from tailflip.observe.gateway.lock_owner import LockOwner, is_gone, read_owner
from tailflip.observe.gateway.process import start_ticks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tailflip.base.durable import Disk

MAX_HELD_S = 20.0
_STALE_MS = 30_000
TRANSCRIPT_STALE_MS = 30 * 60_000  # the gateway's own limit: a run may take so long
_STEP_S = 0.05
_LONGEST_WAIT_S = 1.0
_READABLE = 0o644


_left: set[LockOwner] = set()  # locks of this process that it does not hold, and could not delete


@dataclass(frozen=True)
class Lock:
    """A lock file that we made, and the facts by which we recognise it."""

    path: Path
    device: int
    inode: int
    payload: bytes
    taken_mono: float

    def held_s(self) -> float:
        """Return the seconds since we took the lock."""
        return clock.monotonic_s() - self.taken_mono

    def still_ours(self) -> bool:
        """Say whether the lock is in place, and too young for others to steal."""
        return self.held_s() < MAX_HELD_S and self.is_in_place()

    def is_in_place(self) -> bool:
        """Say whether the file at the path is the very one we made."""
        try:
            info = os.lstat(self.path)
            same = (info.st_dev, info.st_ino) == (self.device, self.inode)
            return same and self.path.read_bytes() == self.payload
        except OSError:
            return False


@contextmanager
def hold(store_path: Path, disk: Disk, timeout_s: float = 10.0) -> Iterator[Lock]:
    """Hold the store's lock; on leaving, delete it only if it is still ours.

    Of the path only the directory is resolved, as the gateway does it.

    Raises:
        TryLater: Another process held it all the time; the message has pid and age.
    """
    path = resolve(store_path.parent) / f"{store_path.name}.lock"
    with naming(path):
        lock = _take(path, disk, clock.monotonic_s() + timeout_s)
    try:
        yield lock
    finally:
        if lock.is_in_place():
            let_go(path, disk)


@contextmanager
def hold_all(store_paths: tuple[Path, ...], disk: Disk) -> Iterator[tuple[Lock, ...]]:
    """Hold the locks of every name of a store, taken in sorted order."""
    with ExitStack() as stack:
        yield tuple(stack.enter_context(hold(path, disk)) for path in sorted(set(store_paths)))


def is_stale(owner: LockOwner, now_ms: int, nameless_ms: int = _STALE_MS) -> bool:
    """Say whether a lock's owner is gone, or is this process after it released the lock.

    Args:
        owner: Who holds it.
        now_ms: Now.
        nameless_ms: The age from which a lock that names nobody is stale.
    """
    return owner in _left or is_gone(owner, now_ms, nameless_ms)


def remove_stale(path: Path, disk: Disk, now_ms: int) -> bool:
    """Delete a lock whose owner is gone; say whether the lock can now be taken."""
    owner = read_owner(path)
    if owner is None:
        return True
    if not is_stale(owner, now_ms):
        return False
    # Others delete stale locks too: read it again, or we could delete a fresh lock.
    if read_owner(path) == owner:
        with suppress(FileNotFoundError):
            disk.unlink(path)
    return True


def _take(path: Path, disk: Disk, deadline_mono: float) -> Lock:
    attempt = 0
    while True:
        attempt += 1
        lock = _try_create(path, disk)
        if lock is not None:
            return lock
        if remove_stale(path, disk, clock.now_ms()) and attempt == 1:
            continue
        wait_s = min(_LONGEST_WAIT_S, _STEP_S * attempt)
        if clock.monotonic_s() + wait_s > deadline_mono:
            owner = read_owner(path)
            who = "someone" if owner is None else owner.describe(clock.now_ms())
            raise TryLater(
                f"store is locked by {who}: {path}; nothing was changed",
                hint="try again in a moment, or stop the gateway first",
            )
        clock.sleep_s(wait_s)


def _try_create(path: Path, disk: Disk) -> Lock | None:
    try:
        fd = disk.open_new(path, _READABLE)
    except FileExistsError:
        return None
    taken = clock.monotonic_s()
    _give_to_folder(fd, path, disk)
    info = os.fstat(fd)
    payload = _format_payload(clock.now_ms())
    lock = Lock(path, info.st_dev, info.st_ino, payload, taken)
    try:
        disk.write(fd, payload)
    except BaseException:
        let_go(path, disk)
        raise
    finally:
        os.close(fd)
    return lock


def _give_to_folder(fd: int, path: Path, disk: Disk) -> None:
    """Give a lock to the owner of its folder: if we die, the gateway must be able to read it."""
    owner, group = rights.choose_newcomer(path.parent)
    if owner != os.geteuid():
        with suppress(OSError):  # every user can read it in any case
            disk.set_owner(fd, _READABLE, owner, group)


def let_go(path: Path, disk: Disk) -> None:
    """Delete a lock of ours; a failure must not hide the result of the block before.

    A lock that stays is removed by the next taker: by another process once this one has ended,
    by this one at any time, because `run` and `watch` live for weeks.
    """
    try:
        disk.unlink(path)
    except (OSError, TailflipError):
        with suppress(OSError):
            owner = read_owner(path)
            if owner is not None:
                _left.add(owner)


def _format_payload(now_ms: int) -> bytes:
    payload: dict[str, Any] = {"pid": os.getpid(), "createdAt": format_created(now_ms)}
    ticks = start_ticks(os.getpid())
    if ticks is not None:
        payload["starttime"] = ticks
    return json.dumps(payload, indent=2).encode()


def format_created(now_ms: int) -> str:
    """Write a moment as the gateway does in its locks."""
    moment = datetime.fromtimestamp(now_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{now_ms % 1000:03d}Z"
