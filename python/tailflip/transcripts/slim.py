"""Slims a transcript: what its model will never see again leaves it, and is archived whole.

lock → measure → room → intent in the ledger → slimmed draft and archive written → archive synced
→ both read back, and compared with the transcript line by line → archived in the ledger → still
the same file? → rename → sync → committed → done → unlock
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tailflip.base import clock
from tailflip.base.durable import naming, open_regular
from tailflip.base.errors import InternalError
from tailflip.base.units import format_counted
from tailflip.flow.late import dataclass
from tailflip.flow.outcomes import ActionKind, Report
from tailflip.stores import draft as drafts
from tailflip.stores import recovery
from tailflip.stores.extension import report_to
from tailflip.stores.preflight import find_missing_room, find_refusals, refuse
from tailflip.stores.slimmed import write_manifest
from tailflip.transcripts import native
from tailflip.transcripts.opened import opening

if TYPE_CHECKING:
    from pathlib import Path

    from tailflip.base.progress import Progress
    from tailflip.base.workspace import Workspace
    from tailflip.flow.numbers import SlimNumbers
    from tailflip.flow.observed import Gateway
    from tailflip.stores.draft import Draft
    from tailflip.transcripts.opened import Transcript

# As long as every name of an archive: a forecast must be right to the byte.
_ANY_NAME = "00000000T000000Z-000000"
# Pictures hardly become smaller, texts a great deal: `find_missing_room` takes a quarter of this.
_IMAGE_SHARE = 4


@dataclass(frozen=True)
class Slimmed:
    """A transcript that was slimmed, or had nothing to slim: then the report has no action."""

    report: Report
    numbers: SlimNumbers


def forecast(path: Path, on_progress: Progress | None = None) -> SlimNumbers:
    """Tell what slimming a transcript would do; reads only, and takes no lock.

    Raises:
        StoreInvalid: it is missing or not a regular file.
    """
    with naming(path), open_regular(path) as fd:
        report = report_to(on_progress, "measure", os.fstat(fd).st_size)
        return native.measure(fd, _ANY_NAME, report)


def slim(
    path: Path,
    *,
    workspace: Workspace,
    now_ms: int,
    state_dir: Path | None = None,
    gateway: Gateway | None = None,
    on_progress: Progress | None = None,
) -> Slimmed:
    """Slim one transcript, under its own lock.

    Whether the session may be touched beside a living gateway is for the caller to decide
    (`choice`); a lock that is held is always respected.

    Args:
        path: of the transcript; no link.
        workspace: where the archive goes, and the effects.
        now_ms: wall clock; names the action.
        state_dir: of its installation, where that is known.
        gateway: that of the installation; one that would not honour our lock is refused.
        on_progress: as for a compaction.

    Raises:
        TryLater: the session is in use, or the transcript changed meanwhile.
        StoreInvalid: it is missing or not a regular file.
        CannotCreate: no room.
    """
    path, started = path.absolute(), clock.monotonic_s()
    with naming(path), workspace.claim():
        recovery.settle_all(workspace)
        refuse(find_refusals(path, state_dir, gateway=gateway))
        with opening(path, workspace.disk, state_dir) as transcript:
            done = _slim(transcript, workspace, now_ms, on_progress)
    report = done.report.model_copy(update={"took_s": drafts.measure_s(started)})
    return Slimmed(report, done.numbers)


def _slim(
    transcript: Transcript, workspace: Workspace, now_ms: int, on_progress: Progress | None
) -> Slimmed:
    report = report_to(on_progress, "measure", transcript.source.size_bytes)
    found = native.measure(transcript.fd, _ANY_NAME, report)
    nothing = Report(
        action_id="",
        kind=ActionKind.SLIM,
        store=str(transcript.store),
        bytes_before=found.bytes,
        bytes_after=found.bytes,
    )
    if not found.saves:
        return Slimmed(nothing, found)
    texts = found.bytes - min(found.bytes, found.bytes_after) - found.image_bytes
    refuse(
        find_missing_room(
            transcript.source.real,
            workspace.home,
            new_bytes=found.bytes_after,
            removed_bytes=_IMAGE_SHARE * found.image_bytes + max(0, texts),
        )
    )
    with drafts.begin(workspace, transcript, kind=ActionKind.SLIM, now_ms=now_ms) as draft:
        numbers = _write(transcript, draft, workspace, on_progress)
        if (numbers.bytes_after, numbers.lines) != (found.bytes_after, found.lines):
            raise InternalError(
                "forecast and slimming disagree: "
                f"{format_counted(found.bytes_after, 'byte')} expected, "
                f"{numbers.bytes_after:,} written: {transcript.store}"
            )
        drafts.commit(
            workspace,
            draft,
            digest=numbers.digest_after,
            is_as_written=lambda fd: _is_proven(
                (transcript.fd, fd), draft, workspace, numbers, on_progress
            ),
        )
        drafts.finish(workspace, draft, freed_bytes=numbers.bytes - numbers.bytes_after)
    action = draft.action
    done = nothing.model_copy(
        update={
            "action_id": action.id,
            "bytes_after": numbers.bytes_after,
            "archive": str(workspace.home.archive(action.id)),
            "archive_bytes": numbers.archive_bytes,
            "lock_held_s": round(draft.lock_held_s, 3),
            "undo": f"tailflip restore {action.id} --apply",
        }
    )
    return Slimmed(done, numbers)


def _write(
    transcript: Transcript, draft: Draft, workspace: Workspace, on_progress: Progress | None
) -> SlimNumbers:
    """Write draft and archive; return when the archive is synced and has its name."""
    action, disk = draft.action, workspace.disk
    partial = workspace.home.archive(action.id) / recovery.PARTIAL
    disk.mkdir(workspace.home.archive(action.id), 0o700)
    archive_fd = disk.open_new(partial, 0o600)
    try:
        numbers = native.slim(
            transcript.fd,
            draft.fds[0],
            archive_fd,
            name=action.id,
            now_ms=action.created_ms,
            on_progress=report_to(on_progress, "slim", transcript.source.size_bytes),
        )
        disk.fsync(archive_fd)
    finally:
        os.close(archive_fd)
    disk.rename(partial, workspace.home.records(action.id))
    write_manifest(workspace, action, numbers)
    return numbers


def _is_proven(
    files: tuple[int, int],
    draft: Draft,
    workspace: Workspace,
    numbers: SlimNumbers,
    on_progress: Progress | None,
) -> bool:
    """Read draft and archive back: together they are the transcript, and differ as ruled."""
    (original, fd), action = files, draft.action
    with open_regular(workspace.home.records(action.id)) as archive:
        proven = native.unslim(
            fd,
            archive,
            slim_bytes=numbers.bytes_after,
            name=action.id,
            original=original,
            on_progress=report_to(on_progress, "verify", numbers.bytes),
        )
    return (proven.bytes, proven.digest, proven.digest_after, proven.appended, proven.lines) == (
        numbers.bytes,
        numbers.digest,
        numbers.digest_after,
        0,
        numbers.lines,
    )
