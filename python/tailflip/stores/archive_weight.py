"""Weighs archives: the room on the disk that each gives back when it is deleted."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tailflip.flow.late import dataclass
from tailflip.ledger.actions import Ledger, State
from tailflip.stores.unfinished import find_folder

if TYPE_CHECKING:
    from pathlib import Path

    from tailflip.base.workspace import Workspace
    from tailflip.ledger.actions import Action


@dataclass(frozen=True)
class Weighed:
    """A finished action, and the bytes on the disk that its archive and transcripts take."""

    action: Action
    bytes: int


def weigh(workspace: Workspace) -> tuple[Weighed, ...]:
    """Weigh every archive, newest first; only names and sizes are read."""
    return tuple(
        Weighed(action, measure(workspace, action))
        for action in Ledger(workspace).read_all()
        if action.state is State.DONE
    )


def measure(workspace: Workspace, action: Action) -> int:
    """Measure the bytes that are given back when the archive of an action is deleted."""
    home = workspace.home
    folders = (home.archive(action.id), find_folder(action))
    return sum(map(_measure_folder, folders)) + _measure_file(home.quarantined(action.id))


def _measure_folder(folder: Path) -> int:
    try:
        with os.scandir(folder) as names:
            return sum(_measure_entry(name) for name in names)
    except OSError:
        return 0


def _measure_entry(name: os.DirEntry[str]) -> int:
    try:
        return name.stat(follow_symlinks=False).st_size if name.is_file() else 0
    except OSError:
        return 0


def _measure_file(path: Path) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0
