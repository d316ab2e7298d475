"""Finds which process has a SQLite database open; opens nothing with SQLite, changes nothing.

A connection that has read a database in WAL mode locks byte 128 of `<database>-shm` and the shared
range of the database, at 0x40000002, until it is closed; while it reads or writes also one of the
bytes 120 to 127. In rollback mode it locks the database during a transaction only: one that idles
is not found. SQLite puts no other locks on these two files, so the kernel is asked for any.
Source: SQLite, "WAL-mode File Format", section 2.3, and `os.h`, `PENDING_BYTE`.

Closing any descriptor of a file drops every lock of this process on it, those of SQLite in this
process too. So look first, and open the database afterwards. While `opened` names a database,
nobody in this process is let near its locks.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tailflip.base import platform_calls
from tailflip.base.durable import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HIDDEN = 0  # a process of another container or machine, which has no pid here
NOT_KNOWN = -1  # the file may not be read, or its file system has no locks
_SHARED = "-shm"

_ours: set[Path] = set()


def find_holder(database: Path) -> int | None:
    """Find another process that has a database open.

    Returns:
        Its pid, `HIDDEN` or `NOT_KNOWN`; None if nobody has it open, or it is missing.
    """
    found = None
    for path in _files(database):
        try:
            owner = ask_lock_owner(path)
        except FileNotFoundError:
            continue  # without `-shm` nobody has it open in WAL mode
        except OSError:
            owner = NOT_KNOWN
        if owner is not None:
            found = owner if found is None else max(found, owner)
    return found


def ask_lock_owner(path: Path) -> int | None:
    """Ask the kernel which other process has a POSIX lock on a file.

    Returns:
        Its pid, `HIDDEN`, or None if no other process has one.

    Raises:
        OSError: the file is missing, a link, may not be read, or is of a database that this
            process has open; or its file system has no locks.
    """
    if resolve(path) in _ours:
        raise OSError(errno.EBUSY, "this process has the database open", str(path))
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        return platform_calls.here.find_lock_owner(fd)
    finally:
        os.close(fd)


@contextmanager
def opened(*databases: Path) -> Iterator[None]:
    """Keep every look away from these databases while this process has them open."""
    files = {path for database in databases for path in _files(database)} - _ours
    _ours.update(files)
    try:
        yield
    finally:
        _ours.difference_update(files)


def _files(database: Path) -> tuple[Path, Path]:
    """Name the files that SQLite locks; it follows links, and puts `-shm` beside the target."""
    real = resolve(database)
    return real, real.with_name(real.name + _SHARED)
