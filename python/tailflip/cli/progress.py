"""A progress bar for whatever takes more than a second, on standard error, for people only."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tailflip import clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    # (what is being done, bytes done, bytes in all)
    OnProgress = Callable[[str, int, int], None]

_PATIENCE_S = 1.0


@contextmanager
def show_progress() -> Iterator[OnProgress]:
    """Yield what long calls report to; nothing is shown before a second has passed."""
    if not sys.stderr.isatty():
        yield lambda _stage, _done, _total: None
        return
    # Costs a tenth of a whole start, which only people at a terminal are to pay.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TransferSpeedColumn,
    )

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    started = clock.monotonic_s()
    tasks = {}

    def report(stage: str, done_bytes: int, total_bytes: int) -> None:
        if clock.monotonic_s() - started < _PATIENCE_S:
            return
        bar.start()
        if stage not in tasks:
            tasks[stage] = bar.add_task(stage, total=total_bytes)
        bar.update(tasks[stage], completed=done_bytes, total=total_bytes)

    try:
        yield report
    finally:
        bar.stop()
