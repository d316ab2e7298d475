"""The fence around the databases of a stopped gateway: nobody has them open, and nobody starts.

A gateway, its doctor and its embedded agents (2026.8.1 to 2026.9.6) take the state directory's lock
before they open a database: first an exclusive transaction on `gateway.state.lock.sqlite`, which is
a lock of the kernel on 512 bytes of an empty file, and under it the JSON in `gateway.state.lock`.
We do the same, in the role of the gateway's own offline maintenance. A gateway that starts then
ends with exit code 1 after some seconds, and its service manager starts it again. The locks
`gateway-lifecycle` and `state-lifecycle` are not touched: a gateway that finds one of them taken
ends with 78, and is not started again.

The kernel's lock falls with its process. The JSON of a killed tailflip names a dead process: the
gateway, and we, take such a lock over.
Source: OpenClaw `src/infra/gateway-lock.ts`, `src/commands/doctor-sqlite-maintenance-lock.ts`.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from tailflip.base import clock, platform_calls, rights
from tailflip.base.durable import naming, resolve
from tailflip.base.errors import TryLater, Unavailable
from tailflip.base.units import format_moment
from tailflip.flow.late import dataclass
from tailflip.observe.gateway.lock_owner import read_owner
from tailflip.observe.gateway.process import start_ticks
from tailflip.observe.holders import HIDDEN, NOT_KNOWN, find_holder, opened
from tailflip.stores.lock import Lock, format_created, is_stale, let_go

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tailflip.base.durable import Disk
    from tailflip.observe.gateway.lock_owner import LockOwner

_ROLE = "sqlite-maintenance"
_OURS = "tailflip-"  # how the id of each owner begins that is a tailflip
_EXCLUSIVE = (0x4000_0000, 512)  # what an exclusive transaction of SQLite locks
_FILE, _FOLDER = 0o600, 0o700
_UNCHANGED = "nothing was changed"
# What who makes a folder meets where another makes the same one.
_MET = (errno.EEXIST, errno.ENOENT, errno.ENOTEMPTY)
_ATTEMPTS, _PAUSE_S = 10, 0.02


@contextmanager
def fencing(store: Path, state_dir: Path | None, disk: Disk) -> Iterator[Callable[[], float]]:
    """Prove that nobody has a gateway's databases open, and keep all from opening them.

    Enter it before this process opens one of them, and close them before it ends: each look at a
    database drops this process's own locks on it.

    Args:
        store: the agent's database.
        state_dir: the gateway's; None for a database outside of any, which has no lock to take.
        disk: for the lock's effects.

    Yields:
        What tells the seconds since the fence was closed.

    Raises:
        TryLater: a process has a database open, or holds the lock; the message names it.
        Unavailable: it cannot be told whether one has.
    """
    if state_dir is None:
        _refuse_holders(store)
        since = clock.monotonic_s()
        with opened(store):
            yield lambda: clock.monotonic_s() - since
        return
    databases = (store, _state_database(state_dir))
    place = _locate(store, state_dir)
    with naming(place.lock):
        _refuse_living(place)  # ourselves as well: a look would drop the locks that we hold
    _refuse_holders(*databases)
    with _hold(place, disk) as lock:
        _refuse_holders(*databases)  # one may have been on its way
        with opened(*databases):
            yield lock.held_s


def remove_our_fence(store: Path, state_dir: Path, disk: Disk) -> None:
    """Delete what a killed tailflip left of its fence; a lock of anybody else stays.

    Raises:
        OSError: it cannot be read, or not be deleted.
    """
    place = _locate(store, state_dir)
    owner = read_owner(place.lock)
    if owner is not None and not is_stale(owner, clock.now_ms()):
        return
    for folder in filter(os.path.lexists, map(_draft, place.folders)):
        disk.rmdir(folder)
    left = [place.draft] if os.path.lexists(place.draft) else []
    if owner is not None and str(owner.payload.get("ownerId")).startswith(_OURS):
        left.append(place.lock)
    if not left:
        return
    fd = _open_coordinator(place, disk)
    try:
        if _try_exclusive(fd):  # else somebody takes the lock, or has it
            for path in left:
                with suppress(FileNotFoundError):
                    disk.unlink(path)
    finally:
        os.close(fd)


@dataclass(frozen=True)
class _Place:
    """The lock of a state directory. `owner` is the gateway's user and group."""

    state_dir: Path
    folder: Path
    owner: tuple[int, int]

    @property
    def lock(self) -> Path:
        return self.folder / "gateway.state.lock"

    @property
    def coordinator(self) -> Path:
        return self.folder / "gateway.state.lock.sqlite"

    @property
    def draft(self) -> Path:
        return _draft(self.lock)

    @property
    def folders(self) -> tuple[Path, Path]:
        return self.folder.parent, self.folder


def _locate(store: Path, state_dir: Path) -> _Place:
    """Find the lock; its folder is named for the gateway's user, who is the databases' owner.

    The state directory's own owner may be another: a volume that a container mounts is root's.
    """
    real = resolve(state_dir)
    state = _state_database(state_dir)
    with naming(store):
        info = (state if state.exists() else store).stat()
    return _Place(real, real / "tmp" / f"openclaw-{info.st_uid}", (info.st_uid, info.st_gid))


def _draft(path: Path) -> Path:
    return path.with_name(f"{path.name}.tailflip")


def _state_database(state_dir: Path) -> Path:
    return state_dir / "state" / "openclaw.sqlite"


def _refuse_holders(*databases: Path) -> None:
    for path in databases:
        pid = find_holder(path)
        if pid is None:
            continue
        if pid == NOT_KNOWN:
            raise Unavailable(
                f"it cannot be told whether a process has {path} open; {_UNCHANGED}",
                hint="run as the user the gateway runs as, on a disk that has file locks",
            )
        raise TryLater(
            f"{_name(pid)} has {path} open; {_UNCHANGED}",
            hint="stop the gateway, and whatever else reads its databases, and try again",
        )


def _name(pid: int) -> str:
    return f"process {pid}" if pid else "a process that cannot be seen from here"


@contextmanager
def _hold(place: _Place, disk: Disk) -> Iterator[Lock]:
    """Hold the state directory's lock, the kernel's part around the JSON."""
    with naming(place.lock):
        for folder in place.folders:
            _make_folder(folder, place, disk)
        fd = _open_coordinator(place, disk)
    lock = None
    try:
        with naming(place.lock):
            if not _try_exclusive(fd):
                _refuse_living(place)
                raise _refusal(place, _name(platform_calls.here.find_lock_owner(fd) or HIDDEN))
            _refuse_living(place)
            lock = _write_draft(place, disk)
            disk.rename(place.draft, place.lock)  # over a stale one, if there is one
            disk.fsync_dir(place.folder)
        yield lock
    finally:
        if lock is not None and lock.is_in_place():
            let_go(lock.path, disk)
        os.close(fd)


def _refuse_living(place: _Place) -> None:
    owner = read_owner(place.lock)
    if owner is not None and not is_stale(owner, clock.now_ms()):
        raise _refusal(place, _describe(owner))


def _refusal(place: _Place, who: str) -> TryLater:
    return TryLater(
        f"{place.state_dir} is locked by {who}: {place.lock}; {_UNCHANGED}",
        hint="stop the gateway, or wait until the other command has ended, and try again",
    )


def _describe(owner: LockOwner) -> str:
    """Name an owner by its role, pid and age."""
    role = str(owner.payload.get("role", "gateway"))
    if str(owner.payload.get("ownerId")).startswith(_OURS):
        role = "another tailflip"
    since_ms = owner.changed_ms if owner.created_ms is None else owner.created_ms
    who = "unknown" if owner.pid is None else f"{role}, pid {owner.pid}"
    return f"{who}, since {format_moment(since_ms, clock.now_ms())}"


def _make_folder(folder: Path, place: _Place, disk: Disk) -> None:
    """Make a missing folder of the gateway's; it gets its name when it is the gateway's own.

    Another tailflip may make it at the same moment: then it has what it needs, and so have we.
    """
    draft = _draft(folder)
    for left in reversed(range(_ATTEMPTS)):
        if folder.is_dir():
            return
        try:
            if os.path.lexists(draft):  # of one that was killed
                disk.rmdir(draft)
            disk.mkdir(draft, _FOLDER)
            fd = os.open(draft, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                _give(fd, _FOLDER, place, disk)
            finally:
                os.close(fd)
            disk.rename(draft, folder)
        except OSError as e:
            if e.errno not in _MET or not left:
                raise
            if folder.is_dir():
                with suppress(OSError):
                    disk.rmdir(draft)
            clock.sleep_s(_PAUSE_S)


def _open_coordinator(place: _Place, disk: Disk) -> int:
    """Open the file that the kernel locks; it stays, as the gateway leaves it.

    One that a killed tailflip made and did not give away is given away now.
    """
    try:
        fd = disk.open_new(place.coordinator, _FILE)
    except FileExistsError:
        fd = disk.open_lock(place.coordinator)
    try:
        _give(fd, _FILE, place, disk)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _give(fd: int, mode: int, place: _Place, disk: Disk) -> None:
    """Give what root made to the gateway's user, who must be able to use it after us."""
    user, group = place.owner
    if os.fstat(fd).st_uid != user and rights.has_right(rights.CAP_CHOWN):
        disk.set_owner(fd, mode, user, group)


def _try_exclusive(fd: int) -> bool:
    """Lock what an exclusive transaction of SQLite locks; False if another process has it."""
    start, length = _EXCLUSIVE
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _write_draft(place: _Place, disk: Disk) -> Lock:
    """Write the JSON under another name: a kill leaves no lock that names nobody."""
    if os.path.lexists(place.draft):  # of one that was killed
        disk.unlink(place.draft)
    fd = disk.open_new(place.draft, _FILE)
    try:
        _give(fd, _FILE, place, disk)
        info, payload = os.fstat(fd), _format_payload(place)
        disk.write(fd, payload)
        disk.fsync(fd)
    except BaseException:
        with suppress(OSError):  # the next one does it
            disk.unlink(place.draft)
        raise
    finally:
        os.close(fd)
    return Lock(place.lock, info.st_dev, info.st_ino, payload, clock.monotonic_s())


def _format_payload(place: _Place) -> bytes:
    import uuid  # noqa: PLC0415 - most starts take no lock

    payload: dict[str, Any] = {
        "pid": os.getpid(),
        "ownerId": f"{_OURS}{uuid.uuid4()}",
        "createdAt": format_created(clock.now_ms()),
        "configPath": str(place.state_dir / "openclaw.json"),
        "stateDir": str(place.state_dir),
        "role": _ROLE,
    }
    ticks = start_ticks(os.getpid())
    if ticks is not None:
        payload["startTime"] = ticks
    return json.dumps(payload, indent=2).encode()
