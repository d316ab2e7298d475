"""What slow work reports to: the name of a stage, how much of it is done, and of how much."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]


def be_quiet(_stage: str, _done: int, _total: int) -> None:
    """Report to nobody."""
