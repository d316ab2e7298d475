"""The demo's second act: `tailflip run` sees a gateway die, cures it, and starts it again."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.base.errors import InternalError
from tailflip.demo.incident import write_incident

if TYPE_CHECKING:
    from collections.abc import Mapping

_HERE = Path(__file__).parent
_STAND_IN_BEARS = 0.35  # share of the store's bytes above which the stand-in dies
_PATIENCE_S = 120.0
_TRACE = re.compile(rb"\s*\d+: 0x")  # V8 prints its own stack, forty lines of it
_ANSWERS, _WAITS = b"gateway answers", b"waiting before the next start"


class GuardedAct:
    """A gateway that dies of its store, and `run` around it."""

    def __init__(self, state_dir: Path, size_bytes: int, heap_mb: int) -> None:
        self._state_dir = state_dir
        self._size_bytes = size_bytes
        self._heap_mb = heap_mb
        self._node = shutil.which("node")

    def describe(self) -> str:
        """Say what plays the gateway."""
        if self._node is not None:
            return f"Node is the gateway: it loads the store with {self._heap_mb} MB of heap"
        return "Node is not installed: a stand-in in Python prints what Node prints, and aborts"

    def play(self, env: Mapping[str, str], now_ms: int) -> None:
        """Let the gateway die, be cured and answer; then stop it.

        Raises:
            InternalError: no gateway answered.
        """
        port = _find_port()
        made = write_incident(
            self._state_dir, size_bytes=self._size_bytes, now_ms=now_ms, port=port
        )
        store = str(made["store"])
        command = [sys.executable, str(_HERE / "stand_in.py"), store, str(port)]
        command.append(str(round(self._size_bytes * _STAND_IN_BEARS)))
        if self._node is not None:
            command = [self._node, str(_HERE / "gateway.mjs"), store, str(port)]
        argv = ["run", "--set", "heal.admission=false", "--", *command]
        options = {"NODE_OPTIONS": f"--max-old-space-size={self._heap_mb}"}
        with subprocess.Popen(
            [sys.executable, "-m", "tailflip", *argv],
            env={**env, **options},
            stderr=subprocess.STDOUT,
            stdout=subprocess.PIPE,
        ) as run:
            timer = threading.Timer(_PATIENCE_S, run.terminate)
            timer.start()
            try:
                answered = _follow(run)
            finally:
                timer.cancel()
                run.terminate()  # it may not outlive the demo, however that ends
        if not answered:
            raise InternalError("the demonstration failed: the gateway did not come back")


def _follow(run: subprocess.Popen[bytes]) -> bool:
    """Show what both say; stop them once the gateway answers, or `run` waits in a crash loop."""
    answered = False
    assert run.stdout is not None  # noqa: S101 - it was asked for
    for line in run.stdout:
        if _TRACE.match(line) or not line.strip():
            continue
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
        answered = answered or _ANSWERS in line
        if _ANSWERS in line or _WAITS in line:
            run.terminate()
    return answered


def _find_port() -> int:
    with socket.socket() as link:
        link.bind(("127.0.0.1", 0))
        return int(link.getsockname()[1])
