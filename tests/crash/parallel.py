"""Doing many independent things in a few processes: every fault begins with a tree of its own."""

from __future__ import annotations

import os
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WORKERS = min(4, max(2, os.cpu_count() or 2))


def in_parallel(folder: Path, work: Callable[[int, Path], list[str]]) -> list[str]:
    """Do the work in `WORKERS` processes, each in a folder of its own; return what failed.

    Args:
        folder: where the folders are made.
        work: is given its number and its folder, and does what has that remainder.
    """
    pids = []
    for number in range(WORKERS):
        own = folder / f"worker-{number}"
        own.mkdir()
        pid = os.fork()
        if pid == 0:
            try:
                failed = work(number, own)
            except BaseException:  # noqa: BLE001 - it is told, and then this process ends
                failed = [traceback.format_exc()]
            (own / "failed").write_text("\n".join(failed))
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)
    told = [(folder / f"worker-{number}" / "failed").read_text() for number in range(WORKERS)]
    return [text for text in told if text]
