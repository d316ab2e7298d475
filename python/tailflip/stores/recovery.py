"""Recovery, at each start: finish or undo the actions that were begun and not ended.

The disk decides which. Before the ledger says `archived`, an action has made files of our own:
they are deleted. After it, the store's engine says what the disk proves: if the commit did not
happen, the action is undone. If it did, or nobody can know, the archive stays and the action is
ended.
The same code runs after a kill, a full disk and a power cut, and may itself be killed.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.base import clock
from tailflip.base.durable import resolve
from tailflip.base.errors import TailflipError
from tailflip.base.units import format_counted
from tailflip.flow.outcomes import ActionKind
from tailflip.ledger.actions import Action, Ledger, State
from tailflip.observe.records.receipts import find_state_dirs
from tailflip.stores.formats import find_engine
from tailflip.stores.lock import remove_stale
from tailflip.stores.sqlite.fence import remove_our_fence
from tailflip.stores.transcripts import (
    Moves,
    archive_transcripts,
    delete_kept,
    forget_missing,
    note_missing,
    return_transcripts,
)
from tailflip.stores.unfinished import PENDING, find_expired, find_missing, is_unfinished

if TYPE_CHECKING:
    from tailflip.base.durable import Disk
    from tailflip.base.workspace import Workspace


def recover(workspace: Workspace) -> tuple[str, ...]:
    """Settle every half-done action, and report each; run it before acting.

    An action that cannot be settled now (its disk is away) is left for the next time.

    Raises:
        TryLater: Another tailflip is at work.
    """
    if not is_unfinished(workspace):
        return ()
    with workspace.claim():
        return settle_all(workspace)


def settle_all(workspace: Workspace) -> tuple[str, ...]:
    """Do the work of `recover` for a caller who has the claim."""
    notes = []
    for action in Ledger(workspace).read_half_done():
        try:
            ended = settle(workspace, action)
            _remove_our_lock(workspace.disk, action)
        except (OSError, TailflipError) as e:
            notes.append(f"{action.kind} {action.id} of {action.store} is still half done: {e}")
        else:
            verb = "undone" if ended.state is State.UNDONE else "finished"
            notes.append(f"{action.kind} {action.id} of {action.store} was half done: {verb}")
    notes += _return_missing(workspace)
    notes += _remove_scratch(workspace)
    for action in find_expired(workspace.home, Ledger(workspace).read_all()):
        try:
            remove_archive(workspace, action)
        except OSError as e:
            notes.append(f"expired archive {action.id} cannot be deleted: {e}")
        else:
            notes.append(f"expired archive {action.id} is now deleted")
    return tuple(notes)


def settle(workspace: Workspace, action: Action) -> Action:
    """Finish or undo one action; `action` is as the ledger has it."""
    ledger = Ledger(workspace)
    if action.state is State.ARCHIVED:
        # If it did not happen, go back to the state before `archived` first: were we killed between
        # deleting the new store and deleting its archive, the next look would misread the disk.
        proven = find_engine(action.store_path).settle(action, workspace.disk)
        action = ledger.advance(action, proven)
    if action.state is State.INTENDED:
        for temp in action.details.temps:
            remove(workspace.disk, Path(temp))
        remove_archive(workspace, action)
        return ledger.advance(action, State.UNDONE)
    if action.kind != ActionKind.RECLAIM:  # what it did not come to stays where it is
        move_transcripts(workspace, action)
    return ledger.advance(action, State.DONE)


def move_transcripts(workspace: Workspace, action: Action) -> Moves:
    """Let the transcripts follow a committed action, one way or the other.

    A failed rename is counted in `failed` and raises nothing: the store is right already, and a
    transcript that stays under its name is not lost.
    """
    if action.kind == ActionKind.COMPACT:
        try:
            return archive_transcripts(workspace, action)
        except (OSError, TailflipError):
            return Moves(0, 1)
    found = []
    for source in action.details.sources:
        try:
            origin = Ledger(workspace).find(source)
            if origin is None or origin.kind != ActionKind.COMPACT:
                continue
            if not os.path.lexists(workspace.home.records(source)):
                continue
            found.append(return_transcripts(workspace, origin, action.store_path))
            if found[-1].failed:
                note_missing(workspace, origin)
        except (OSError, TailflipError):
            found.append(Moves(0, 1))
    return Moves(
        sum(each.moved for each in found),
        sum(each.failed for each in found),
        sum(each.alive for each in found),
    )


def _return_missing(workspace: Workspace) -> list[str]:
    """Rename back the transcripts that a restore could not; report the result."""
    notes = []
    missing = find_missing(workspace.home)
    for action in (each for each in Ledger(workspace).read_all() if each.id in missing):
        try:
            moves = return_transcripts(workspace, action, action.store_path)
            if not moves.failed:
                forget_missing(workspace, action)
        except (OSError, TailflipError) as e:
            notes.append(f"transcripts of {action.store} cannot be renamed back: {e}")
            continue
        back = "is back under its name" if moves.moved == 1 else "are back under their names"
        where = f"{format_counted(moves.moved, 'transcript')} of {action.store} {back}"
        left = f"; {moves.failed} could not be renamed" if moves.failed else ""
        notes.append(where + left)
    return notes


def _remove_scratch(workspace: Workspace) -> list[str]:
    """Delete what a killed restore left of entries that OpenClaw was to import."""
    if not os.path.lexists(workspace.home.scratch):
        return []
    try:
        remove(workspace.disk, workspace.home.scratch)
    except OSError as e:
        return [f"{workspace.home.scratch} is left of a restore, and cannot be deleted: {e}"]
    return []


def remove_archive(workspace: Workspace, action: Action) -> None:
    """Delete the archive of one action: our own files, and transcripts beside the store."""
    if action.kind == ActionKind.COMPACT:
        delete_kept(workspace, action)
    directory = workspace.home.archive(action.id)
    if directory.is_dir():
        # Delete the manifest first: without it no reader takes the directory for whole.
        for name in ("manifest.json", RECLAIMED, "records.zst", CHANGES, BEFORE, PENDING):
            remove(workspace.disk, directory / name)
            remove(workspace.disk, directory / f"{name}.partial")
        workspace.disk.rmdir(directory)
    else:
        remove(workspace.disk, directory)
    remove(workspace.disk, workspace.home.quarantined(action.id))


PARTIAL = "records.zst.partial"
# An action on the gateway's own ledgers keeps the record of changes and the file before.
CHANGES, BEFORE = "changes.json", "before"
# An action that gave room back keeps the list of what it took.
RECLAIMED = "reclaimed.json"


def _remove_our_lock(disk: Disk, action: Action) -> None:
    """Delete the locks that a killed tailflip left, unless their owner lives."""
    if action.kind == ActionKind.RECLAIM:
        return  # it is on a state directory, which has no lock of ours
    path = action.store_path
    with suppress(OSError, TailflipError):  # it is litter: the next taker of the lock removes it
        remove_stale(resolve(path.parent) / f"{path.name}.lock", disk, clock.now_ms())
        for state_dir in find_state_dirs(path):
            remove_our_fence(path, state_dir, disk)


def remove(disk: Disk, path: Path) -> None:
    """Delete a file, or a folder with its contents where damage left one in its place."""
    with suppress(FileNotFoundError):
        if path.is_dir() and not path.is_symlink():
            for each in path.iterdir():
                remove(disk, each)
            disk.rmdir(path)
        else:
            disk.unlink(path)
