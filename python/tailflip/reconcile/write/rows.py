"""Changes single rows of the gateway's databases, and undoes that, while it is provably stopped.

A row is changed by members: a whole column, or a member of a column's JSON object. A record of
the old and the new value of each is on the medium first. All rows of an action change in one
transaction, behind the fence that a starting gateway honours, and the file stays the same one.

The gateway marks an entry as unproven when its JSON changes, by a trigger, and does not start on
such a row again. So the column that says "proven" is put back to what it was, last of all.
Source: 2026.9.6, rows changed in place between two starts of a real gateway.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from tailflip.base.durable import naming
from tailflip.base.errors import IoFailed, StoreChanged
from tailflip.flow.late import dataclass
from tailflip.flow.outcomes import ActionKind, Report
from tailflip.flow.values import Value
from tailflip.flow.work import Work  # noqa: TC001 - pydantic reads it
from tailflip.ledger.actions import Ledger, State
from tailflip.observe.records.database import read_database
from tailflip.reconcile.write.record import ChangeRecord, read_record
from tailflip.stores import draft as drafts
from tailflip.stores import recovery
from tailflip.stores.formats import find_engine
from tailflip.stores.notes import write_note
from tailflip.stores.preflight import find_refusals, refuse
from tailflip.stores.replace import open_source
from tailflip.stores.restore import RestoreOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tailflip.ledger.actions import Action
    from tailflip.reconcile.write.cron_store import Hands

_T = TypeVar("_T")
_BUSY_S = 5.0


class Member(Value):
    """One changed value. `path` leads into the column's JSON; None: the whole column.

    `before` and `after` are a column's value, or the JSON text of a member: None for none.
    """

    column: str
    path: str | None = None
    before: str | int | None
    after: str | int | None


class RowChange(Value):
    """The changes of one row. `key` are columns that name it; `proven` is put back last."""

    table: str
    key: dict[str, str]
    members: tuple[Member, ...]
    proven: str | None = None


class RowChanges(ChangeRecord):
    """The record of one action on rows of one database; `works` are those that are held by it."""

    works: tuple[Work, ...]
    rows: tuple[RowChange, ...]


@dataclass(frozen=True)
class Plan:
    """Rows of one database that an action changes, with the reasons for people."""

    path: Path
    rows: tuple[RowChange, ...]
    works: tuple[Work, ...]
    words: tuple[str, ...]


def apply_rows(plan: Plan, *, kind: ActionKind, hands: Hands, now_ms: int) -> str:
    """Change the rows of a plan; return the action's id.

    Raises:
        StoreChanged: A row is no longer as the plan found it; nothing was changed.
        TryLater: A gateway runs, or may, or a process has the database open.
    """
    record = _describe(plan, kind, hands, now_ms)
    return _change(hands, plan.path, record, lambda db: _check(db, plan.rows))


def undo_rows(action: Action, *, hands: Hands, apply: bool, now_ms: int) -> RestoreOutcome:
    """Undo one action on rows; a row with another value by now stays, and is a conflict."""
    record, path = read_record(hands.workspace.home, action.id, RowChanges), action.store_path

    def look(db: sqlite3.Connection) -> tuple[list[RowChange], list[str]]:
        back, conflicts = [], []
        for row in reversed(record.rows):
            state = _find_state(db, row)
            if state == "after":
                back.append(_swap(row))
            elif state == "other":
                conflicts.append(_name(row))
        return back, conflicts

    back, conflicts = read_rows(path, look)
    if conflicts:
        back = []  # a session or job that somebody changed since is theirs, as a whole
    outcome = RestoreOutcome(
        store=path,
        actions=(action.id,),
        added=0,
        replaced=len(back),
        unchanged=len(record.rows) - len(back) - len(conflicts),
        conflicts=len(conflicts),
        conflict_keys=tuple(conflicts),
        report=None,
    )
    if not apply or not back:
        return outcome
    plan = Plan(path, tuple(back), record.works, (f"undoes {action.id}",))
    undone = _describe(plan, ActionKind.RESTORE, hands, now_ms)
    undoing = _change(hands, path, undone, lambda db: _check(db, plan.rows), (action.id,))
    size_bytes = path.stat().st_size
    report = Report(
        action_id=undoing,
        kind=ActionKind.RESTORE,
        store=str(path),
        bytes_before=size_bytes,
        bytes_after=size_bytes,
    )
    return replace(outcome, report=report)


def read_rows(path: Path, read: Callable[[sqlite3.Connection], _T]) -> _T:
    """Read a database of the gateway's once; its columns and JSON as they are.

    Raises:
        IoFailed: it cannot be read, or is no such database.
    """
    try:
        return read_database(path, read)
    except (sqlite3.Error, OSError) as e:
        raise IoFailed(f"database cannot be read: {path}: {e}; nothing was changed") from e


def is_as_left(db: sqlite3.Connection, rows: Sequence[RowChange]) -> bool:
    """Say whether every row is as its change left it."""
    return all(_find_state(db, row) == "after" for row in rows)


def read_member(db: sqlite3.Connection, row: RowChange, member: Member) -> str | int | None:
    """Read one value of a row as it is now.

    Raises:
        StoreChanged: the row is not there.
    """
    what = member.column if member.path is None else f"{member.column} -> ?"
    values = () if member.path is None else (member.path,)
    found = db.execute(
        f"SELECT {what} FROM {row.table} WHERE {_where(row)}",  # noqa: S608 - names from our plans
        (*values, *row.key.values()),
    ).fetchone()
    if found is None:
        raise StoreChanged(f"row is gone: {_name(row)}")
    value: str | int | None = found[0]
    return value


def _change(
    hands: Hands,
    path: Path,
    record: RowChanges,
    check: Callable[[sqlite3.Connection], None],
    sources: tuple[str, ...] = (),
) -> str:
    workspace, state_dir = hands.workspace, hands.installation.state_dir
    hands.require_stopped()  # once: behind the fence our own lock would be in the way
    with naming(path), workspace.claim():
        recovery.settle_all(workspace)
        undoing = record.kind == ActionKind.RESTORE
        refuse(find_refusals(path, state_dir, undoing=undoing))
        with (
            find_engine(path).keeping_out(path, workspace.disk, state_dir),
            open_source(path, state_dir=state_dir) as source,
            closing(_connect(path)) as db,
        ):
            db.execute("BEGIN IMMEDIATE")
            check(db)
            with drafts.begin(
                workspace,
                source,
                kind=record.kind,
                now_ms=record.created_ms,
                temps=0,
                sources=sources,
                undoing=undoing,
            ) as draft:
                _keep(hands, record.model_copy(update={"action": draft.action.id}))
                for row in record.rows:
                    _write(db, row)
                # Record first, then commit: were we killed between the two, the undo of
                # an action that did not happen finds every row as it was.
                draft.action = Ledger(workspace).advance(draft.action, State.COMMITTED)
                workspace.disk.commit(db)
                drafts.finish(workspace, draft)
            return draft.action.id


def _describe(plan: Plan, kind: ActionKind, hands: Hands, now_ms: int) -> RowChanges:
    return RowChanges(
        action="",
        kind=kind,
        state_dir=str(hands.installation.state_dir),
        store=str(plan.path),
        created_ms=now_ms,
        words=plan.words,
        works=plan.works,
        rows=plan.rows,
    )


def _keep(hands: Hands, record: RowChanges) -> None:
    """Write the record of changes, which holds all that the undo needs."""
    hands.workspace.disk.mkdir(hands.workspace.home.archive(record.action), 0o700)
    write_note(hands.workspace, record.action, recovery.CHANGES, record)


def _check(db: sqlite3.Connection, rows: Sequence[RowChange]) -> None:
    for row in rows:
        if any(read_member(db, row, each) != each.before for each in row.members):
            raise StoreChanged(f"row changed while it was read: {_name(row)}")


def _find_state(db: sqlite3.Connection, row: RowChange) -> str:
    """Say whether a row is as it was left, as it was before, or other than both."""
    try:
        now = [read_member(db, row, each) for each in row.members]
    except StoreChanged:
        return "other"
    if now == [each.after for each in row.members]:
        return "after"
    return "before" if now == [each.before for each in row.members] else "other"


def _write(db: sqlite3.Connection, row: RowChange) -> None:
    proven = None
    if row.proven is not None:
        proven = Member(column=row.proven, before=None, after=None)
        value = read_member(db, row, proven)
        proven = proven.model_copy(update={"after": value})
    for member in (*row.members, *([proven] if proven is not None else ())):
        if member.path is None:
            term, values = "?", [member.after]
        elif member.after is None:
            term, values = f"json_remove({member.column}, ?)", [member.path]
        else:
            term, values = f"json_set({member.column}, ?, json(?))", [member.path, member.after]
        db.execute(
            f"UPDATE {row.table} SET {member.column} = {term} "  # noqa: S608 - as above
            f"WHERE {_where(row)}",
            (*values, *row.key.values()),
        )


def _where(row: RowChange) -> str:
    return " AND ".join(f"{column} = ?" for column in row.key)


def _name(row: RowChange) -> str:
    return f"{row.table} {', '.join(row.key.values())}"


def _swap(row: RowChange) -> RowChange:
    members = tuple(
        each.model_copy(update={"before": each.after, "after": each.before}) for each in row.members
    )
    return row.model_copy(update={"members": members})


def _connect(path: Path) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode=rw"
    db = sqlite3.connect(uri, uri=True, timeout=_BUSY_S, isolation_level=None)
    db.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA fullfsync = ON")  # for macOS: past the drive's cache
    return db
