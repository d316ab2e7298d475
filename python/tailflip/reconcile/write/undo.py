"""Undoes the actions of reconciliation on the gateway's own ledgers and transcripts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.observe.gateway.liveness import read_gateway
from tailflip.observe.installation import locate
from tailflip.reconcile.headers import headless_undo
from tailflip.reconcile.headers.record import read_change
from tailflip.reconcile.write import cron_store, rows, task_ledger
from tailflip.reconcile.write.cron_store import Hands
from tailflip.reconcile.write.holds import is_of_rows
from tailflip.reconcile.write.record import read_record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tailflip.base.workspace import Workspace
    from tailflip.ledger.actions import Action
    from tailflip.reconcile.write.record import ChangeRecord
    from tailflip.stores.restore import RestoreOutcome

KINDS = cron_store.KINDS + task_ledger.KINDS + headless_undo.KINDS


def undo(
    action: Action,
    *,
    env: Mapping[str, str],
    workspace: Workspace,
    apply: bool,
    now_ms: int,
    state_dir: Path | None = None,
) -> RestoreOutcome:
    """Undo one action of a kind in `KINDS`.

    Args:
        action: One of our ledger.
        env: The gateway's environment.
        workspace: Where the archives are, and the effects.
        apply: Undo it; without, report what would change.
        now_ms: Names the undoing action.
        state_dir: The gateway's present state directory, if it was moved.

    Raises:
        TryLater: The gateway runs, or may.
        StoreInvalid: The archive is damaged.
    """
    if action.kind in headless_undo.KINDS:
        return _undo_header(
            action, env=env, workspace=workspace, apply=apply, now_ms=now_ms, state_dir=state_dir
        )
    take_back, form = _choose(action)
    recorded = Path(read_record(workspace.home, action.id, form).state_dir)
    installation = locate(env, state_dir=state_dir or recorded)
    hands = Hands(installation, env, workspace)
    return take_back(action, hands=hands, apply=apply, now_ms=now_ms)


def _undo_header(
    action: Action,
    *,
    env: Mapping[str, str],
    workspace: Workspace,
    apply: bool,
    now_ms: int,
    state_dir: Path | None,
) -> RestoreOutcome:
    recorded = Path(read_change(workspace.home, action.id).state_dir)
    installation = locate(env, state_dir=state_dir or recorded)
    return headless_undo.undo_header(
        action,
        installation,
        read_gateway(installation, env),
        workspace=workspace,
        apply=apply,
        now_ms=now_ms,
    )


def _choose(action: Action) -> tuple[Callable[..., RestoreOutcome], type[ChangeRecord]]:
    """Choose the undo of an action, and the form of its record."""
    if action.kind in task_ledger.KINDS:
        return task_ledger.undo_corrections, task_ledger.TaskChanges
    if is_of_rows(action):
        return rows.undo_rows, rows.RowChanges
    return cron_store.undo_changes, cron_store.Changes
