"""Finds every reason to refuse before any effect, and reports all of them at once."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.base import clock, platform_calls, rights
from tailflip.base.durable import explain_os_error, resolve
from tailflip.base.errors import (
    CannotCreate,
    IoFailed,
    NoPermission,
    OnRecord,
    StoreInvalid,
    TailflipError,
    TryLater,
)
from tailflip.base.regular import describe_type
from tailflip.base.units import format_counted
from tailflip.observe.gateway.lock_owner import read_owner
from tailflip.observe.gateway.process import read_user
from tailflip.stores.lock import is_stale
from tailflip.stores.ownership import require_leave

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tailflip.base.state_dir import Home
    from tailflip.flow.observed import Gateway

# Several refusals end with the exit code of the gravest: the one that trying again
# cures least.
_GRAVEST_FIRST = (NoPermission, OnRecord, StoreInvalid, CannotCreate, IoFailed, TryLater)

_SLACK_BYTES = 1 << 20
_HELD_LONG_MS = 10_000
_MAX_LINKS = 40  # as many as the kernel follows
_AS_THE_GATEWAY = "run as the user the gateway runs as"
# Removed entries are JSON text full of repetition: zstd left less than a quarter of it on
# every store we saw. This is an estimate; a full disk is found again while writing.
_ARCHIVE_SHARE = 4


def find_refusals(
    store_path: Path,
    state_dir: Path | None = None,
    *,
    undoing: bool = False,
    gateway: Gateway | None = None,
) -> tuple[TailflipError, ...]:
    """Look at a store without opening it, and list every reason not to replace it.

    Args:
        store_path: the store; a cron store or task ledger too.
        state_dir: that of the store's installation; the store's own folder is looked at anyway.
        undoing: the bytes before the change are put back, as in `require_leave`.
        gateway: the store's gateway, where it is known.
    """
    try:
        real = store_path.resolve(strict=True)
        info = real.stat()
    except RuntimeError:  # how Python before 3.13 reports a loop
        return (StoreInvalid(f"symbolic links of the store form a loop: {store_path}"),)
    except OSError as e:
        # Name the given path: the target of a dangling link does not say which store.
        return (explain_os_error(store_path, OSError(e.errno, e.strerror)),)
    found: list[TailflipError] = []
    if not stat.S_ISREG(info.st_mode):
        kind = describe_type(info.st_mode)
        found.append(StoreInvalid(f"store is not a regular file but {kind}: {store_path}"))
    elif info.st_nlink > 1:
        found.append(
            StoreInvalid(
                f"store has {info.st_nlink} names (hard links); "
                f"a new one would leave the old under the others: {store_path}"
            )
        )
    try:
        require_leave(store_path, state_dir, undoing=undoing)
    except OnRecord as e:
        found.append(e)
    if not os.access(real, os.R_OK):
        why, hint = rights.explain_denial(real)
        found.append(NoPermission(f"store cannot be read: {store_path}: {why}", hint=hint))
    found += _find_foreign_links(store_path, info.st_uid)
    found += _find_denials(store_path, real, info)
    if gateway is not None:
        found += _find_deaf_gateway(gateway, store_path)
    held = _find_lock(store_path)
    if held is not None:
        found.append(held)
    return tuple(found)


def _find_denials(store_path: Path, real: Path, info: os.stat_result) -> Iterator[TailflipError]:
    """Find what the system forbids, or allows with harm."""
    me, folder = os.geteuid(), real.parent.stat()
    for directory in sorted({real.parent, resolve(store_path.parent)}):
        is_marked = platform_calls.here.is_immutable(directory)  # append-only: nothing is renamed
        if is_marked or not os.access(directory, os.W_OK | os.X_OK):
            why, hint = rights.explain_denial(directory)
            yield NoPermission(
                f"directory of the store cannot be written to: {store_path}: {why}", hint=hint
            )
    if platform_calls.here.is_immutable(real):
        why, hint = rights.explain_denial(real)
        yield NoPermission(f"store cannot be replaced: {store_path}: {why}", hint=hint)
    is_sticky = folder.st_mode & stat.S_ISVTX and me not in (info.st_uid, folder.st_uid)
    if is_sticky and not rights.has_right(rights.CAP_FOWNER):
        yield NoPermission(
            f"store belongs to user id {info.st_uid}, in a sticky directory that lets nobody else "
            f"replace it, we are {me}: {store_path}",
            hint=_AS_THE_GATEWAY,
        )
    # In our own folder the gateway runs as us, and can write our files itself.
    if rights.choose_owner(info.st_uid) != info.st_uid and folder.st_uid != me:
        yield NoPermission(
            f"store belongs to user id {info.st_uid}, its directory to user id {folder.st_uid}, "
            f"we are {me} and may not give files away: its gateway might not be able to read "
            f"what we write: {store_path}",
            hint=_AS_THE_GATEWAY,
        )


def _find_foreign_links(store_path: Path, owner: int) -> Iterator[TailflipError]:
    """Find links of another user that lead to a file which is not his own."""
    for link, user in _follow(store_path):
        if user not in (os.geteuid(), 0, owner):
            yield NoPermission(
                f"a link of user id {user} leads to a store of user id {owner}, "
                f"we are {os.geteuid()}: {store_path}: {link}",
                hint="give the path of the store itself, or remove the link",
            )


def _follow(path: Path) -> Iterator[tuple[Path, int]]:
    """Yield every symbolic link of a path, and its owner."""
    rest = list(reversed(path.absolute().parts))
    at = Path(rest.pop())
    for _ in range(_MAX_LINKS):
        while rest and not (at / rest[-1]).is_symlink():
            at = at.parent if rest[-1] == ".." else at / rest[-1]
            rest.pop()
        if not rest:
            return
        link = at / rest.pop()
        yield link, link.lstat().st_uid
        target = link.readlink()
        if target.is_absolute():
            at = Path(target.anchor)
        rest += reversed([part for part in target.parts if part != target.anchor])


def _find_deaf_gateway(gateway: Gateway, store_path: Path) -> Iterator[TailflipError]:
    """Find a living gateway that would not honour our lock.

    It takes a lock for a dead process's if it may not signal the owner. Source: OpenClaw
    `isPidAlive`: any error of kill(pid, 0) means dead.
    """
    if not gateway.alive or gateway.pid is None:
        return
    user = read_user(gateway.pid)
    if user not in (None, 0, os.geteuid()):
        yield NoPermission(
            f"the gateway (pid {gateway.pid}) runs as user id {user}, we are {os.geteuid()}: it "
            f"would not honour a lock of ours: {store_path}",
            hint="run as that user, or stop the gateway first",
        )


def find_missing_room(
    real_path: Path, home: Home, *, new_bytes: int, removed_bytes: int
) -> tuple[TailflipError, ...]:
    """Find out whether new store and archive fit; on one file system they must fit together."""
    needs = {real_path.parent: new_bytes, home.root: removed_bytes // _ARCHIVE_SHARE}
    by_device: dict[int, tuple[Path, int]] = {}
    for directory, needed in needs.items():
        device = directory.stat().st_dev
        at, sum_bytes = by_device.get(device, (directory, _SLACK_BYTES))
        by_device[device] = (at, sum_bytes + needed)
    found: list[TailflipError] = []
    for directory, needed in by_device.values():
        room = os.statvfs(directory)
        free = room.f_bavail * room.f_frsize
        if free < needed:
            found.append(
                CannotCreate(
                    f"not enough room: {format_counted(needed, 'byte')} needed, {free:,} free in "
                    f"{directory}",
                    hint="free some room, or set TAILFLIP_STATE_DIR to another file system",
                )
            )
    return tuple(found)


def refuse(refusals: Sequence[TailflipError]) -> None:
    """Raise all refusals as one error with the exit code of the gravest; without any, return."""
    if not refusals:
        return
    order = {leaf: rank for rank, leaf in enumerate(_GRAVEST_FIRST)}
    gravest = min(refusals, key=lambda e: order.get(type(e), 0))
    reasons = "; ".join(e.message for e in refusals)
    hints = dict.fromkeys(e.hint for e in refusals if e.hint)
    raise type(gravest)(f"{reasons}; nothing was changed", hint="; ".join(hints) or None)


def _find_lock(store_path: Path) -> TailflipError | None:
    """Refuse for a lock that is held for long; a brief one is waited for when we take it."""
    path = resolve(store_path.parent) / f"{store_path.name}.lock"
    try:
        owner = read_owner(path)
    except OSError as e:
        return explain_os_error(path, e)
    now_ms = clock.now_ms()
    if owner is None or is_stale(owner, now_ms) or now_ms - owner.changed_ms < _HELD_LONG_MS:
        return None
    return TryLater(
        f"store is locked by {owner.describe(now_ms)}: {path}",
        hint="try again in a moment, or stop the gateway first",
    )
