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
from contextlib import ExitStack, closing
from enum import Enum, auto
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Self

_T = TypeVar("_T")

_BESIDE = ("-wal", "-journal")
_ATTEMPTS = 5
_BUSY_S = 1.0
# A larger copy costs more than a reader's locks beside a gateway that has the database open.
_MOST_COPIED_BYTES = 32 << 20
_PAGE_ROWS = 1_000  # each page is one short read, so that no log grows behind a long one


class _How(Enum):
    """How a database is open: as a file that stands still, as a private copy, or as it lies."""

    IMMUTABLE = auto()
    COPY = auto()
    IN_PLACE = auto()


class Database:
    """One database that a gateway may be writing, open until its `with` ends.

    Reads in turn see the database of their own moment, or all of them that of the first.
    """

    def __init__(self, path: Path) -> None:
        """Take a path; the file is opened by the first read."""
        self._path = Path(os.path.realpath(path))
        self._stack = ExitStack()
        self._db: sqlite3.Connection | None = None
        self._mark: tuple[int, ...] = ()
        self._how = _How.IN_PLACE

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the database, and remove a copy."""
        self._close()

    def read(self, read: Callable[[sqlite3.Connection], _T]) -> _T:
        """Read once; `read` is called again if the file changed meanwhile.

        Raises:
            sqlite3.Error: the file is no database, is damaged, or changes all the time.
            OSError: the file is missing, not a regular file, or may not be read.
        """
        for _ in range(_ATTEMPTS):
            try:
                db = self._open()
                found = read(db)
            except (sqlite3.Error, OSError):
                if self._is_same():
                    raise
            else:
                if self._is_same():
                    return found
            self._close()
        raise sqlite3.OperationalError("it changes while it is read")

    def pages(
        self,
        statement: str,
        values: tuple[Any, ...],
        after: tuple[Any, ...],
    ) -> Iterator[tuple[Any, ...]]:
        """Stream rows, page by page; a file that changed is opened again where the page ended.

        Args:
            statement: takes `values`, the columns of `after`, and the number of rows to give. Its
                rows begin with the columns by which they are sorted and compared with `after`.
            values: the first parameters.
            after: before the first row.

        Raises:
            sqlite3.Error: as `read`.
            OSError: as `read`.
        """
        while True:
            rows = self.read(partial(_fetch, statement, (*values, *after, _PAGE_ROWS)))
            yield from rows
            if len(rows) < _PAGE_ROWS:
                return
            after = rows[-1][: len(after)]

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            self._mark = _mark(self._path)
            self._db, self._how = _open(self._path, self._stack)
            if self._how is _How.COPY and _mark(self._path) != self._mark:
                self._close()
                raise sqlite3.OperationalError("it changed while it was copied")
        return self._db

    @property
    def is_copy(self) -> bool:
        """Say whether what was read is a private copy: one moment, however long it is read."""
        return self._db is not None and self._how is _How.COPY

    def _is_same(self) -> bool:
        """Say whether what was read is of one moment: SQLite sees to it where it has a log."""
        has_log = self._db is not None and self._how is not _How.IMMUTABLE
        return has_log or _mark(self._path) == self._mark

    def _close(self) -> None:
        self._stack.close()
        self._db = None


def read_database(path: Path, read: Callable[[sqlite3.Connection], _T]) -> _T:
    """Read a database that a gateway may be writing, once.

    Args:
        path: must exist.
        read: is called again if the file changed meanwhile.

    Raises:
        sqlite3.Error: the file is no database, is damaged, or changes all the time.
        OSError: the file is missing, not a regular file, or may not be read.
    """
    with Database(path) as database:
        return database.read(read)


def _fetch(
    statement: str, values: tuple[Any, ...], db: sqlite3.Connection
) -> list[tuple[Any, ...]]:
    return db.execute(statement, values).fetchall()


def _mark(path: Path) -> tuple[int, ...]:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _open(path: Path, stack: ExitStack) -> tuple[sqlite3.Connection, _How]:
    """Open a database, or a private copy of it."""
    beside = [path.with_name(path.name + suffix) for suffix in _BESIDE]
    beside = [each for each in beside if has_bytes(each)]
    if not beside:
        return stack.enter_context(closing(_connect(path, "mode=ro&immutable=1"))), _How.IMMUTABLE
    copy = _copy((path, *beside), stack)
    if copy is not None:
        return stack.enter_context(closing(_connect(copy, "mode=rw"))), _How.COPY
    # A reader makes no file where `-shm` exists, and locks for a short time.
    return stack.enter_context(closing(_connect(path, "mode=ro"))), _How.IN_PLACE


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


def is_empty(path: Path) -> bool:
    """Say whether a database is a new file, without anything in its log either.

    Raises:
        OSError: the file is missing, or its stat cannot be read.
    """
    status = path.stat()
    is_new = stat.S_ISREG(status.st_mode) and not status.st_size
    return is_new and not any(has_bytes(path.with_name(path.name + each)) for each in _BESIDE)


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
