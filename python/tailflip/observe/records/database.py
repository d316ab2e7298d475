"""Reads a gateway's SQLite database without making files beside it.

Opening a database in WAL mode makes `-wal` and `-shm` beside it, and reading it through them
holds locks that a writer may meet. So a database without a WAL or a journal is opened as
`immutable`, and one with either is read from a private copy. If the copy would be too large, or
finds no room, and `-shm` exists already, the database is read in place, with a reader's short
locks. An answer counts if the file was the same before and after.

Source: SQLite, "URI filenames" (`immutable`) and "Write-ahead logging", section 10.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import stat
import tempfile
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_T = TypeVar("_T")

_BESIDE = ("-wal", "-journal")
_ATTEMPTS = 5
_BUSY_S = 1.0
# A larger copy costs more than a reader's locks beside a gateway that has the database open.
_MOST_COPIED_BYTES = 32 << 20


def read_database(path: Path, read: Callable[[sqlite3.Connection], _T]) -> _T:
    """Read a database that a gateway may be writing.

    Args:
        path: must exist.
        read: is called again if the file changed meanwhile.

    Raises:
        sqlite3.Error: the file is no database, is damaged, or changes all the time.
        OSError: the file is missing, not a regular file, or may not be read.
    """
    real = Path(os.path.realpath(path))
    for _ in range(_ATTEMPTS):
        before = _mark(real)
        try:
            with _open(real) as db:
                found = read(db)
        except (sqlite3.Error, OSError):
            if _mark(real) == before:
                raise
            continue
        if _mark(real) == before:
            return found
    raise sqlite3.OperationalError("it changes while it is read")


def _mark(path: Path) -> tuple[int, ...]:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


@contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    beside = [path.with_name(path.name + suffix) for suffix in _BESIDE]
    beside = [each for each in beside if has_bytes(each)]
    with ExitStack() as stack:
        if not beside:
            db = stack.enter_context(closing(_connect(path, "mode=ro&immutable=1")))
        else:
            copy = _copy((path, *beside), stack)
            # A reader makes no file where `-shm` exists, and locks for a short time.
            at, how = (path, "mode=ro") if copy is None else (copy, "mode=rw")
            db = stack.enter_context(closing(_connect(at, how)))
        yield db


def _copy(files: tuple[Path, ...], stack: ExitStack) -> Path | None:
    """Copy a database and its WAL or journal; None if it is too large, or there is no room.

    Raises:
        OSError: there is no room, and reading in place would make files.
    """
    original = files[0]
    can_share = _exists(original.with_name(f"{original.name}-shm"))
    if can_share and original.stat().st_size > _MOST_COPIED_BYTES:
        return None
    try:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tailflip-")))
        for source in files:
            shutil.copyfile(source, folder / source.name)
    except OSError:
        if can_share:
            return None
        raise
    return folder / original.name


def _connect(path: Path, how: str) -> sqlite3.Connection:
    db = sqlite3.connect(f"{path.as_uri()}?{how}", uri=True, timeout=_BUSY_S)
    # A gateway writes text that is not UTF-8, such as halves of surrogate pairs.
    db.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
    return db


def has_bytes(path: Path) -> bool:
    """Say whether a file exists and is not empty, as a database's log in use.

    Raises:
        OSError: the file's stat cannot be read.
    """
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False


def _exists(path: Path) -> bool:
    return os.path.lexists(path)
