"""Tells whether a database is still the one that was read: its file, its log, its own counter."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from tailflip.base.errors import StoreInvalid
from tailflip.base.regular import NotRegular, open_to_read

if TYPE_CHECKING:
    from pathlib import Path

_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100
_WAL_HEADER_BYTES = 32


class Mark(NamedTuple):
    """What changes when anybody writes to a database.

    `head` holds the change counter, `log` the salts of the write-ahead log.
    """

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int
    head: bytes
    log_bytes: int
    log_mtime_ns: int
    log: bytes


def read_mark(path: Path) -> Mark | None:
    """Look at a database and its log, without opening them as such; None where no file is.

    Raises:
        StoreInvalid: it is not a regular file.
        OSError: it may not be read.
    """
    try:
        fd = open_to_read(path)
    except FileNotFoundError:
        return None
    except NotRegular as e:
        raise StoreInvalid(f"not a regular file: {path}: {e.kind}") from e
    try:
        info = os.fstat(fd)
        head = os.pread(fd, _HEADER_BYTES, 0)
    finally:
        os.close(fd)
    log_bytes, log_mtime_ns, log = _read_log(path.with_name(f"{path.name}-wal"))
    return Mark(
        info.st_dev,
        info.st_ino,
        info.st_size,
        info.st_mtime_ns,
        head,
        log_bytes,
        log_mtime_ns,
        log,
    )


def is_database(path: Path) -> bool:
    """Say whether a file begins as a database of SQLite does."""
    try:
        fd = open_to_read(path)
    except (OSError, NotRegular):
        return False
    try:
        return os.pread(fd, len(_MAGIC), 0) == _MAGIC
    finally:
        os.close(fd)


def _read_log(path: Path) -> tuple[int, int, bytes]:
    try:
        with path.open("rb") as file:
            info = os.fstat(file.fileno())
            return info.st_size, info.st_mtime_ns, file.read(_WAL_HEADER_BYTES)
    except FileNotFoundError:
        return 0, 0, b""
