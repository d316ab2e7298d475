"""Who listens on a port of this machine: the process that keeps a gateway from starting."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import psutil

_GATEWAYS = ("openclaw", "clawdbot", "moltbot")


@dataclass(frozen=True)
class Listener:
    """A process that holds a port. `name` is its program's; `is_gateway` None: it may be one."""

    pid: int
    name: str
    is_gateway: bool | None

    def __str__(self) -> str:
        """Name it as evidence does."""
        return f"pid {self.pid} ({self.name})"


def find_listener(port: int) -> Listener | None:
    """Find who listens on a TCP port; None where nobody does, or where we may not know.

    Of processes of other users the system tells root alone.
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
    # Node runs the gateway of an image as `node dist/index.js`: its words do not tell.
    return Listener(process.pid, name, is_gateway=None if "node" in name.lower() else False)
