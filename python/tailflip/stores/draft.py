"""Turns a draft into the store: the states of an action, in the order that `recovery` expects.

intent in the ledger → drafts opened → written by the caller → read back and synced → archived in
the ledger → committed by whatever the store is kept in → committed in the ledger → transcripts
→ done
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tailflip.base import clock
from tailflip.base.durable import explain_os_error
from tailflip.base.errors import InternalError, IoFailed, StoreChanged, TailflipError
from tailflip.base.units import format_counted
from tailflip.flow.late import dataclass
from tailflip.ledger.actions import Action, Details, Ledger, State
from tailflip.stores import recovery
from tailflip.stores.ownership import require_leave

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tailflip.base.workspace import Workspace
    from tailflip.flow.outcomes import ActionKind
    from tailflip.stores.engine import Medium

_PRIVATE = 0o600


@dataclass
class Draft:
    """A new store being written, and the action it belongs to.

    `temps` and `fds` are the files beside the store; the first becomes the store.
    """

    action: Action
    source: Medium
    temps: list[Path]
    fds: list[int]
    lock_held_s: float = 0.0


@contextmanager
def begin(
    workspace: Workspace,
    source: Medium,
    *,
    kind: ActionKind,
    now_ms: int,
    temps: int = 1,
    sources: tuple[str, ...] = (),
    undoing: bool = False,
) -> Iterator[Draft]:
    """Record the intent and open new files beside the store; on any error, undo.

    A store on record is refused here (`undoing` as for
    `require_leave`).

    An interrupted commit is ended by `recovery`, as after a crash.
    """
    require_leave(source.store, source.state_dir, undoing=undoing)
    names = source.name_drafts(temps)
    action = Action(
        id=make_id(now_ms),
        kind=kind,
        store=str(source.store),
        state=State.INTENDED,
        created_ms=now_ms,
        details=Details(temps=tuple(map(str, names)), sources=sources),
    )
    try:
        Ledger(workspace).begin(action)
        draft = Draft(action, source, names, [])
        try:
            for name in names:
                draft.fds.append(workspace.disk.open_new(name, _PRIVATE))
            yield draft
        finally:
            for fd in draft.fds:
                os.close(fd)
    except BaseException as e:
        outcome = end(workspace, action)
        if isinstance(e, StoreChanged) or not isinstance(e, Exception):
            raise
        raise _explain(e, source.store, outcome) from e


def commit(
    workspace: Workspace,
    draft: Draft,
    *,
    digest: str,
    is_as_written: Callable[[int], bool],
) -> None:
    """Sync the draft, read it back, and make it the store.

    Args:
        workspace: Where the ledger is, and the effects.
        draft: Its first file is written.
        digest: Of the new store, for the ledger.
        is_as_written: Reads the whole file again and compares.

    Raises:
        StoreChanged: The store is no longer the one that was read.
        InternalError: What is read back is not what was written.
    """
    draft.source.complete(workspace.disk, draft.temps, draft.fds, is_as_written)
    temp, ledger = draft.temps[0], Ledger(workspace)
    details = draft.action.details.model_copy(update={"temps": (str(temp),), "digest": digest})
    draft.action = ledger.advance(draft.action, State.ARCHIVED, details)
    with draft.source.replacing(workspace.disk, temp) as held_s:
        draft.action = ledger.advance(draft.action, State.COMMITTED)
        draft.lock_held_s = held_s()


def finish(
    workspace: Workspace, draft: Draft, *, freed_bytes: int = 0, left_bytes: int | None = None
) -> tuple[int, tuple[str, ...]]:
    """Move transcripts and end the action; return how many moved, and warnings.

    `freed_bytes` is by how much the store became smaller, and `left_bytes` as in `Details`.
    """
    moves = recovery.move_transcripts(workspace, draft.action)
    draft.action = Ledger(workspace).advance(
        draft.action,
        State.DONE,
        draft.action.details.model_copy(update={"left_bytes": left_bytes}),
        took_ms=clock.now_ms() - draft.action.created_ms,
        freed_bytes=freed_bytes,
    )
    warnings = []
    if moves.failed:
        warnings.append("some transcripts could not be renamed; they are where they were")
    if moves.alive:
        stay = (
            "lives again under its name, and stays as it is"
            if moves.alive == 1
            else "live again under their names, and stay as they are"
        )
        warnings.append(
            f"{format_counted(moves.alive, 'transcript')} {stay}; "
            "those from before stay where they are kept, see `tailflip archive show`"
        )
    return moves.moved, tuple(warnings)


def end(workspace: Workspace, action: Action) -> State | None:
    """Settle an action that failed, as the next start would; None if that fails too."""
    with suppress(OSError, sqlite3.Error, TailflipError):
        known = Ledger(workspace).find(action.id)
        if known is None:
            return State.UNDONE
        return recovery.settle(workspace, known).state
    return None


def _explain(error: Exception, store: Path, outcome: State | None) -> TailflipError:
    """Say of a failure what the disk looks like now."""
    ends = {
        State.UNDONE: "the original is in place",
        State.DONE: "the new store is in place, and can be undone",
        None: "the next tailflip will finish or undo it",
    }
    if isinstance(error, OSError):
        known = explain_os_error(store, error)
    elif isinstance(error, TailflipError):
        known = error
    elif isinstance(error, sqlite3.Error):
        known = IoFailed(f"cannot write the ledger: {error}")
    else:
        known = InternalError(f"{type(error).__name__} while replacing {store}: {error}")
    if "nothing was changed" in known.message:
        return known
    return type(known)(f"{known.message}; {ends.get(outcome, ends[None])}", hint=known.hint)


def make_id(now_ms: int) -> str:
    """Make an action id that sorts by time and can be typed."""
    moment = datetime.fromtimestamp(now_ms // 1000, UTC)
    return f"{moment:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def measure_s(since_mono: float) -> float:
    """Return the seconds since a monotonic time."""
    return round(clock.monotonic_s() - since_mono, 3)
