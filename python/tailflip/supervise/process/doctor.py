"""Runs OpenClaw's own doctor: the command line of the release that starts next.

Source: `openclaw doctor` of 2026.8.1 and 2026.9.6. A `--fix` took 34 s and 1.9 GB for 185 MB of
sessions; beside a gateway that does not end it waits up to 60 s and changes nothing.
"""

from __future__ import annotations

import signal
import subprocess
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING

from tailflip.base import clock
from tailflip.flow.late import dataclass
from tailflip.supervise.process.child import Child, take_over

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import IO

_PATIENCE_S = 1800.0
_LOOK_S = 0.2
_GRACE_S = 20.0
_TAIL_BYTES = 4096


@dataclass(frozen=True)
class Ran:
    """How a run ended: `code` as subprocess gives it, None where it had to be ended.

    `said` is the last line that it wrote, which may be empty.
    """

    code: int | None
    seconds: float
    said: str


def run_doctor(
    argv: Sequence[str], env: Mapping[str, str], look: Callable[[], object], cwd: str | None = None
) -> Ran:
    """Run it to its end, in a process group of its own; slow.

    Args:
        argv: the command.
        env: the whole environment.
        look: is called again and again meanwhile; what it raises ends the doctor first.
        cwd: its working directory.

    Raises:
        OSError: it could not be started.
    """
    began_s = clock.monotonic_s()
    with tempfile.TemporaryFile() as output:
        ran = subprocess.Popen(
            list(argv),
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
        child = take_over(ran.pid)
        try:
            code = _await(ran, look, began_s + _PATIENCE_S)
        except BaseException:
            _end(ran, child)
            raise
        if code is None:
            _end(ran, child)
        return Ran(code, clock.monotonic_s() - began_s, _read_last_line(output))


def _await(ran: subprocess.Popen[bytes], look: Callable[[], object], until_s: float) -> int | None:
    while clock.monotonic_s() < until_s:
        with suppress(subprocess.TimeoutExpired):
            return ran.wait(_LOOK_S)
        look()
    return None


def _end(ran: subprocess.Popen[bytes], child: Child) -> None:
    """Ask its process group to end, and kill what is left of it."""
    child.send_group(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        ran.wait(_GRACE_S)
    child.send_group(signal.SIGKILL)
    ran.wait()


def _read_last_line(output: IO[bytes]) -> str:
    output.seek(max(0, output.seek(0, 2) - _TAIL_BYTES))
    lines = output.read().decode("utf-8", "replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
