"""Puts the archived lines back into a slimmed transcript; what was appended since stays.

The slimmed transcript must begin with the very bytes that we wrote: a digest proves it. If it does
not, somebody rewrote it, and nothing is put back.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from tailflip.base import clock
from tailflip.base.durable import naming, open_regular
from tailflip.base.errors import ArchiveDamaged, StoreChanged, StoreInvalid
from tailflip.flow.late import dataclass
from tailflip.flow.outcomes import ActionKind, Report
from tailflip.ledger.actions import Ledger, State
from tailflip.stores import draft as drafts
from tailflip.stores import recovery
from tailflip.stores.archive import reading_records
from tailflip.stores.extension import report_to
from tailflip.stores.preflight import find_missing_room, find_refusals, refuse
from tailflip.stores.slimmed import read_manifest
from tailflip.transcripts import native
from tailflip.transcripts.opened import opening

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tailflip.base.progress import Progress
    from tailflip.base.state_dir import Home
    from tailflip.base.workspace import Workspace
    from tailflip.flow.numbers import SlimNumbers, UnslimNumbers
    from tailflip.flow.observed import Gateway
    from tailflip.ledger.actions import Action
    from tailflip.transcripts.opened import Transcript

_UNTOUCHED = "nothing was changed"


@dataclass(frozen=True)
class Unslimmed:
    """A transcript as it would be, or is again if there is a `report`.

    `lines` come back; none where it has them already. `appended` bytes were written since, and
    stay.
    """

    path: Path
    action_id: str
    lines: int
    appended: int
    bytes_before: int
    bytes_after: int
    report: Report | None = None


def list_slims(
    actions: Iterable[Action], is_wanted: Callable[[Action], bool] = lambda _: True
) -> tuple[Action, ...]:
    """List the actions that slimmed a transcript and were not undone, newest first."""
    done = [a for a in actions if a.state in (State.COMMITTED, State.DONE)]
    undone = {source for a in done if a.kind == ActionKind.RESTORE for source in a.details.sources}
    return tuple(
        a for a in done if a.kind == ActionKind.SLIM and a.id not in undone and is_wanted(a)
    )


def undo(
    workspace: Workspace,
    action: Action,
    *,
    apply: bool,
    now_ms: int,
    state_dir: Path | None = None,
    gateway: Gateway | None = None,
    on_progress: Progress | None = None,
) -> Unslimmed:
    """Plan to undo one slimming; with `apply`, undo it, under the transcript's own lock.

    Raises:
        StoreInvalid: the transcript is missing, or is not the one that we wrote.
        ArchiveDamaged: a byte of the archive is not what was written.
        TryLater: the session is in use, or the transcript changes all the time.
        CannotCreate: no room.
    """
    path, started = action.store_path, clock.monotonic_s()
    if not apply:
        with naming(path), open_regular(path) as fd:
            return _measure(workspace, action, fd, on_progress)[0]
    with naming(path), workspace.claim():
        recovery.settle_all(workspace)
        refuse(find_refusals(path, state_dir, undoing=True, gateway=gateway))
        with opening(path, workspace.disk, state_dir) as transcript:
            done = _undo(transcript, action, workspace, now_ms, on_progress)
    if done.report is None:
        return done
    took_s = drafts.measure_s(started)
    return replace(done, report=done.report.model_copy(update={"took_s": took_s}))


def _measure(
    workspace: Workspace, action: Action, fd: int, on_progress: Progress | None
) -> tuple[Unslimmed, SlimNumbers, UnslimNumbers | None]:
    """Compare a transcript and its archive with the manifest.

    Raises:
        StoreInvalid: the transcript does not begin with what we wrote.
        ArchiveDamaged: the archive is not what was written.
    """
    path, size_bytes = action.store_path, os.fstat(fd).st_size
    known = read_manifest(workspace.home, action.id).numbers
    if size_bytes >= known.bytes and native.digest(fd, 0, known.bytes) == known.digest:
        there = size_bytes - known.bytes
        return Unslimmed(path, action.id, 0, there, size_bytes, size_bytes), known, None
    if (
        size_bytes < known.bytes_after
        or native.digest(fd, 0, known.bytes_after) != known.digest_after
    ):
        raise _explain_other(workspace, action)
    found = _join(workspace.home, action, fd, known, on_progress=on_progress)
    if (found.bytes, found.digest) != (known.bytes, known.digest):
        raise ArchiveDamaged(
            f"archive is not what was written: {workspace.home.records(action.id)}; {_UNTOUCHED}",
            hint="`zstdcat records.zst` in that folder shows what can still be read",
        )
    plan = Unslimmed(
        path, action.id, found.lines, found.appended, size_bytes, found.bytes + found.appended
    )
    return plan, known, found


def _join(
    home: Home,
    action: Action,
    fd: int,
    known: SlimNumbers,
    *,
    fd_out: int | None = None,
    on_progress: Progress | None = None,
) -> UnslimNumbers:
    with reading_records(home, action.id) as archive:
        return native.unslim(
            fd,
            archive,
            slim_bytes=known.bytes_after,
            name=action.id,
            fd_out=fd_out,
            on_progress=report_to(on_progress, "restore", known.bytes),
        )


def _explain_other(workspace: Workspace, action: Action) -> StoreInvalid:
    """Say why a transcript does not begin with what we wrote."""
    path = action.store_path
    later = [
        each
        for each in list_slims(Ledger(workspace).read_all())
        if each.store == action.store and each.id > action.id
    ]
    if later:
        return StoreInvalid(
            f"transcript was slimmed again since: {path}; {_UNTOUCHED}",
            hint=f"undo that first: `tailflip restore {later[0].id} --apply`",
        )
    return StoreInvalid(
        f"transcript was rewritten since it was slimmed, not only appended to: {path}; "
        f"{_UNTOUCHED}",
        hint=f"the lines as they were: `zstdcat {workspace.home.records(action.id)}`",
    )


def _undo(
    transcript: Transcript,
    action: Action,
    workspace: Workspace,
    now_ms: int,
    on_progress: Progress | None,
) -> Unslimmed:
    plan, known, found = _measure(workspace, action, transcript.fd, on_progress)
    if found is None:
        return plan
    refuse(
        find_missing_room(
            transcript.source.real, workspace.home, new_bytes=plan.bytes_after, removed_bytes=0
        )
    )
    tail = native.digest(transcript.fd, known.bytes_after, plan.bytes_before)

    def is_as_written(fd: int) -> bool:
        return (
            os.fstat(fd).st_size == plan.bytes_after
            and native.digest(fd, 0, known.bytes) == known.digest
            and native.digest(fd, known.bytes, plan.bytes_after) == tail
        )

    with drafts.begin(
        workspace,
        transcript,
        kind=ActionKind.RESTORE,
        now_ms=now_ms,
        sources=(action.id,),
        undoing=True,
    ) as draft:
        written = _join(workspace.home, action, transcript.fd, known, fd_out=draft.fds[0])
        if written != found:
            raise StoreChanged(f"transcript changed while it was read: {action.store_path}")
        drafts.commit(workspace, draft, digest=found.digest, is_as_written=is_as_written)
        drafts.finish(workspace, draft)
    report = Report(
        action_id=draft.action.id,
        kind=ActionKind.RESTORE,
        store=str(action.store_path),
        bytes_before=plan.bytes_before,
        bytes_after=plan.bytes_after,
        lock_held_s=round(draft.lock_held_s, 3),
    )
    return replace(plan, report=report)
