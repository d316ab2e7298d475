"""Every reason to refuse, found before any effect and told all at once."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from tailflip import clock
from tailflip.compact.lock import is_stale, read_owner
from tailflip.compact.ownership import require_leave
from tailflip.durable import describe_type, explain_os_error, resolve
from tailflip.errors import (
    CannotCreate,
    IoFailed,
    NoPermission,
    OnRecord,
    StoreInvalid,
    TailflipError,
    TryLater,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from tailflip.home import Home
    from tailflip.native import Surveyed

# What the exit code of several refusals is: the gravest, that is the one which trying
# again cures least.
_GRAVEST_FIRST = (NoPermission, OnRecord, StoreInvalid, CannotCreate, IoFailed, TryLater)

_SLACK_BYTES = 1 << 20
_HELD_LONG_MS = 10_000
# Removed entries are JSON text full of repetition: less than a quarter of it is left by
# zstd on every store we saw. An estimate only; a full disk is found again while writing.
_ARCHIVE_SHARE = 4


def find_refusals(
    store_path: Path, state_dir: Path | None = None, *, undoing: bool = False
) -> tuple[TailflipError, ...]:
    """Look at a store without opening it, and give every reason not to replace it.

    Args:
        store_path: the store; a cron store or task ledger too.
        state_dir: of the installation it belongs to; what it lies in is looked at anyway.
        undoing: only what was there before is put back, as in `require_leave`.
    """
    try:
        real = store_path.resolve(strict=True)
        info = real.stat()
    except RuntimeError:  # how Python before 3.13 reports a loop
        return (StoreInvalid(f"symbolic links of the store form a loop: {store_path}"),)
    except OSError as e:
        # Named by the path that was given: a dangling link's target tells nobody which store.
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
    if info.st_uid != os.geteuid():
        # Root too: the gateway takes a lock whose owner it may not signal for a dead one's.
        found.append(
            NoPermission(
                f"store belongs to user id {info.st_uid}, we are {os.geteuid()}: {store_path}",
                hint="run as the user the gateway runs as",
            )
        )
    elif not os.access(real, os.R_OK):
        found.append(NoPermission(f"store cannot be read: {store_path}"))
    try:
        require_leave(store_path, state_dir, undoing=undoing)
    except OnRecord as e:
        found.append(e)
    found += _find_foreign_directories({real.parent, resolve(store_path.parent)})
    held = _find_lock(store_path)
    if held is not None:
        found.append(held)
    return tuple(found)


def _find_foreign_directories(directories: Iterable[Path]) -> Iterator[TailflipError]:
    for directory in sorted(directories):
        owner = directory.stat().st_uid
        if owner not in (os.geteuid(), 0):
            # Whoever owns it can put a link there, and make us rewrite a file of our own.
            yield NoPermission(
                f"directory belongs to user id {owner}, we are {os.geteuid()}: {directory}",
                hint="run as the user the gateway runs as",
            )
        elif not os.access(directory, os.W_OK | os.X_OK):
            yield NoPermission(f"directory cannot be written to: {directory}")


def find_missing_room(
    real_path: Path, home: Home, *, new_bytes: int, removed_bytes: int
) -> tuple[TailflipError, ...]:
    """Say whether new store and archive fit; on one file system they must fit together."""
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
                    f"not enough room: {needed} bytes needed, {free} free in {directory}",
                    hint="free some room, or set TAILFLIP_STATE_DIR to another file system",
                )
            )
    return tuple(found)


def refuse(refusals: Sequence[TailflipError]) -> None:
    """Raise all refusals as one error with the exit code of the gravest; none, do nothing."""
    if not refusals:
        return
    order = {leaf: rank for rank, leaf in enumerate(_GRAVEST_FIRST)}
    gravest = min(refusals, key=lambda e: order.get(type(e), 0))
    reasons = "; ".join(e.message for e in refusals)
    hints = dict.fromkeys(e.hint for e in refusals if e.hint)
    raise type(gravest)(f"{reasons}; nothing was changed", hint="; ".join(hints) or None)


def _find_lock(store_path: Path) -> TailflipError | None:
    """Refuse only a lock held for long: brief ones are waited for when we take it."""
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


def refuse_duplicates(surveyed: Surveyed, path: Path) -> None:
    """Refuse a store with two entries under one key: only the gateway knows which it means.

    Raises:
        StoreInvalid: There are two.
    """
    duplicate = surveyed.numbers.duplicate
    if duplicate is not None:
        raise StoreInvalid(
            f"two entries have the same key, the second at byte {duplicate.offset}: {path}; "
            "nothing was changed",
            hint="the gateway uses the last one; remove the other by hand, or let the gateway "
            "write the store once",
        )
