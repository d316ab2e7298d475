"""Rights on files: what the system lets tailflip do, and why it denies something.

The gateway replaces a file by a rename, so a right to write to the folder is enough. tailflip does
the same. The new file's owner has to be one whose files the gateway's user can read.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from tailflip.base import platform_calls

if TYPE_CHECKING:
    from pathlib import Path

# Source: <linux/capability.h>.
CAP_CHOWN, CAP_FOWNER = 0, 3


def has_right(capability: int) -> bool:
    """Say whether this process has a capability; root in a container may lack it."""
    return bool(platform_calls.here.capabilities() >> capability & 1)


def choose_owner(owner: int) -> int:
    """Choose the owner of a file that replaces one of `owner`: the same, if chown is allowed."""
    me = os.geteuid()
    return owner if owner == me or has_right(CAP_CHOWN) else me


def choose_newcomer(folder: Path) -> tuple[int, int]:
    """Choose user and group of a new file: the folder's, if chown is allowed."""
    try:
        info = folder.stat()
    except OSError:
        return os.geteuid(), os.getegid()
    if choose_owner(info.st_uid) == os.geteuid():
        return os.geteuid(), os.getegid()
    return info.st_uid, info.st_gid


def explain_denial(path: Path) -> tuple[str, str]:
    """Explain why access to a path is denied, and what to do.

    Args:
        path: if it is missing, the nearest folder above it counts.

    Returns:
        A reason and a hint.
    """
    while not os.path.lexists(path) and path != path.parent:
        path = path.parent
    try:
        if os.statvfs(path).f_flag & os.ST_RDONLY:
            return (
                "its file system is mounted read-only",
                "mount it writable, or give the container a writable volume",
            )
        for each in (path, path.parent):
            if platform_calls.here.is_immutable(each):
                return (
                    f"{each} is marked as immutable or append-only",
                    f"`lsattr -d {each}` shows the mark, `chattr -i -a {each}` takes it away",
                )
        info = path.stat()
    except OSError:
        return f"we are user id {os.geteuid()}", "run as the user the gateway runs as"
    mode = f"{stat.S_IMODE(info.st_mode):04o}"
    reason = f"{path} belongs to user id {info.st_uid}, mode {mode}, we are user id {os.geteuid()}"
    if info.st_uid == os.geteuid():
        return reason, "see its mode and its access control list: `ls -ld`, `getfacl`"
    return reason, "run as the user the gateway runs as"
