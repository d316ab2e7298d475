"""Lists the files beside a JSON store: temporary files of killed writers, dead locks, backups."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from tailflip.flow.observed import Leftover
from tailflip.observe.gateway.lock_owner import is_gone, read_owner
from tailflip.stores.json.neighbours import is_backup, is_temporary

_STALE_MS = 30_000  # at this age the gateway takes the store's lock from any owner
_OLD_MS = 5 * 60_000  # no write of a store takes that long
_MAX_LISTED = 100


def look_beside(path: Path, now_ms: int) -> tuple[tuple[Leftover, ...], tuple[Leftover, ...]]:
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
        pass  # the folder is missing or not readable: the store's own error says so
    backups.sort(key=lambda backup: backup.modified_ms, reverse=True)
    litter.sort(key=lambda old: old.path)
    return tuple(litter[:_MAX_LISTED]), tuple(backups[:_MAX_LISTED])


def _leftover(entry: os.DirEntry[str]) -> list[Leftover]:
    """Measure one file; None if it vanished meanwhile."""
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
    """Say whether the owner of a store's lock is gone."""
    try:
        owner = read_owner(old.path)
    except OSError:
        return False
    return owner is not None and is_gone(owner, now_ms, _STALE_MS)
