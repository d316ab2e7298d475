"""Small files in directories where anything may lie under any name, and names out of them."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def read_regular(path: Path, max_bytes: int) -> bytes:
    """Read a whole regular file; a FIFO or device in its place can not make us wait.

    Raises:
        OSError: it is missing, unreadable, not a regular file (EINVAL), or longer
            than `max_bytes` (EFBIG).
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise OSError(errno.EFBIG, f"larger than {max_bytes} bytes", str(path))
    return data


def can_be_path(text: str) -> bool:
    """Say whether a file can have that name: none has a NUL, or half of a surrogate pair."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False
