"""One look at each store and at what lies beside it, for `check`; reads only."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.base.errors import StoreInvalid, TailflipError
from tailflip.flow.observed import Leftover, ObservedStore
from tailflip.observe.gateway.lock_owner import is_gone, read_owner
from tailflip.stores.json.neighbours import is_backup, is_temporary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tailflip.flow.numbers import SurveyNumbers
    from tailflip.flow.observed import Store

_STALE_MS = 30_000  # after which the gateway takes the store's lock away from anybody
_OLD_MS = 5 * 60_000  # no write of a store takes that long
_MAX_LISTED = 100


def observe_all(
    stores: Iterable[Store],
    measure: Callable[[Store], SurveyNumbers | None],
    now_ms: int,
) -> tuple[ObservedStore, ...]:
    """Look at stores, present or missing.

    Args:
        stores: usually an installation's `stores` and `missing`.
        measure: surveys one store, or leaves that out; what it raises becomes that store's
            `error`.
        now_ms: wall clock.
    """
    return tuple(_observe(store, measure, now_ms) for store in stores)


def _observe(
    store: Store, measure: Callable[[Store], SurveyNumbers | None], now_ms: int
) -> ObservedStore:
    litter, backups = _look_beside(store.path, now_ms)

    def found(
        size_bytes: int | None,
        error: str | None,
        numbers: SurveyNumbers | None = None,
        *,
        damaged: bool = False,
    ) -> ObservedStore:
        return ObservedStore(store, size_bytes, numbers, error, damaged, litter, backups)

    try:
        status = store.path.stat()
    except FileNotFoundError:
        return found(None, "missing")
    except OSError as error:
        return found(None, error.strerror)
    if not stat.S_ISREG(status.st_mode):
        return found(None, "not a regular file")
    try:
        return found(status.st_size, None, measure(store))
    except StoreInvalid as error:
        return found(status.st_size, error.message, damaged=True)
    except TailflipError as error:
        return found(status.st_size, error.message)


def _look_beside(path: Path, now_ms: int) -> tuple[tuple[Leftover, ...], tuple[Leftover, ...]]:
    """List the litter and the gateway's backups of one store."""
    real = Path(os.path.realpath(path))
    litter: list[Leftover] = []
    backups: list[Leftover] = []
    try:
        with os.scandir(real.parent) as entries:
            for entry in entries:
                if is_backup(entry.name, real.name):
                    backups += _leftover(entry)
                elif is_temporary(entry.name, real.name):
                    litter += [old for old in _leftover(entry) if _age(old, now_ms) > _OLD_MS]
                elif entry.name == f"{real.name}.lock":
                    litter += [old for old in _leftover(entry) if _is_dead_lock(old, now_ms)]
    except OSError:
        pass  # the folder is missing or closed to us: the store's own error says so
    backups.sort(key=lambda backup: backup.modified_ms, reverse=True)
    litter.sort(key=lambda old: old.path)
    return tuple(litter[:_MAX_LISTED]), tuple(backups[:_MAX_LISTED])


def _leftover(entry: os.DirEntry[str]) -> list[Leftover]:
    """Measure one file, or nothing: it may vanish while we look."""
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:
        return []
    if not stat.S_ISREG(status.st_mode):
        return []
    return [Leftover(Path(entry.path), status.st_size, status.st_mtime_ns // 1_000_000)]


def _age(old: Leftover, now_ms: int) -> int:
    return now_ms - old.modified_ms


def _is_dead_lock(old: Leftover, now_ms: int) -> bool:
    """Say whether nobody holds a store's lock any more."""
    try:
        owner = read_owner(old.path)
    except OSError:
        return False
    return owner is not None and is_gone(owner, now_ms, _STALE_MS)
