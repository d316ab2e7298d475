"""The callback that slow work reports to: name of the stage, amount done, amount in all."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]


def be_quiet(_stage: str, _done: int, _total: int) -> None:
    """Ignore a report."""
