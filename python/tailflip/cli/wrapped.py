"""Runs the command that a maintenance is wrapped round, and waits for it whatever signal comes."""

from __future__ import annotations

import signal
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tailflip.base.errors import ConfigInvalid, NoPermission

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

# A terminal sends these to every process in front, the command included.
_OF_TERMINAL = (signal.SIGINT, signal.SIGQUIT)
_PASSED_ON = (signal.SIGTERM, signal.SIGHUP)
_SHELL_BASE = 128


def run_wrapped(command: Sequence[str]) -> int:
    """Run a command to its end, and return its exit code; 128 + n after signal n.

    Raises:
        ConfigInvalid: there is no such program.
        NoPermission: it may not be run.
    """
    try:
        process = subprocess.Popen(list(command))
    except OSError as e:
        kind = NoPermission if isinstance(e, PermissionError) else ConfigInvalid
        raise kind(
            f"cannot start {command[0]}: {e.strerror}; nothing was run",
            hint="name a program that is there: tailflip maintenance run -- openclaw update",
        ) from e
    with process, _passing_on(process):
        code = process.wait()
    return code if code >= 0 else _SHELL_BASE - code


@contextmanager
def _passing_on(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Pass the signals that mean us on to the command: it ends, and we after it."""

    def pass_on(number: int, _frame: FrameType | None) -> None:
        process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in _PASSED_ON}
    before |= {number: signal.signal(number, signal.SIG_IGN) for number in _OF_TERMINAL}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
