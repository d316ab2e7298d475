"""Opens a transcript under its own lock, and replaces it.

The lock is the gateway's `<id>.jsonl.lock`, which a run holds as long as it lasts. It is held
from the first byte read to the rename, so no run can begin in between. The gateway takes a lock
of this kind for forgotten after 30 minutes; we never rename under one that is nearly so old.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tailflip.base import clock
from tailflip.base.durable import identify, resolve
from tailflip.base.errors import NoPermission, StoreChanged, StoreInvalid, TryLater
from tailflip.flow.late import dataclass
from tailflip.observe.gateway.lock_owner import read_owner
from tailflip.stores.lock import TRANSCRIPT_STALE_MS, Lock, hold, is_stale
from tailflip.stores.ownership import require_leave
from tailflip.stores.replace import Source, open_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tailflip.base.durable import Disk

_MAX_HELD_S = TRANSCRIPT_STALE_MS / 1000 * 0.8
_TIMEOUT_S = 1.0


@dataclass(frozen=True)
class Transcript:
    """An opened transcript whose lock we hold."""

    source: Source
    lock: Lock

    @property
    def store(self) -> Path:
        """Its path."""
        return self.source.store

    @property
    def state_dir(self) -> Path | None:
        """That of its installation."""
        return self.source.state_dir

    @property
    def fd(self) -> int:
        """Its descriptor, to read.

        Raises:
            StoreInvalid: nothing is there.
        """
        if self.source.fd is None:
            raise StoreInvalid(f"transcript is missing: {self.store}; nothing was changed")
        return self.source.fd

    def name_drafts(self, count: int) -> list[Path]:
        """Name draft files beside it."""
        return self.source.name_drafts(count)

    def complete(
        self, disk: Disk, temps: list[Path], fds: list[int], is_as_written: Callable[[int], bool]
    ) -> None:
        """Sync the draft, which keeps the transcript's time, and read it back."""
        disk.set_time(fds[0], os.fstat(self.fd).st_mtime_ns)
        self.source.complete(disk, temps, fds, is_as_written)

    @contextmanager
    def replacing(self, disk: Disk, temp: Path) -> Iterator[Callable[[], float]]:
        """Make the draft the transcript; yields how many seconds the lock has been held.

        Raises:
            StoreChanged: it is no longer the file that was read.
            TryLater: the lock is no longer ours, or nearly too old.
        """
        if not self.lock.is_in_place() or self.lock.held_s() > _MAX_HELD_S:
            raise TryLater(
                f"lost the lock of the transcript: {self.store}; nothing was changed",
                hint="stop the gateway and try again",
            )
        require_leave(self.store, self.state_dir, new=temp)
        if identify(os.lstat(self.source.real)) != self.source.identity:
            raise StoreChanged(f"transcript changed while it was read: {self.store}")
        disk.rename(temp, self.source.real)
        disk.fsync_dir(self.source.real.parent)
        yield self.lock.held_s


@contextmanager
def opening(path: Path, disk: Disk, state_dir: Path | None) -> Iterator[Transcript]:
    """Take a transcript's lock and open it.

    Raises:
        TryLater: somebody has the lock, and lives.
        StoreInvalid: it is not a regular file.
        NoPermission: it is another user's, or has another name.
    """
    refuse_kind(path)
    refuse_locked(path)
    with hold(path, disk, _TIMEOUT_S) as lock:
        refuse_kind(path)
        with open_source(path, (lock,), state_dir) as source:
            yield Transcript(source, lock)


def refuse_kind(path: Path) -> None:
    """Refuse what is no file of our own with one name.

    Raises:
        StoreInvalid: it is missing, or not a regular file.
        NoPermission: it is another user's, or has another name.
    """
    try:
        info = os.lstat(path)
    except FileNotFoundError:
        raise StoreInvalid(f"transcript is missing: {path}; nothing was changed") from None
    if not stat.S_ISREG(info.st_mode):
        raise StoreInvalid(f"not a regular file: {path}; nothing was changed")
    if info.st_uid != os.geteuid():
        raise NoPermission(
            f"transcript belongs to user id {info.st_uid}, we are {os.geteuid()}: {path}; "
            "nothing was changed",
            hint="run as the user the gateway runs as",
        )
    if info.st_nlink != 1:
        raise NoPermission(
            f"transcript has {info.st_nlink} names, and only this one would change: {path}; "
            "nothing was changed",
            hint="a copy made with hard links has the same file; remove one of the names",
        )


def refuse_locked(path: Path) -> None:
    """Refuse a transcript that somebody has locked who may live.

    Raises:
        TryLater: who and since when.
    """
    lock = resolve(path.parent) / f"{path.name}.lock"
    owner, now_ms = read_owner(lock), clock.now_ms()
    if owner is not None and not is_stale(owner, now_ms, TRANSCRIPT_STALE_MS):
        raise TryLater(
            f"session is in use by {owner.describe(now_ms)}: {lock}; nothing was changed",
            hint="try again when its run is over, or stop the gateway first",
        )
