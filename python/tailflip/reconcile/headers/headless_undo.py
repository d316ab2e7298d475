"""Undoes a header that was written anew: the bytes from before, then what was appended since."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from tailflip.base.durable import naming, open_regular
from tailflip.base.errors import TryLater
from tailflip.flow.outcomes import ActionKind, Report
from tailflip.reconcile.headers.leave import require_dead, require_ours, require_there
from tailflip.reconcile.headers.record import CHUNK_BYTES, is_same_from, read_change
from tailflip.stores import draft as drafts
from tailflip.stores import recovery
from tailflip.stores.preflight import find_missing_room, find_refusals, refuse
from tailflip.stores.replace import copy_bytes, try_attempts
from tailflip.stores.restore import RestoreOutcome

if TYPE_CHECKING:
    from pathlib import Path

    from tailflip.base.durable import Disk
    from tailflip.base.workspace import Workspace
    from tailflip.flow.observed import Gateway
    from tailflip.ledger.actions import Action
    from tailflip.observe.installation import Installation
    from tailflip.reconcile.headers.record import HeaderChange
    from tailflip.stores.replace import Source

KINDS = (ActionKind.HEADERS,)


def undo_header(
    action: Action,
    installation: Installation,
    gateway: Gateway,
    *,
    workspace: Workspace,
    apply: bool,
    now_ms: int,
) -> RestoreOutcome:
    """Put the bytes from before back; what was appended since stays behind them.

    Raises:
        TryLater: A gateway lives, or may; or other bytes than the appended ones have changed.
        StoreInvalid: The record or the quarantined file is damaged or gone.
    """
    change = read_change(workspace.home, action.id)
    path = action.store_path
    if apply:
        require_dead(gateway, path)
    require_ours(path)
    with naming(path), open_regular(path) as fd:
        size_bytes = os.fstat(fd).st_size
        is_undone = _is_as_before(fd, workspace.home.quarantined(action.id))
        if not is_undone:
            _require_prefix(path, fd, change)
    outcome = RestoreOutcome(
        store=path,
        actions=(action.id,),
        added=0,
        replaced=int(not is_undone),
        unchanged=int(is_undone),
        conflicts=0,
        conflict_keys=(),
        report=None,
        bytes_before=size_bytes,
        bytes_after=size_bytes - (0 if is_undone else change.header_bytes - change.rest),
    )
    if not apply or is_undone:
        return outcome

    def attempt(source: Source) -> RestoreOutcome:
        return _undo_once(
            source, action, change, outcome=outcome, workspace=workspace, now_ms=now_ms
        )

    with naming(path), workspace.claim():
        recovery.settle_all(workspace)
        refuse(find_refusals(path, installation.state_dir, undoing=True, gateway=gateway))
        return try_attempts(path, workspace.disk, attempt, installation.state_dir)


def _undo_once(
    source: Source,
    action: Action,
    change: HeaderChange,
    *,
    outcome: RestoreOutcome,
    workspace: Workspace,
    now_ms: int,
) -> RestoreOutcome:
    fd, disk, home = require_there(source), workspace.disk, workspace.home
    _require_prefix(source.store, fd, change)
    size_bytes = source.size_bytes
    with open_regular(home.quarantined(action.id)) as old_fd:
        new_bytes = os.fstat(old_fd).st_size + size_bytes - change.bytes
        refuse(
            find_missing_room(source.real, home, new_bytes=new_bytes, removed_bytes=4 * size_bytes)
        )
        with drafts.begin(
            workspace,
            source,
            kind=ActionKind.RESTORE,
            now_ms=now_ms,
            sources=(action.id,),
            undoing=True,
        ) as draft:
            source.copy_to(disk, home.quarantined(draft.action.id))
            copy_bytes(disk, old_fd, draft.fds[0])
            _append(disk, fd, change.bytes, draft.fds[0])
            disk.set_time(draft.fds[0], os.fstat(fd).st_mtime_ns)
            drafts.commit(
                workspace,
                draft,
                digest="",
                is_as_written=lambda written: _is_joined(written, old_fd, fd, change.bytes),
            )
            drafts.finish(workspace, draft)
    report = Report(
        action_id=draft.action.id,
        kind=ActionKind.RESTORE,
        store=str(source.store),
        bytes_before=size_bytes,
        bytes_after=new_bytes,
        lock_held_s=round(draft.lock_held_s, 3),
    )
    return replace(outcome, report=report)


def _require_prefix(path: Path, fd: int, change: HeaderChange) -> None:
    """Refuse a transcript that does not begin with the bytes that we wrote."""
    digest, offset = hashlib.sha256(), 0
    while offset < change.bytes:
        chunk = os.pread(fd, min(CHUNK_BYTES, change.bytes - offset), offset)
        if not chunk:
            break
        digest.update(chunk)
        offset += len(chunk)
    if offset != change.bytes or digest.hexdigest() != change.sha256:
        raise TryLater(
            f"transcript was changed since its header was written anew, and not by appending: "
            f"{path}; nothing was changed",
            hint="what it was before is kept; `tailflip archive list` shows where",
        )


def _append(disk: Disk, from_fd: int, offset: int, to_fd: int) -> None:
    while chunk := os.pread(from_fd, CHUNK_BYTES, offset):
        disk.write(to_fd, chunk)
        offset += len(chunk)


def _is_joined(fd: int, old_fd: int, healed_fd: int, appended_at: int) -> bool:
    """Read an undone file again: the old bytes, and behind them what was appended since."""
    at = os.fstat(old_fd).st_size
    return (
        os.fstat(fd).st_size == at + os.fstat(healed_fd).st_size - appended_at
        and is_same_from(fd, 0, old_fd, 0, at)
        and is_same_from(fd, at, healed_fd, appended_at, None)
    )


def _is_as_before(fd: int, before: Path) -> bool:
    """Say whether a transcript begins with the bytes from before: it was undone already."""
    with naming(before), open_regular(before) as old_fd:
        return is_same_from(fd, 0, old_fd, 0, os.fstat(old_fd).st_size)
