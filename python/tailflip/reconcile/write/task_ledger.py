"""Writes the gateway's task ledger, and undoes that, while the gateway is provably stopped.

The steps are: the intent in our ledger, a backup by SQLite's own means, then all rows in one
transaction. The gateway holds its tasks in memory, so a living one would overwrite the rows.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from tailflip.base.durable import naming
from tailflip.flow.outcomes import ActionKind, Report
from tailflip.flow.values import Value
from tailflip.ledger.actions import Ledger, State
from tailflip.observe.records.database import read_database
from tailflip.observe.records.tasks import find_ledger
from tailflip.reconcile.write.record import ChangeRecord, read_record
from tailflip.stores import draft as drafts
from tailflip.stores import recovery
from tailflip.stores.notes import write_note
from tailflip.stores.preflight import find_refusals, refuse
from tailflip.stores.replace import open_source
from tailflip.stores.restore import RestoreOutcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tailflip.ledger.actions import Action
    from tailflip.reconcile.judge.tasks import Correction
    from tailflip.reconcile.write.cron_store import Hands

KINDS = (ActionKind.TASKS,)
COLUMNS = ("status", "ended_at", "last_event_at", "error", "cleanup_after")
_BUSY_S = 5.0

Row = dict[str, str | int | None]


class TaskChange(Value):
    """One task before and after the change."""

    task_id: str
    before: Row
    after: Row


class TaskChanges(ChangeRecord):
    """The record of one action on the task ledger."""

    tasks: tuple[TaskChange, ...]


def apply_corrections(
    corrections: Sequence[Correction], *, hands: Hands, now_ms: int
) -> tuple[str | None, int]:
    """Write corrections in one transaction; return the action's id, or None, and the count.

    Raises:
        TryLater: A gateway runs, or may.
        IoFailed: The file is no task ledger.
    """
    wanted = {each.task_id: dict(each.after) for each in corrections}
    words = tuple(f"{each.task_id}: {'; '.join(each.words)}" for each in corrections)
    return _change(hands, wanted, kind=ActionKind.TASKS, now_ms=now_ms, words=words)


def undo_corrections(action: Action, *, hands: Hands, apply: bool, now_ms: int) -> RestoreOutcome:
    """Undo the changes of tasks; a task that was changed again is a conflict."""
    record = read_record(hands.workspace.home, action.id, TaskChanges)
    path = find_ledger(hands.installation.state_dir)
    names = [change.task_id for change in record.tasks]
    with naming(path):
        current = read_database(path, partial(_read, task_ids=names))
    back, unchanged, conflicts = {}, 0, []
    for change in record.tasks:
        now = current.get(change.task_id)
        if now == change.after:
            back[change.task_id] = change.before
        elif now == change.before:
            unchanged += 1
        else:
            conflicts.append(change.task_id)
    outcome = RestoreOutcome(
        store=path,
        actions=(action.id,),
        added=0,
        replaced=len(back),
        unchanged=unchanged,
        conflicts=len(conflicts),
        conflict_keys=tuple(conflicts),
        report=None,
    )
    if not apply or not back:
        return outcome
    words = (f"undoes {action.id}",)
    undoing, _ = _change(
        hands, back, kind=ActionKind.RESTORE, now_ms=now_ms, words=words, sources=(action.id,)
    )
    size_bytes = path.stat().st_size
    report = Report(
        action_id=undoing or "",
        kind=ActionKind.RESTORE,
        store=str(path),
        bytes_before=size_bytes,
        bytes_after=size_bytes,
    )
    return replace(outcome, report=report)


def _change(
    hands: Hands,
    wanted: Mapping[str, Row],
    *,
    kind: ActionKind,
    now_ms: int,
    words: tuple[str, ...],
    sources: tuple[str, ...] = (),
) -> tuple[str | None, int]:
    workspace = hands.workspace
    path = find_ledger(hands.installation.state_dir)
    hands.require_stopped()
    with naming(path), workspace.claim():
        recovery.settle_all(workspace)
        state_dir = hands.installation.state_dir
        refuse(find_refusals(path, state_dir))
        with (
            open_source(path, state_dir=state_dir) as source,
            closing(_connect(path, writing=True)) as db,
        ):
            db.execute("BEGIN IMMEDIATE")
            before = _read(db, wanted)
            changes = tuple(
                TaskChange(task_id=task_id, before=before[task_id], after=after)
                for task_id, after in wanted.items()
                if task_id in before and before[task_id] != after
            )
            if not changes:
                return None, 0
            with drafts.begin(
                workspace, source, kind=kind, now_ms=now_ms, temps=0, sources=sources
            ) as draft:
                record = TaskChanges(
                    action=draft.action.id,
                    kind=kind,
                    state_dir=str(hands.installation.state_dir),
                    store=str(path),
                    created_ms=now_ms,
                    tasks=changes,
                    words=words,
                )
                _keep(hands, path, record)
                for change in changes:
                    db.execute(
                        f"UPDATE task_runs SET {', '.join(f'{c} = ?' for c in COLUMNS)} "  # noqa: S608
                        "WHERE task_id = ?",
                        (*(change.after[c] for c in COLUMNS), change.task_id),
                    )
                hands.require_stopped()  # the gateway may have been started meanwhile
                # Record first, then commit: were we killed between the two, the undo of
                # an action that did not happen finds every row as it was.
                draft.action = Ledger(workspace).advance(draft.action, State.COMMITTED)
                workspace.disk.commit(db)
                drafts.finish(workspace, draft)
            return draft.action.id, len(changes)


def _keep(hands: Hands, path: Path, record: TaskChanges) -> None:
    """Back the ledger up by SQLite's own means, and write the record of changes."""
    disk, folder = hands.workspace.disk, hands.workspace.home.archive(record.action)
    disk.mkdir(folder, 0o700)
    copy = folder / recovery.BEFORE
    fd = disk.open_new(copy, 0o600)
    try:
        with closing(_connect(path, writing=False)) as source, closing(sqlite3.connect(copy)) as db:
            # A journal of a file that nobody needs until it is synced would only be left
            # behind when we are killed, and keep the folder from being deleted.
            db.execute("PRAGMA journal_mode = OFF")
            source.backup(db)
        disk.fsync(fd)
    finally:
        os.close(fd)
    write_note(hands.workspace, record.action, recovery.CHANGES, record)


def _read(db: sqlite3.Connection, task_ids: Mapping[str, Row] | Sequence[str]) -> dict[str, Row]:
    found = {}
    for task_id in task_ids:
        row = db.execute(
            f"SELECT {', '.join(COLUMNS)} FROM task_runs WHERE task_id = ?",  # noqa: S608
            (task_id,),
        ).fetchone()
        if row is not None:
            found[task_id] = dict(zip(COLUMNS, row, strict=True))
    return found


def _connect(path: Path, *, writing: bool) -> sqlite3.Connection:
    mode = "rw" if writing else "ro"
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    db = sqlite3.connect(uri, uri=True, timeout=_BUSY_S, isolation_level=None)
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA fullfsync = ON")  # for macOS: past the drive's cache
    return db
