"""Reaps orphans, as PID 1 of a container or as a subreaper.

A gateway's orphaned children come to us and not to init. So we can wait for a gateway whose
wrapper was killed. And we must reap each orphan that dies, or it stays a zombie for ever.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Container


def reap_orphans(but: Container[int]) -> int:
    """Reap dead children, except those that another caller waits for; return how many.

    Waiting for any child would take the exit status of the gateway away.
    """
    count = 0
    for child in psutil.Process().children():
        if child.pid in but:
            continue
        with suppress(ChildProcessError, psutil.Error):
            if child.status() == psutil.STATUS_ZOMBIE and os.waitpid(child.pid, os.WNOHANG)[0]:
                count += 1
    return count
