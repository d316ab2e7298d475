"""Replacing a store: what compaction, restore and salvage have in common.

Read and write without the lock, however long it takes; then take the lock, make sure
that the store is still the very file that was read, and rename. A store that changed
meanwhile costs another attempt; the last attempt does everything under the lock.
"""

from __future__ import annotations

import errno
import os
import secrets
import sqlite3
import stat
import threading
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from tailflip.base import clock, platform_calls, rights
from tailflip.base.durable import explain_os_error, identify, open_regular, resolve
from tailflip.base.errors import (
    InternalError,
    IoFailed,
    NoPermission,
    StoreChanged,
    TailflipError,
    TryLater,
)
from tailflip.base.units import format_counted
from tailflip.ledger.actions import Action, Details, Ledger, State
from tailflip.stores import recovery
from tailflip.stores.json import native
from tailflip.stores.json.lock import Lock, hold_all
from tailflip.stores.ownership import require_leave

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tailflip.base.durable import Disk
    from tailflip.base.state_dir import Home
    from tailflip.flow.numbers import VerifyNumbers
    from tailflip.flow.observed import FileIdentity

    # (what is being done, bytes done, bytes in all)
    Progress = Callable[[str, int, int], None]

_T = TypeVar("_T")

ATTEMPTS = 3
_PRIVATE = 0o600
_COPY_BYTES = 1 << 18


@dataclass(frozen=True)
class Source:
    """The store as it was opened; `fd` and `identity` are None when there is no file.

    `locks` are held already in the last attempt. `state_dir` is that of its installation,
    where a caller knows it.
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


@dataclass
class Draft:
    """A new store being written, and the action it belongs to.

    `temps` and `fds` are the files beside the store; the first becomes the store.
    """

    action: Action
    source: Source
    temps: list[Path]
    fds: list[int]
    lock_held_s: float = 0.0


def try_attempts(
    store: Path, disk: Disk, attempt: Callable[[Source], _T], state_dir: Path | None = None
) -> _T:
    """Call `attempt` with the opened store until the store holds still.

    Raises:
        TryLater: It changes faster than it can be rewritten.
    """
    for _ in range(ATTEMPTS - 1):
        try:
            with open_source(store, state_dir=state_dir) as source:
                return attempt(source)
        except StoreChanged:
            continue
    with hold_all(_name_locks(store), disk) as locks:
        try:
            with open_source(store, locks, state_dir) as source:
                return attempt(source)
        except StoreChanged as e:
            raise TryLater(
                f"store keeps changing: {store}; nothing was changed by us",
                hint="stop the gateway and try again",
            ) from e


@contextmanager
def open_source(
    store: Path, locks: tuple[Lock, ...] = (), state_dir: Path | None = None
) -> Iterator[Source]:
    """Open the store that a path leads to, symbolic links resolved."""
    real = resolve(store)
    if not os.path.lexists(real):
        owner, gid = rights.choose_newcomer(real.parent)
        yield Source(store, real, None, None, _PRIVATE, owner, gid, locks, state_dir)
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
        # A file that was replaced is freed when the last who has it open closes it, which for
        # some hundred MB can take as long as copying a quarter of them.
        if keep is not None:
            threading.Thread(target=os.close, args=(keep,), name="tailflip-close").start()


@contextmanager
def begin(
    home: Home,
    disk: Disk,
    source: Source,
    *,
    kind: str,
    now_ms: int,
    temps: int = 1,
    sources: tuple[str, ...] = (),
    undoing: bool = False,
) -> Iterator[Draft]:
    """Record the intent and open new files beside the store; on any error, undo.

    Every writer comes by here: what is on record is refused (`undoing` as for
    `require_leave`).

    An interrupted commit is ended by the same code as after a crash.
    """
    require_leave(source.store, source.state_dir, undoing=undoing)
    stem = f"{source.real.name}.{uuid.uuid4()}"
    names = [source.real.with_name(f"{stem}{'-' * n}.tmp") for n in range(temps)]
    action = Action(
        id=make_id(now_ms),
        kind=kind,
        store=str(source.store),
        state=State.INTENDED,
        created_ms=now_ms,
        details=Details(temps=tuple(map(str, names)), sources=sources),
    )
    try:
        Ledger(home, disk).begin(action)
        draft = Draft(action, source, names, [])
        try:
            for name in names:
                draft.fds.append(disk.open_new(name, _PRIVATE))
            yield draft
        finally:
            for fd in draft.fds:
                os.close(fd)
    except BaseException as e:
        outcome = _end(home, disk, action)
        if isinstance(e, StoreChanged) or not isinstance(e, Exception):
            raise
        raise _explain(e, source.store, outcome) from e


def commit(
    home: Home,
    disk: Disk,
    draft: Draft,
    *,
    digest: str,
    is_as_written: Callable[[int], bool],
) -> None:
    """Sync, read back, and make the draft the store.

    Args:
        home: Where the ledger is.
        disk: The effects.
        draft: Its first file is complete.
        digest: Of the new store, for the ledger.
        is_as_written: Reads the whole file again and compares.

    Raises:
        StoreChanged: The store is no longer the one that was read.
        InternalError: What is read back is not what was written.
    """
    source, fd, temp = draft.source, draft.fds[0], draft.temps[0]
    _match_owner(disk, fd, source)
    with syncing(disk, fd):
        good = is_as_written(fd)
    if not good:
        raise InternalError(f"new store does not read back as it was written: {source.store}")
    for spare in draft.temps[1:]:
        disk.unlink(spare)
    disk.fsync_dir(temp.parent)
    details = draft.action.details.model_copy(update={"temps": (str(temp),), "digest": digest})
    draft.action = Ledger(home, disk).advance(draft.action, State.ARCHIVED, details)
    if source.locks:
        _rename(home, disk, draft, source.locks)
    else:
        with hold_all(_name_locks(source.store), disk) as locks:
            _rename(home, disk, draft, locks)


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
        # We are in none of its groups. The gateway would not keep the group either; whoever is
        # in ours must not read what he could not read before.
        own = os.fstat(fd).st_gid
        disk.set_owner(fd, source.mode & ~stat.S_IRWXG, source.uid, own)
        return
    acl = None if source.fd is None else platform_calls.here.read_acl(source.fd)
    if acl is not None:
        platform_calls.here.write_acl(fd, acl)


@contextmanager
def syncing(disk: Disk, fd: int) -> Iterator[None]:
    """Sync a file while the caller reads it back.

    The one waits for the medium, the other computes. No effect on a disk may happen
    inside. Both are done at the end, and an error of either is raised.
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
        thread.join()  # the descriptor may be closed only after it
    if failures:
        raise failures[0]


def is_verified(fd: int, written: VerifyNumbers, progress: Progress | None) -> bool:
    """Validate a whole new store, and compare it with what was written."""
    return native.verify(fd, report_to(progress, "verify", written.bytes)) == written


def finish(home: Home, disk: Disk, draft: Draft) -> tuple[int, tuple[str, ...]]:
    """Let transcripts follow, and end the action: transcripts moved, and warnings."""
    moves = recovery.move_transcripts(home, disk, draft.action)
    draft.action = Ledger(home, disk).advance(draft.action, State.DONE)
    warnings = []
    if moves.failed:
        warnings.append("some transcripts could not be renamed; they are where they were")
    if moves.alive:
        stay = (
            "lives again under its name, and stays as it is"
            if moves.alive == 1
            else "live again under their names, and stay as they are"
        )
        warnings.append(
            f"{format_counted(moves.alive, 'transcript')} {stay}; "
            "those from before stay where they are kept, see `tailflip archive show`"
        )
    return moves.moved, tuple(warnings)


def write_file(disk: Disk, path: Path, data: bytes) -> None:
    """Write a small file of ours so that it is there whole or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    fd = disk.open_new(partial, _PRIVATE)
    try:
        disk.write(fd, data)
        disk.fsync(fd)
    finally:
        os.close(fd)
    disk.rename(partial, path)


def copy_file(disk: Disk, source_fd: int, path: Path) -> None:
    """Copy a file byte for byte to a new one, and sync it."""
    fd = disk.open_new(path, _PRIVATE)
    try:
        copy_bytes(disk, source_fd, fd)
        disk.fsync(fd)
    finally:
        os.close(fd)
    disk.fsync_dir(path.parent)


def copy_bytes(disk: Disk, source_fd: int, fd: int) -> None:
    """Append all of one file to another."""
    offset = 0
    while chunk := os.pread(source_fd, _COPY_BYTES, offset):
        disk.write(fd, chunk)
        offset += len(chunk)


def report_to(
    progress: Progress | None, phase: str, total_bytes: int
) -> Callable[[int], None] | None:
    """Make of a progress callback one for a single call of the extension."""
    if progress is None:
        return None
    return lambda done_bytes: progress(phase, done_bytes, total_bytes)


def _rename(home: Home, disk: Disk, draft: Draft, locks: tuple[Lock, ...]) -> None:
    """Look once more, and commit; the caller holds the locks."""
    source = draft.source
    if _identify_path(source.store, source.real) != source.identity:
        raise StoreChanged(f"store changed while it was read: {source.store}")
    if not all(lock.still_ours() for lock in locks):
        raise TryLater(
            f"lost the lock of the store: {source.store}; nothing was changed",
            hint="stop the gateway and try again",
        )
    # A gateway may have put it on record since we looked: an import takes no lock of ours.
    require_leave(source.store, source.state_dir, new=draft.temps[0])
    disk.rename(draft.temps[0], source.real)
    disk.fsync_dir(source.real.parent)
    draft.action = Ledger(home, disk).advance(draft.action, State.COMMITTED)
    draft.lock_held_s = max(lock.held_s() for lock in locks)


def _identify_path(store: Path, real: Path) -> FileIdentity | None:
    """Identify what the store's path leads to now; a link that leads elsewhere is a change."""
    try:
        if resolve(store) != real:
            raise StoreChanged(f"store changed while it was read: {store}")
        return identify(os.lstat(real))
    except FileNotFoundError:
        return None


def _name_locks(store: Path) -> tuple[Path, ...]:
    """Name every path by which a gateway may lock this store.

    The gateway locks beside the name it was configured with, link or not.
    """
    return (resolve(store.parent) / store.name, resolve(store))


def _end(home: Home, disk: Disk, action: Action) -> State | None:
    """End an action that failed, as the next start would; None if that fails too."""
    with suppress(OSError, sqlite3.Error, TailflipError):
        known = Ledger(home, disk).find(action.id)
        if known is None:
            return State.UNDONE
        return recovery.settle(home, disk, known).state
    return None


def _explain(error: Exception, store: Path, outcome: State | None) -> TailflipError:
    """Say of a failure what the disk looks like now."""
    ends = {
        State.UNDONE: "the original is in place",
        State.DONE: "the new store is in place, and can be undone",
        None: "the next tailflip will finish or undo it",
    }
    if isinstance(error, OSError):
        known = explain_os_error(store, error)
    elif isinstance(error, TailflipError):
        known = error
    elif isinstance(error, sqlite3.Error):
        known = IoFailed(f"cannot write the ledger: {error}")
    else:
        known = InternalError(f"{type(error).__name__} while replacing {store}: {error}")
    if "nothing was changed" in known.message:
        return known
    return type(known)(f"{known.message}; {ends.get(outcome, ends[None])}", hint=known.hint)


def make_id(now_ms: int) -> str:
    """Make an action id that sorts by time and can be typed."""
    moment = datetime.fromtimestamp(now_ms // 1000, UTC)
    return f"{moment:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def measure_s(since_mono: float) -> float:
    """Return the seconds since a monotonic time."""
    return round(clock.monotonic_s() - since_mono, 3)
