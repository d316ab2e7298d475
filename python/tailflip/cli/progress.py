"""Shows a progress bar on standard error, if that is a terminal, after one second."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tailflip.base import clock
from tailflip.base.progress import be_quiet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailflip.base.progress import Progress

_PATIENCE_S = 1.0


@contextmanager
def show_progress() -> Iterator[Progress]:
    """Yield a progress callback for long calls; the bar appears after a second."""
    if not sys.stderr.isatty():
        yield be_quiet
        return
    # This import costs a tenth of a whole start: pay it at a terminal.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        TextColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bar  # noqa: PLC0415

    bar = Bar(
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
