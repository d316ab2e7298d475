"""Writes the gateway's cron store, and undoes that, while the gateway is provably stopped.

The gateway holds its jobs in memory, looks at no lock and overwrites the file.
So the steps are: gateway provably gone, intent in the ledger, the old file kept whole in our
archive, new file written beside, synced, read back, gateway still gone, rename.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from tailflip.base.durable import naming
from tailflip.base.errors import StoreInvalid, TryLater
from tailflip.flow.late import dataclass
from tailflip.flow.outcomes import ActionKind, Report
from tailflip.flow.values import Value
from tailflip.observe.gateway.liveness import read_gateway
from tailflip.observe.records.cron import MAX_BYTES
from tailflip.reconcile.write.jsonedit import MISSING, Edit, edit_jobs, read_member
from tailflip.reconcile.write.record import ChangeRecord, read_record
from tailflip.stores import draft as drafts
from tailflip.stores import recovery
from tailflip.stores.notes import write_note
from tailflip.stores.preflight import find_refusals, refuse
from tailflip.stores.replace import open_source, try_attempts, write_file
from tailflip.stores.restore import RestoreOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tailflip.base.state_dir import Home
    from tailflip.base.workspace import Workspace
    from tailflip.ledger.actions import Action
    from tailflip.observe.installation import Installation
    from tailflip.reconcile.judge.markers import Change
    from tailflip.stores.replace import Source

_T = TypeVar("_T")

KINDS = (ActionKind.MARKERS, ActionKind.HOLD)


@dataclass(frozen=True)
class Hands:
    """The gateway's installation and our own files for a write; `env` is the gateway's."""

    installation: Installation
    env: Mapping[str, str]
    workspace: Workspace

    def require_stopped(self) -> None:
        """Refuse unless the gateway is provably gone.

        Raises:
            TryLater: It runs, or we cannot tell whether it does.
        """
        gateway = read_gateway(self.installation, self.env)
        if gateway.alive is not False:
            state = "is running" if gateway.alive else "may be running"
            raise TryLater(
                f"the gateway {state} ({gateway.evidence}): its ledgers in "
                f"{self.installation.state_dir} are written only while it is stopped; "
                "nothing was changed",
                hint="stop the gateway first, or let `tailflip gate` do it before the next start",
            )


class EditRecord(Value):
    """One changed member; `before` and `after` hold the value, empty for none."""

    job_id: str
    path: tuple[str, ...]
    before: tuple[int | float | bool | str | None, ...]
    after: tuple[int | float | bool | str | None, ...]


class Changes(ChangeRecord):
    """The record of one action on the cron store."""

    digest_before: str
    digest_after: str
    edits: tuple[EditRecord, ...]


def apply_changes(
    changes: Sequence[Change],
    *,
    kind: ActionKind,
    hands: Hands,
    now_ms: int,
) -> str | None:
    """Write changes of one kind to the cron store; return the action's id, None without a change.

    Raises:
        TryLater: A gateway runs, may run, or started while we worked.
        StoreInvalid: The cron store is not plain JSON.
    """
    edits = [edit for change in changes for edit in change.edits]
    words = tuple(f"{change.title}: {'; '.join(change.words)}" for change in changes)
    path = hands.installation.cron_store

    def attempt(source: Source) -> str | None:
        old = _read(source)
        new = edit_jobs(old, edits)
        if new == old:
            return None
        record = Changes(
            action="",
            kind=kind,
            state_dir=str(hands.installation.state_dir),
            store=str(source.store),
            created_ms=now_ms,
            digest_before=_digest(old),
            digest_after=_digest(new),
            edits=tuple(_record(old, edit) for edit in edits),
            words=words,
        )
        return _replace(source, old, new, record, hands)

    return _try(path, hands, attempt)


def undo_changes(
    action: Action,
    *,
    hands: Hands,
    apply: bool,
    now_ms: int,
) -> RestoreOutcome:
    """Undo one action: put the whole old file back, or single members where the file changed since.

    A member that has another value by now stays, and counts as a conflict.
    """
    record = read_record(hands.workspace.home, action.id, Changes)
    path = action.store_path

    def attempt(source: Source) -> RestoreOutcome:
        current = _read(source)
        new, back, conflicts = _plan_undo(hands.workspace.home, record, current)
        done = RestoreOutcome(
            store=path,
            actions=(action.id,),
            added=0,
            replaced=len(back),
            unchanged=len(record.edits) - len(back) - len(conflicts),
            conflicts=len(conflicts),
            conflict_keys=tuple(f"{e.job_id} {'.'.join(e.path)}" for e in conflicts),
            report=None,
        )
        if not apply or new == current:
            return done
        undo = record.model_copy(
            update={
                "kind": ActionKind.RESTORE,
                "created_ms": now_ms,
                "digest_before": _digest(current),
                "digest_after": _digest(new),
                "words": (f"undoes {action.id}",),
                "edits": tuple(_swap(edit) for edit in back),
            }
        )
        action_id = _replace(source, current, new, undo, hands)
        report = _report(action_id, path, len(current), len(new))
        return replace(done, report=report)

    if not apply:
        with naming(path), open_source(path) as source:
            return attempt(source)
    return _try(path, hands, attempt, undoing=True)


def _try(path: Path, hands: Hands, attempt: Callable[[Source], _T], *, undoing: bool = False) -> _T:
    hands.require_stopped()
    with naming(path), hands.workspace.claim():
        recovery.settle_all(hands.workspace)
        refuse(find_refusals(path, hands.installation.state_dir, undoing=undoing))
        return try_attempts(path, hands.workspace.disk, attempt, hands.installation.state_dir)


def _replace(
    source: Source,
    old: bytes,
    new: bytes,
    record: Changes,
    hands: Hands,
) -> str:
    workspace = hands.workspace
    sources = () if record.kind != ActionKind.RESTORE else (record.action,)
    with drafts.begin(
        workspace,
        source,
        kind=record.kind,
        now_ms=record.created_ms,
        sources=sources,
        undoing=record.kind == ActionKind.RESTORE,
    ) as draft:
        _keep(workspace, draft.action.id, record, old)
        workspace.disk.write(draft.fds[0], new)

        def is_as_written(fd: int) -> bool:
            hands.require_stopped()  # the gateway may have been started meanwhile
            return os.pread(fd, len(new) + 1, 0) == new

        drafts.commit(workspace, draft, digest=record.digest_after, is_as_written=is_as_written)
        drafts.finish(workspace, draft)
    return draft.action.id


def _keep(workspace: Workspace, action_id: str, record: Changes, old: bytes) -> None:
    """Archive the old file and the record of changes, before the change."""
    disk, folder = workspace.disk, workspace.home.archive(action_id)
    disk.mkdir(folder, 0o700)
    write_file(disk, folder / recovery.BEFORE, old)
    named = record.model_copy(update={"action": action_id})
    write_note(workspace, action_id, recovery.CHANGES, named)


def _plan_undo(
    home: Home, record: Changes, current: bytes
) -> tuple[bytes, list[EditRecord], list[EditRecord]]:
    """Choose the new text, the members that go back, and the conflicts."""
    if _digest(current) == record.digest_after:
        path = home.archive(record.action) / recovery.BEFORE
        with naming(path):
            old = path.read_bytes()
        if _digest(old) != record.digest_before:
            raise StoreInvalid(f"archived cron store is not what was written: {path}")
        return old, list(record.edits), []
    back, conflicts = [], []
    for edit in record.edits:
        now = read_member(current, edit.job_id, edit.path)
        if now == _value(edit.after) and type(now) is type(_value(edit.after)):
            back.append(edit)
        elif now != _value(edit.before):
            conflicts.append(edit)
    edits = [Edit(edit.job_id, edit.path, _value(edit.before)) for edit in back]
    return edit_jobs(current, edits), back, conflicts


def _record(old: bytes, edit: Edit) -> EditRecord:
    before = read_member(old, edit.job_id, edit.path)
    return EditRecord(
        job_id=edit.job_id, path=edit.path, before=_optional(before), after=_optional(edit.value)
    )


def _swap(edit: EditRecord) -> EditRecord:
    return edit.model_copy(update={"before": edit.after, "after": edit.before})


def _optional(value: object) -> tuple[int | float | bool | str | None, ...]:
    if value is MISSING:
        return ()
    if value is None or isinstance(value, int | float | str):
        return (value,)
    raise StoreInvalid("a member of the cron store is not what it must be; nothing was changed")


def _value(stored: tuple[int | float | bool | str | None, ...]) -> object:
    return stored[0] if stored else MISSING


def _read(source: Source) -> bytes:
    if source.fd is None:
        raise StoreInvalid(f"cron store is missing: {source.store}")
    size_bytes = os.fstat(source.fd).st_size
    if size_bytes > MAX_BYTES:
        raise StoreInvalid(f"cron store is larger than {MAX_BYTES} bytes: {source.store}")
    return os.pread(source.fd, size_bytes + 1, 0)


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def _report(action_id: str, path: Path, before: int, after: int) -> Report:
    return Report(
        action_id=action_id,
        kind=ActionKind.RESTORE,
        store=str(path),
        bytes_before=before,
        bytes_after=after,
    )
