"""Who lives: a process is (pid, start time), for a pid alone is soon somebody else's.

The rules are the gateway's own, with one exception: a process that we may not
signal (EPERM) is alive for us, while the gateway takes it for dead. We err towards life.
"""

from __future__ import annotations

import os
from pathlib import Path

_STATE, _START_TIME = 0, 19  # fields 3 and 22 of proc(5), counted after the name


def _read_stat(pid: int) -> list[str] | None:
    """Read the fields after the process's name, which may itself hold spaces and brackets."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return fields if len(fields) > _START_TIME else None


def start_ticks(pid: int) -> int | None:
    """Read when a process started, in clock ticks since boot; None where /proc has none."""
    fields = _read_stat(pid)
    if fields is None or not fields[_START_TIME].isdigit():
        return None
    return int(fields[_START_TIME])


def is_alive(pid: int, starttime: int | None) -> bool:
    """Say whether the very process that wrote (pid, starttime) still lives.

    A zombie is dead. Without a start time on either side only the pid decides.
    """
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    fields = _read_stat(pid)
    if fields is None:
        return not _is_zombie(pid)
    if fields[_STATE] in "ZX":
        return False
    now = start_ticks(pid)
    return starttime is None or now is None or now == starttime


def _is_zombie(pid: int) -> bool:
    """Ask psutil, for systems without /proc."""
    import psutil  # noqa: PLC0415 - where /proc tells, it is not needed

    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False


def started_ms(pid: int) -> int | None:
    """Read when a process started, in milliseconds since the epoch; None if it is gone."""
    import psutil  # noqa: PLC0415 - asked for living gateways only

    try:
        return int(psutil.Process(pid).create_time() * 1000)
    except (psutil.Error, ValueError, OverflowError):
        return None


def boot_id() -> str | None:
    """Read what is different after every boot of the machine; None where the system has none.

    A container that is started again keeps it, and so do start times in ticks.
    """
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_text("ascii")
    except (OSError, ValueError):
        return None
    return text.strip() or None


def booted_ms() -> int:
    """Read when the machine was started, in milliseconds since the epoch."""
    import psutil  # noqa: PLC0415

    return int(psutil.boot_time() * 1000)
