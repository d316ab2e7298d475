"""The record of actions, written before the act.

    intended ──▶ archived ──▶ committed ──▶ done ──▶ expired
        └────────────┴──▶ undone

`intended`: unfinished files of tailflip may exist. `archived`: archive and new store are whole
and synced, the rename may or may not have happened. `committed`: the new store is the
store; transcripts may still have to follow. `expired`: the archive was deleted.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from tailflip.base.durable import naming
from tailflip.base.errors import IoFailed
from tailflip.flow.late import dataclass
from tailflip.flow.outcomes import ActionKind, tell_undo
from tailflip.flow.values import Value
from tailflip.ledger.counters import Count, find_guard_of, raise_count
from tailflip.ledger.database import Database

if TYPE_CHECKING:
    import sqlite3

    from tailflip.base.workspace import Workspace


class State(StrEnum):
    """The state of an action; see the module's drawing."""

    INTENDED = "intended"
    ARCHIVED = "archived"
    COMMITTED = "committed"
    DONE = "done"
    UNDONE = "undone"
    EXPIRED = "expired"


HALF_DONE = (State.INTENDED, State.ARCHIVED, State.COMMITTED)


class Details(Value):
    """The facts that finishing or undoing an action needs.

    `temps` are this action's own files beside the store. `digest` is that of the new store.
    `sources` are the actions a restore takes entries from. `left_bytes` is the size of a rewritten
    database, which is known when its pages are freed; None for a file, whose manifest says it.
    `for_good`: of what it took nothing was kept.
    """

    temps: tuple[str, ...]
    digest: str | None = None
    sources: tuple[str, ...] = ()
    left_bytes: int | None = None
    for_good: bool = False


class Action(Value):
    """One row."""

    id: str
    kind: ActionKind
    store: str
    state: State
    created_ms: int
    details: Details

    @property
    def store_path(self) -> Path:
        """The real path of the store."""
        return Path(self.store)

    @property
    def took_nothing(self) -> bool:
        """Say whether the action kept nothing that could be put back."""
        return self.details.for_good or self.kind in (ActionKind.RESTORE, ActionKind.RELEASE)

    @property
    def undo(self) -> str | None:
        """The command that undoes it; None for an action that took nothing."""
        return None if self.took_nothing else tell_undo(self.kind, self.id)

    @property
    def transcript_suffix(self) -> str:
        """The suffix of a transcript that this action archives; it names the action."""
        return f".deleted.{format_stamp(self.created_ms)}"


def format_stamp(now_ms: int) -> str:
    """Format a time as the gateway does in names of archived transcripts."""
    moment = datetime.fromtimestamp(now_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H-%M-%S}.{now_ms % 1000:03d}Z"


@dataclass(frozen=True)
class Ledger:
    """The record of all actions. A write returns when it is on the medium."""

    workspace: Workspace

    def begin(self, action: Action) -> None:
        """Record an action before its first effect."""
        row = action.model_dump(exclude={"details"}) | {"details": action.details.model_dump_json()}
        with Database(self.workspace).writing() as db:
            db.execute(
                "INSERT INTO actions VALUES (:id, :kind, :store, :state, :created_ms, :details)",
                row,
            )

    def advance(
        self,
        action: Action,
        state: State,
        details: Details | None = None,
        *,
        took_ms: int = 0,
        freed_bytes: int = 0,
    ) -> Action:
        """Record an action's next state, and return the action with that state.

        `took_ms` and `freed_bytes` are counted with an action that is done, where they are known.
        """
        now = action.model_copy(update={"state": state, "details": details or action.details})
        with Database(self.workspace).writing() as db:
            if state in (State.DONE, State.UNDONE):
                _count(db, now, took_ms, freed_bytes)
            db.execute(
                "UPDATE actions SET state = ?, details = ? WHERE id = ?",
                (now.state, now.details.model_dump_json(), now.id),
            )
        return now

    def read_all(self) -> tuple[Action, ...]:
        """Read every action, newest first."""
        database = Database(self.workspace)
        if not database.exists:
            return ()
        with database.connected() as db:
            rows = db.execute(
                "SELECT id, kind, store, state, created_ms, details FROM actions "
                "ORDER BY rowid DESC"  # in the order of writing: the clock may be set back
            ).fetchall()
        with naming(self.workspace.home.ledger):
            return tuple(_parse(row) for row in rows)

    def find(self, action_id: str) -> Action | None:
        """Read one action."""
        return next((a for a in self.read_all() if a.id == action_id), None)

    def read_half_done(self) -> tuple[Action, ...]:
        """Read the actions that were begun and not ended."""
        return tuple(a for a in self.read_all() if a.state in HALF_DONE)


def _count(db: sqlite3.Connection, action: Action, took_ms: int, freed_bytes: int) -> None:
    """Count the end of an action, once."""
    row = db.execute("SELECT state FROM actions WHERE id = ?", (action.id,)).fetchone()
    if row is None or row[0] not in HALF_DONE:
        return
    guard, kind = find_guard_of(db, action.store), action.kind
    if action.state is State.UNDONE:
        raise_count(db, guard, Count.ACTION_FAILURES, kind)
        return
    raise_count(db, guard, Count.ACTIONS, kind)
    raise_count(db, guard, Count.ACTION_MS, kind, took_ms)
    raise_count(db, guard, Count.FREED_BYTES, kind, freed_bytes)


def _parse(row: tuple[str, str, str, str, int, str]) -> Action:
    try:
        return Action(
            id=row[0],
            kind=ActionKind(row[1]),
            store=row[2],
            state=State(row[3]),
            created_ms=row[4],
            details=Details.model_validate_json(row[5]),
        )
    except (ValidationError, ValueError) as e:
        raise IoFailed("the ledger holds a row that we did not write") from e
