"""Tells whether an earlier run of tailflip left work: the look that every start takes.

It opens no store and loads none of the code that ends the work; `recovery` does that.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tailflip.base.durable import resolve
from tailflip.ledger.actions import HALF_DONE, Action, Ledger, State

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tailflip.base.state_dir import Home
    from tailflip.base.workspace import Workspace

PENDING = "transcripts.pending"
FOLDER = ".tailflip"


def is_unfinished(workspace: Workspace) -> bool:
    """Say whether there is work left: an action, an archive, a transcript, a scratch directory."""
    actions = Ledger(workspace).read_all()
    return bool(
        any(action.state in HALF_DONE for action in actions)
        or find_expired(workspace.home, actions)
        or find_missing(workspace.home)
        or os.path.lexists(workspace.home.scratch)
    )


def find_expired(home: Home, actions: Iterable[Action]) -> tuple[Action, ...]:
    """Find expired actions whose files are still there: their deletion was interrupted."""
    return tuple(
        a
        for a in actions
        if a.state is State.EXPIRED
        and any(
            map(
                os.path.lexists,
                (home.archive(a.id), home.quarantined(a.id), find_folder(a)),
            )
        )
    )


def find_missing(home: Home) -> set[str]:
    """Find the actions of which some transcripts could not be renamed back."""
    return {path.parent.name for path in home.archives.glob(f"*/{PENDING}")}


def find_folder(action: Action) -> Path:
    """Return the folder that keeps an action's transcripts for as long as its archive lives."""
    return resolve(action.store_path.parent) / FOLDER / action.id
