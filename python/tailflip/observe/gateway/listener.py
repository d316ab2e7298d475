"""Finds the process that listens on a port of this machine, and so blocks a gateway's start."""

from __future__ import annotations

from contextlib import suppress

import psutil

from tailflip.flow.late import dataclass

_GATEWAYS = ("openclaw", "clawdbot", "moltbot")


@dataclass(frozen=True)
class Listener:
    """A process that holds a port. `name` is of its program; `is_gateway` None: it may be one."""

    pid: int
    name: str
    is_gateway: bool | None

    def __str__(self) -> str:
        """Name the process as evidence does."""
        return f"pid {self.pid} ({self.name})"


def find_listener(port: int) -> Listener | None:
    """Find the process that listens on a TCP port; None if there is none, or it is hidden.

    The system shows processes of other users to root alone.
    """
    try:
        connections = psutil.net_connections("tcp")
    except (psutil.Error, OSError):
        return None
    for each in connections:
        if (
            each.status == psutil.CONN_LISTEN
            and each.laddr
            and each.laddr.port == port
            and each.pid
        ):
            with suppress(psutil.Error, OSError):
                return _describe(psutil.Process(each.pid))
    return None


def _describe(process: psutil.Process) -> Listener:
    name, words = process.name(), " ".join(process.cmdline())
    if any(word in f"{name} {words}" for word in _GATEWAYS):
        return Listener(process.pid, name, is_gateway=True)
    # An image runs the gateway as `node dist/index.js`: its words do not name OpenClaw.
    return Listener(process.pid, name, is_gateway=None if "node" in name.lower() else False)
