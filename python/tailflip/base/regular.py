"""Opens regular files; a FIFO or a device in a file's place is refused without waiting."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class NotRegular(OSError):
    """The path is not a regular file; `kind` names what it is."""

    def __init__(self, path: str | Path, mode: int) -> None:
        super().__init__(errno.EINVAL, "not a regular file", str(path))
        self.kind = describe_type(mode)


def open_to_read(path: str | Path, *, follows: bool = True) -> int:
    """Open a regular file for reading; the caller closes the descriptor.

    Args:
        path: of the file.
        follows: links are followed; else one is an error.

    Raises:
        NotRegular: the path is not a regular file.
        OSError: the file is missing, or may not be read.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    fd = os.open(path, flags if follows else flags | os.O_NOFOLLOW)
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode):
        os.close(fd)
        raise NotRegular(path, mode)
    return fd


def describe_type(mode: int) -> str:
    """Name the type of a file that is not a regular one."""
    names = {
        stat.S_IFDIR: "a directory",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFCHR: "a character device",
        stat.S_IFBLK: "a block device",
        stat.S_IFSOCK: "a socket",
        stat.S_IFLNK: "a symbolic link",
    }
    return names.get(stat.S_IFMT(mode), "a file of unknown type")
