"""Reads small files in directories where anything may lie under any name; checks names."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from tailflip.base.regular import open_to_read

if TYPE_CHECKING:
    from pathlib import Path


def read_regular(path: Path, max_bytes: int) -> bytes:
    """Read a whole regular file; a FIFO or device in its place is refused without waiting.

    Raises:
        OSError: the file is missing, unreadable, not a regular file (EINVAL), or longer
            than `max_bytes` (EFBIG).
    """
    with os.fdopen(open_to_read(path), "rb") as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise OSError(errno.EFBIG, f"larger than {max_bytes} bytes", str(path))
    return data


def can_be_path(text: str) -> bool:
    """Say whether a file can have that name: without a NUL and half of a surrogate pair."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False
