"""The gateway's process: one that we started, or one that we took over.

Its identity is (pid, start time). It leads a process group of its own, so that a key
pressed at our terminal reaches it once and through us.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from tailflip.base import platform_calls
from tailflip.base.errors import ConfigInvalid, NoPermission
from tailflip.diagnose.causes import GONE_PROGRAM
from tailflip.flow.late import dataclass
from tailflip.observe.gateway.process import is_alive, start_ticks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


@dataclass(frozen=True)
class Exit:
    """The end of a process; code and signal are None for one that is not our child."""

    exit_code: int | None
    signal: int | None


@dataclass(frozen=True)
class Child:
    """One process; `group` is its process group, if it leads one of its own."""

    pid: int
    ticks: int | None
    group: int | None

    def poll(self) -> Exit | None:
        """Return the end, None while the process lives; keep the end, as it is given once."""
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            return None if is_alive(self.pid, self.ticks) else Exit(None, None)
        if pid == 0:
            return None
        code = os.waitstatus_to_exitcode(status)
        return Exit(code, None) if code >= 0 else Exit(None, -code)

    def send(self, number: int) -> None:
        """Send a signal, if pid and start time are still those of the process."""
        if is_alive(self.pid, self.ticks):
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def send_group(self, number: int) -> bool:
        """Send a signal to the rest of the process group; False when no process is left."""
        if self.group is None:
            return False
        try:
            os.killpg(self.group, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def call_when_dead(self, callback: Callable[[], None]) -> None:
        """Call back from a thread when the process ends; for one that raises no SIGCHLD."""
        wait = platform_calls.here.watch_end(self.pid)
        if wait is None:
            return  # the loop looks at the process now and then

        def wait_and_call() -> None:
            wait()
            callback()

        threading.Thread(target=wait_and_call, name="end", daemon=True).start()


def start(command: Sequence[str], env: Mapping[str, str], stderr_fd: int) -> Child:
    """Start a command with our standard input and output.

    Raises:
        ConfigInvalid: there is no such program.
        NoPermission: it may not be executed.
    """
    try:
        process = subprocess.Popen(
            list(command), env=dict(env), stderr=stderr_fd, process_group=0, close_fds=True
        )
    except PermissionError as e:
        raise NoPermission(f"cannot start {command[0]}: {e.strerror}") from e
    except OSError as e:
        raise ConfigInvalid(
            f"cannot start {command[0]}: {e.strerror}",
            hint=GONE_PROGRAM,
        ) from e
    process.returncode = 0  # we wait for the child ourselves; Popen must not
    return Child(process.pid, start_ticks(process.pid), process.pid)


def take_over(pid: int) -> Child:
    """Take over a process that lives already."""
    group: int | None = None
    with suppress(ProcessLookupError):
        group = os.getpgid(pid)
    return Child(pid, start_ticks(pid), group if group not in (None, os.getpgrp()) else None)


def kill_tree(pids: Sequence[tuple[int, int | None]]) -> None:
    """Kill processes whose pid and start time are unchanged."""
    for pid, ticks in pids:
        if is_alive(pid, ticks):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
