"""Tells whether a process lives. A process is (pid, start time): the system uses pids again.

The rules are the gateway's, with one exception: a process that we may not signal (EPERM) counts
as alive here, while the gateway takes it for dead.
"""

from __future__ import annotations

import os
from dataclasses import field
from typing import TYPE_CHECKING

from tailflip.base import platform_calls
from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Start:
    """What a living process was started with; `program` is its file, None where it is gone.

    `env` and `argv` may hold secrets.
    """

    argv: tuple[str, ...] = field(repr=False)
    env: Mapping[str, str] = field(repr=False)
    program: str | None


def read_start(pid: int) -> Start | None:
    """Read what a process was started with; None if it is gone, or another user's."""
    import psutil  # noqa: PLC0415 - asked for living gateways only

    try:
        process = psutil.Process(pid)
        argv, env, program = process.cmdline(), process.environ(), process.exe()
    except (psutil.Error, OSError, ValueError):
        return None
    if not argv:
        return None
    is_there = os.path.isfile(program)  # noqa: PTH113 - an update may have replaced it
    return Start(tuple(argv), env, program if is_there else None)


def start_ticks(pid: int) -> int | None:
    """Read when a process started, in the system's own unit (see `Seen`); None if it is gone."""
    seen = platform_calls.here.look_at(pid)
    return None if seen is None else seen.start


def is_alive(pid: int, starttime: int | None) -> bool:
    """Say whether the process that wrote (pid, starttime) still lives.

    A zombie is dead. Without a start time on either side the pid alone decides.
    """
    if not _is_there(pid):
        return False
    seen = platform_calls.here.look_at(pid)
    if seen is None:
        return _is_there(pid)  # the process has just ended, or is hidden from us
    return not seen.is_zombie and starttime in (None, seen.start)


def _is_there(pid: int) -> bool:
    """Say whether a pid is in use, also by a zombie."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def started_ms(pid: int) -> int | None:
    """Read when a process started, in milliseconds since the epoch; None if it is gone."""
    import psutil  # noqa: PLC0415 - asked for a living gateway

    try:
        return int(psutil.Process(pid).create_time() * 1000)
    except (psutil.Error, ValueError, OverflowError):
        return None


def read_user(pid: int) -> int | None:
    """Read a process's effective user id; None if the process is gone, or hidden."""
    import psutil  # noqa: PLC0415 - asked for a living gateway

    try:
        return int(psutil.Process(pid).uids().effective)
    except (psutil.Error, ValueError, OverflowError):
        return None


def booted_ms() -> int:
    """Read when the machine was started, in milliseconds since the epoch."""
    import psutil  # noqa: PLC0415

    return int(psutil.boot_time() * 1000)
