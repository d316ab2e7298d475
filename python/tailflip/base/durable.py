"""The durable effects on a disk, behind one protocol: tests count them and die at each.

The extension writes the bytes of large files into descriptors that `Disk.open_new` made.
`tests/unit/test_effects.py` lists each other writer (a FIFO, a scratch folder, the note in a lock)
with its reason.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tailflip.base import platform_calls, rights
from tailflip.base.errors import (
    ArchiveDamaged,
    CannotCreate,
    IoFailed,
    NoPermission,
    StoreInvalid,
    TailflipError,
    TryLater,
)
from tailflip.base.regular import NotRegular, open_to_read
from tailflip.flow.observed import FileIdentity

if TYPE_CHECKING:
    from collections.abc import Iterator


class Disk(Protocol):
    """The effects. A method that returns has had its effect; one that fails raises OSError."""

    def open_new(self, path: Path, mode: int) -> int:
        """Create a file that must not exist, and return a read-write descriptor."""

    def open_lock(self, path: Path) -> int:
        """Open a file of ours to lock it, made if it is missing; refuses a link."""

    def write(self, fd: int, data: bytes) -> None:
        """Write all of `data`."""

    def fsync(self, fd: int) -> None:
        """Sync a file: return when its bytes are on the medium."""

    def set_owner(self, fd: int, mode: int, uid: int, gid: int) -> None:
        """Give a new file the owner, group and mode of the one it will replace."""

    def set_time(self, fd: int, mtime_ns: int) -> None:
        """Give a copy the time at which the other file was written last."""

    def rename(self, old: Path, new: Path) -> None:
        """Rename, replacing what is there."""

    def unlink(self, path: Path) -> None:
        """Delete a file."""

    def fsync_dir(self, path: Path) -> None:
        """Sync a directory: return when its names are on the medium."""

    def mkdir(self, path: Path, mode: int) -> None:
        """Create a directory that must not exist."""

    def rmdir(self, path: Path) -> None:
        """Delete an empty directory."""

    def commit(self, db: sqlite3.Connection) -> None:
        """Commit the open transaction of a database."""

    def run(self, db: sqlite3.Connection, statement: str) -> int:
        """Run a statement that commits by itself to its end; returns the first number it gives."""


class RealDisk:
    """The operating system's disk."""

    def open_new(self, path: Path, mode: int) -> int:
        """Create a file that must not exist; refuses a link."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.open(path, flags, mode)

    def open_lock(self, path: Path) -> int:
        """Open a file of ours to lock it, made if it is missing; refuses a link."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def write(self, fd: int, data: bytes) -> None:
        """Write all of `data`, in one system call unless the kernel splits it."""
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]

    def fsync(self, fd: int) -> None:
        """Sync bytes onto the medium, past the drive's cache too."""
        platform_calls.here.fsync(fd)

    def set_owner(self, fd: int, mode: int, uid: int, gid: int) -> None:
        """Set the owner, then the mode: chown clears the set-id bits of a mode."""
        info = os.fstat(fd)
        if (info.st_uid, info.st_gid) != (uid, gid):
            os.fchown(fd, uid, gid)
        os.fchmod(fd, mode)

    def set_time(self, fd: int, mtime_ns: int) -> None:
        """Set both times of an open file."""
        os.utime(fd, ns=(mtime_ns, mtime_ns))

    def rename(self, old: Path, new: Path) -> None:
        """Rename within a file system."""
        old.rename(new)

    def unlink(self, path: Path) -> None:
        """Delete a file."""
        path.unlink()

    def fsync_dir(self, path: Path) -> None:
        """Sync a directory: rename(2) orders nothing, a power cut may lose the new name."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            platform_calls.here.fsync(fd)
        except OSError as e:
            # Some network and FUSE file systems cannot sync a directory, and say so.
            if e.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise
        finally:
            os.close(fd)

    def mkdir(self, path: Path, mode: int) -> None:
        """Create one directory."""
        path.mkdir(mode=mode)

    def rmdir(self, path: Path) -> None:
        """Delete an empty directory."""
        path.rmdir()

    def commit(self, db: sqlite3.Connection) -> None:
        """Commit; every connection that writes has `synchronous` FULL or EXTRA."""
        db.commit()

    def run(self, db: sqlite3.Connection, statement: str) -> int:
        """Run a statement such as VACUUM; 0 where it gives no number."""
        rows = db.execute(statement).fetchall()  # some do their work row by row
        return int(rows[0][0]) if rows and rows[0] else 0


def resolve(path: Path) -> Path:
    """Follow symbolic links; in a loop, opening the result fails."""
    return Path(os.path.realpath(path))


def identify(info: os.stat_result) -> FileIdentity:
    """Take from a stat the fields that must stay the same while tailflip works."""
    return FileIdentity(
        device=info.st_dev,
        inode=info.st_ino,
        size_bytes=info.st_size,
        mtime_ns=info.st_mtime_ns,
        ctime_ns=info.st_ctime_ns,
    )


@contextmanager
def open_regular(path: Path) -> Iterator[int]:
    """Open a regular file for reading; does not wait on a FIFO or device.

    Raises:
        StoreInvalid: the path is not a regular file.
    """
    try:
        fd = open_to_read(path)
    except NotRegular as e:
        raise StoreInvalid(f"not a regular file: {path}: {e.kind}") from e
    try:
        yield fd
    finally:
        os.close(fd)


def open_scratch() -> int:
    """Open a file without a name, which is deleted when it is closed; -1 where none can be made.

    /var/tmp comes first: /tmp is often in memory, and the file is there to save memory.
    """
    for folder in ("/var/tmp", None):  # noqa: S108 - a file without a name cannot be attacked
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                return os.dup(file.fileno())
        except OSError:
            continue
    return -1


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add the path to errors that do not name it, and turn OSError into a `TailflipError`."""
    try:
        yield
    except OSError as e:
        raise explain_os_error(path, e) from e
    except sqlite3.Error as e:
        raise explain_sqlite_error(path, e) from e
    except TailflipError as e:
        if str(path) in e.message or (isinstance(e, ArchiveDamaged) and e.hint is not None):
            raise  # the error names its file already
        what, colon, why = e.message.partition(": ")
        raise type(e)(f"{what}: {path}{colon}{why}", hint=e.hint) from e


def explain_sqlite_error(path: Path, error: sqlite3.Error) -> TailflipError:
    """Choose the error class, and so the exit code, of an error of SQLite."""
    message = f"cannot use {path}: {error}"
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # the primary code
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return TryLater(message)
    if code == sqlite3.SQLITE_FULL:
        return CannotCreate(message)
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        why, hint = rights.explain_denial(path)
        return NoPermission(f"{message}: {why}", hint=hint)
    return IoFailed(message)


def explain_os_error(path: Path, error: OSError) -> TailflipError:
    """Choose the error class, and so the exit code, of an errno."""
    reason = error.strerror or str(error)
    named = error.filename if isinstance(error.filename, str | bytes) else path
    named = Path(os.fsdecode(named))
    message = f"cannot use {named}: {reason}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return CannotCreate(message, hint="free some room, or set TAILFLIP_STATE_DIR elsewhere")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        why, hint = rights.explain_denial(named)
        return NoPermission(f"{message}: {why}", hint=hint)
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENXIO):
        return StoreInvalid(message, hint="check the path of the store")
    return IoFailed(message)
