"""`tailflip run` that kills itself at the n-th commit of its ledger.

    python dying_supervisor.py N before|after KEY=VALUE... -- COMMAND

Ends like `tailflip run` if there are fewer commits.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

from tailflip.base import log
from tailflip.base.durable import RealDisk
from tailflip.base.sdnotify import Notifier
from tailflip.config.load import load
from tailflip.supervise.context import GuardedGateway
from tailflip.supervise.wiring import make_supervisor

if TYPE_CHECKING:
    import sqlite3


class DyingDisk(RealDisk):
    def __init__(self, at: int, *, before: bool) -> None:
        self._at = at
        self._before = before
        self._count = 0
        self._lock = threading.Lock()

    def commit(self, db: sqlite3.Connection) -> None:
        with self._lock:
            self._count += 1
            if self._count == self._at and self._before:
                os.kill(os.getpid(), signal.SIGKILL)
            super().commit(db)
            if self._count == self._at:
                os.kill(os.getpid(), signal.SIGKILL)


def main() -> int:
    at = sys.argv.index("--")
    flags = dict(pair.split("=", 1) for pair in sys.argv[3:at])
    config = load(os.environ, flags).config
    log.start("info")
    disk = DyingDisk(int(sys.argv[1]), before=sys.argv[2] == "before")
    gateway = GuardedGateway.prepare(sys.argv[at + 1 :], os.environ, config, disk=disk)
    return make_supervisor(gateway, Notifier.from_env(os.environ), flags).run()


if __name__ == "__main__":
    sys.exit(main())
