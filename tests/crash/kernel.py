"""A process, and what it asks of the kernel: written down, cut off, or refused at the k-th time.

Where `Disk` is our own seam, this is everybody's: it sees SQLite's writes and those of the
extension too. Only on Linux on x86-64, with a C compiler, and where ptrace is allowed.
"""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

TRACE, KILL, FAIL_ONCE, FAIL_FOR_GOOD, SHORT, TORN = range(6)
_SOURCE = Path(__file__).with_name("meddle.c")


@dataclass(frozen=True)
class Effect:
    """One system call that changes files, as it was asked for."""

    name: str
    number: int
    offset: int
    path: str
    path2: str
    data: bytes


class Meddler:
    """Runs something in a child process, and stands between it and the kernel."""

    def __init__(self, library: Path, folder: Path) -> None:
        self._lib = ctypes.CDLL(str(library))
        self._trace = folder / "trace"

    @staticmethod
    def build(folder: Path) -> Path:
        """Compile what stands between."""
        library = folder / "meddle.so"
        subprocess.run(
            ["cc", "-O1", "-shared", "-fPIC", "-o", str(library), str(_SOURCE)], check=True
        )
        return library

    @staticmethod
    def why_not() -> str | None:
        """Say why this machine cannot do it."""
        if platform.system() != "Linux" or platform.machine() != "x86_64":
            return "ptrace as it is used here is of Linux on x86-64"
        return None if shutil.which("cc") else "no C compiler"

    def run(  # noqa: PLR0917 - as ptrace's own
        self,
        act: Callable[[], int],
        root: Path,
        mode: int = TRACE,
        at: int = 0,
        error: int = 0,
        trace: Path | None = None,
    ) -> tuple[int, int]:
        """Do `act` in a child; its exit code (negative: signal), and how many effects it had."""
        pid = os.fork()
        if pid == 0:
            code = 99
            try:
                if self._lib.meddle_child() == 0:
                    code = act()
            finally:
                os._exit(code)
        count = ctypes.c_long()
        status = self._lib.meddle(
            pid,
            os.fsencode(root),
            mode,
            ctypes.c_long(at),
            error,
            None if trace is None else os.fsencode(trace),
            ctypes.byref(count),
        )
        if status == -1:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise RuntimeError("ptrace is not allowed here")
        return os.waitstatus_to_exitcode(status), count.value

    def trace(self, act: Callable[[], int], root: Path) -> tuple[int, list[Effect]]:
        """Do `act` undisturbed, and return its exit code and its effects below `root`."""
        code, _ = self.run(act, root, trace=self._trace)
        return code, list(_parse(self._trace.read_bytes()))


def _parse(text: bytes):
    at = 0
    while at < len(text):
        end = text.index(b"\n", at)
        name, number, _fd, offset, length, paths = text[at:end].split(b" ", 5)
        path, path2 = os.fsdecode(paths).split("\t")
        at = end + 1 + int(length)
        data = text[end + 1 : at]
        yield Effect(name.decode(), int(number), int(offset), path, path2, data)
