"""Replaces a file of the gateway's: a session store, a cron store, the task ledger.

Read and write without the lock, however long it takes; then take the lock, make sure
that the file is still the very one that was read, and rename. A file that changed
meanwhile costs another attempt; the last attempt does everything under the lock.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tailflip.base import platform_calls, rights
from tailflip.base.durable import identify, open_regular, resolve
from tailflip.base.errors import InternalError, NoPermission, StoreChanged, TryLater
from tailflip.flow.late import dataclass
from tailflip.ledger.actions import State
from tailflip.stores.lock import Lock, hold_all
from tailflip.stores.ownership import require_leave

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tailflip.base.durable import Disk
    from tailflip.flow.observed import FileIdentity
    from tailflip.ledger.actions import Action

_T = TypeVar("_T")
_Held = TypeVar("_Held")

ATTEMPTS = 3
PRIVATE = 0o600
_COPY_BYTES = 1 << 18


@dataclass(frozen=True)
class Source:
    """An opened store; `fd` and `identity` are None when there is no file.

    In the last attempt the caller already holds `locks`. `state_dir` is that of the store's
    installation, where the caller knows it.
    """

    store: Path
    real: Path
    fd: int | None
    identity: FileIdentity | None
    mode: int
    uid: int
    gid: int
    locks: tuple[Lock, ...]
    state_dir: Path | None = None

    @property
    def is_missing(self) -> bool:
        """Say whether there is no file."""
        return self.fd is None

    @property
    def size_bytes(self) -> int:
        """The present size of the file."""
        return 0 if self.fd is None else os.fstat(self.fd).st_size

    def copy_to(self, disk: Disk, path: Path) -> None:
        """Copy the store byte for byte to a new file, and sync that."""
        if self.fd is not None:
            copy_file(disk, self.fd, path)

    def name_drafts(self, count: int) -> list[Path]:
        """Name draft files beside the store."""
        return name_drafts(self.real, count)

    def complete(
        self, disk: Disk, temps: list[Path], fds: list[int], is_as_written: Callable[[int], bool]
    ) -> None:
        """Sync the first draft and read it back; delete the others.

        Raises:
            InternalError: The bytes read back are not those that were written.
        """
        _match_owner(disk, fds[0], self)
        with syncing(disk, fds[0]):
            good = is_as_written(fds[0])
        if not good:
            raise InternalError(f"new store does not read back as it was written: {self.store}")
        for spare in temps[1:]:
            disk.unlink(spare)
        disk.fsync_dir(temps[0].parent)

    @contextmanager
    def replacing(self, disk: Disk, temp: Path) -> Iterator[Callable[[], float]]:
        """Make the draft the store, and hold the lock while the block runs.

        Yields:
            how many seconds the lock has been held.

        Raises:
            StoreChanged: The store is no longer the one that was read.
        """
        if self.locks:
            yield self._rename(disk, temp, self.locks)
        else:
            with hold_all(_name_locks(self.store), disk) as locks:
                yield self._rename(disk, temp, locks)

    def _rename(self, disk: Disk, temp: Path, locks: tuple[Lock, ...]) -> Callable[[], float]:
        """Check the store once more, and rename; the caller holds the locks."""
        if _identify_path(self.store, self.real) != self.identity:
            raise StoreChanged(f"store changed while it was read: {self.store}")
        if not all(lock.still_ours() for lock in locks):
            raise TryLater(
                f"lost the lock of the store: {self.store}; nothing was changed",
                hint="stop the gateway and try again",
            )
        # A gateway may have put it on record meanwhile: an import does not take the lock.
        require_leave(self.store, self.state_dir, new=temp)
        disk.rename(temp, self.real)
        disk.fsync_dir(self.real.parent)
        return lambda: max(lock.held_s() for lock in locks)


def try_attempts(
    store: Path, disk: Disk, attempt: Callable[[Source], _T], state_dir: Path | None = None
) -> _T:
    """Call `attempt` with the opened store until the store holds still.

    Raises:
        TryLater: It changes faster than it can be rewritten.
    """

    def work(locks: tuple[Lock, ...] = ()) -> _T:
        with open_source(store, locks, state_dir) as source:
            return attempt(source)

    return until_still(store, work, lambda: hold_all(_name_locks(store), disk), work)


def until_still(
    store: Path,
    attempt: Callable[[], _T],
    hold: Callable[[], AbstractContextManager[_Held]],
    last: Callable[[_Held], _T],
) -> _T:
    """Call `attempt` until the store holds still; the last time `last`, while others are kept out.

    Raises:
        TryLater: it changes faster than it can be rewritten.
    """
    for _ in range(ATTEMPTS - 1):
        try:
            return attempt()
        except StoreChanged:
            continue
    with hold() as held:
        try:
            return last(held)
        except StoreChanged as e:
            raise TryLater(
                f"store keeps changing: {store}; nothing was changed by us",
                hint="stop the gateway and try again",
            ) from e


def name_drafts(real: Path, count: int) -> list[Path]:
    """Name draft files beside a store; no other process makes the same names."""
    import uuid  # noqa: PLC0415 - most starts replace nothing

    stem = f"{real.name}.{uuid.uuid4()}"
    return [real.with_name(f"{stem}{'-' * n}.tmp") for n in range(count)]


@contextmanager
def open_source(
    store: Path, locks: tuple[Lock, ...] = (), state_dir: Path | None = None
) -> Iterator[Source]:
    """Open the store that a path leads to, symbolic links resolved."""
    real = resolve(store)
    if not os.path.lexists(real):
        owner, gid = rights.choose_newcomer(real.parent)
        yield Source(store, real, None, None, PRIVATE, owner, gid, locks, state_dir)
        return
    keep = None
    try:
        with open_regular(real) as fd:
            keep = os.dup(fd)
            info = os.fstat(fd)
            mode = stat.S_IMODE(info.st_mode)
            owner = rights.choose_owner(info.st_uid)
            yield Source(
                store, real, fd, identify(info), mode, owner, info.st_gid, locks, state_dir
            )
    finally:
        # A replaced file is freed when its last descriptor is closed. For some hundred MB that
        # can take as long as copying a quarter of them.
        if keep is not None:
            threading.Thread(target=os.close, args=(keep,), name="tailflip-close").start()


def _match_owner(disk: Disk, fd: int, source: Source) -> None:
    """Give the new file owner, group, mode and access control list of the old one."""
    try:
        disk.set_owner(fd, source.mode, source.uid, source.gid)
    except OSError as e:
        if e.errno not in (errno.EPERM, errno.EINVAL):
            raise
        if source.uid != os.geteuid():
            raise NoPermission(
                f"new store cannot be given to user id {source.uid}, whose the old one is, "
                f"we are {os.geteuid()}: {source.store}: {e.strerror}",
                hint="run as the user the gateway runs as",
            ) from e
        # We are not in the file's group. The gateway would not keep the group either. Members of
        # our group must not read a file that they could not read before.
        own = os.fstat(fd).st_gid
        disk.set_owner(fd, source.mode & ~stat.S_IRWXG, source.uid, own)
        return
    acl = None if source.fd is None else platform_calls.here.read_acl(source.fd)
    if acl is not None:
        platform_calls.here.write_acl(fd, acl)


@contextmanager
def syncing(disk: Disk, fd: int) -> Iterator[None]:
    """Sync a file on a thread while the caller reads the file back.

    The sync waits for the medium while the caller computes. The block must not change the disk.
    Both have ended when the block ends, and an error of either is raised.
    """
    failures: list[BaseException] = []

    def work() -> None:
        try:
            disk.fsync(fd)
        except BaseException as e:  # noqa: BLE001 - raised again below
            failures.append(e)

    thread = threading.Thread(target=work, name="tailflip-sync", daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join()  # it syncs the descriptor: close that after it has ended
    if failures:
        raise failures[0]


def write_file(disk: Disk, path: Path, data: bytes) -> None:
    """Write a small file of ours, so that the file is there whole or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    fd = disk.open_new(partial, PRIVATE)
    try:
        disk.write(fd, data)
        disk.fsync(fd)
    finally:
        os.close(fd)
    disk.rename(partial, path)


def copy_file(disk: Disk, source_fd: int, path: Path) -> None:
    """Copy a file byte for byte to a new one, and sync it."""
    fd = disk.open_new(path, PRIVATE)
    try:
        copy_bytes(disk, source_fd, fd)
        disk.fsync(fd)
    finally:
        os.close(fd)
    disk.fsync_dir(path.parent)


def copy_bytes(disk: Disk, source_fd: int, fd: int) -> None:
    """Append one file to another."""
    offset = 0
    while chunk := os.pread(source_fd, _COPY_BYTES, offset):
        disk.write(fd, chunk)
        offset += len(chunk)


def is_same(fd: int, other_fd: int) -> bool:
    """Compare two files byte for byte."""
    offset = 0
    while True:
        chunk = os.pread(fd, _COPY_BYTES, offset)
        if chunk != os.pread(other_fd, _COPY_BYTES, offset):
            return False
        if not chunk:
            return True
        offset += len(chunk)


def prove(action: Action, disk: Disk) -> State:
    """Tell whether an archived action replaced its file.

    A draft that still has its name proves that the rename did not happen. Without it the rename
    happened, or we cannot know: then the action is committed, and its archive stays.

    Raises:
        FileNotFoundError: the disk is away.
    """
    temp = Path(action.details.temps[0])
    if not temp.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(temp.parent))
    if os.path.lexists(temp):
        return State.INTENDED
    disk.fsync_dir(temp.parent)
    return State.COMMITTED


def _identify_path(store: Path, real: Path) -> FileIdentity | None:
    """Identify the file that the store's path leads to now; a changed link is a change."""
    try:
        if resolve(store) != real:
            raise StoreChanged(f"store changed while it was read: {store}")
        return identify(os.lstat(real))
    except FileNotFoundError:
        return None


def _name_locks(store: Path) -> tuple[Path, ...]:
    """List every path by which a gateway may lock this store.

    The gateway locks beside its configured path, be that a link or not.
    """
    return (resolve(store.parent) / store.name, resolve(store))
