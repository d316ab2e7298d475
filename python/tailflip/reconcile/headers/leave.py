"""Says whether a transcript may be written: ours, in use by nobody, and no gateway lives."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from tailflip.base import clock
from tailflip.base.durable import naming
from tailflip.base.errors import NoPermission, StoreInvalid, TryLater
from tailflip.observe.gateway.lock_owner import read_owner
from tailflip.stores.lock import TRANSCRIPT_STALE_MS, is_stale

if TYPE_CHECKING:
    from pathlib import Path

    from tailflip.flow.observed import Gateway
    from tailflip.stores.replace import Source

_STOP = "stop the gateway, and try again"


def require_dead(gateway: Gateway, path: Path) -> None:
    """Refuse while a gateway lives, or may.

    Raises:
        TryLater: it does.
    """
    if gateway.alive is False:
        return
    is_alive = f"is running (pid {gateway.pid})" if gateway.alive else "may be running"
    raise TryLater(
        f"a gateway {is_alive}, and a transcript is written only while it is stopped: {path}; "
        "nothing was changed",
        hint=_STOP,
    )


def require_ours(path: Path) -> None:
    """Refuse a transcript that is a link, has other names, is another user's, or is in use.

    Raises:
        StoreInvalid: it is a link, or has other names.
        NoPermission: it is another user's.
        TryLater: a process has it locked.
    """
    with naming(path):
        info = path.lstat()
    if not stat.S_ISREG(info.st_mode):
        raise StoreInvalid(f"transcript is not a regular file: {path}; nothing was changed")
    if info.st_uid != os.geteuid():
        raise NoPermission(
            f"transcript belongs to user id {info.st_uid}, we are {os.geteuid()}: {path}; "
            "nothing was changed",
            hint="run as the user the gateway runs as",
        )
    if info.st_nlink > 1:
        raise StoreInvalid(
            f"transcript has {info.st_nlink} names (hard links): {path}; nothing was changed"
        )
    try:
        owner = read_owner(path.with_name(f"{path.name}.lock"))
        is_held = owner is not None and not is_stale(owner, clock.now_ms(), TRANSCRIPT_STALE_MS)
    except OSError:
        is_held = True
    if is_held:
        raise TryLater(
            f"a process has the transcript locked: {path}; nothing was changed", hint=_STOP
        )


def require_there(source: Source) -> int:
    """Return the descriptor of a transcript.

    Raises:
        StoreInvalid: it is gone.
    """
    if source.fd is None:
        raise StoreInvalid(f"transcript is missing: {source.store}; nothing was changed")
    return source.fd
