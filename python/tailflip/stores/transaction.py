"""One compaction: archive, rewrite, verify, commit. Removed entries are archived first.

refuse early → survey → room → intent in the ledger → archive and new store written
→ both read back and synced → archived in the ledger → lock → still the same file?
→ rename → sync → committed → unlock → transcripts → done
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tailflip.base import clock
from tailflip.base.durable import naming
from tailflip.base.errors import InternalError, StoreInvalid
from tailflip.base.units import format_counted
from tailflip.flow.numbers import RewriteNumbers, VerifyNumbers
from tailflip.flow.outcomes import ActionKind, Report
from tailflip.stores import archive, recovery
from tailflip.stores import draft as drafts
from tailflip.stores.formats import find_engine
from tailflip.stores.preflight import find_missing_room, find_refusals, refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from tailflip.base.progress import Progress
    from tailflip.base.workspace import Workspace
    from tailflip.flow.numbers import Measured
    from tailflip.flow.observed import Evidence, Gateway, Store
    from tailflip.plan.policy import Policy
    from tailflip.stores.draft import Draft
    from tailflip.stores.engine import Engine, Opened


def compact_store(
    store: Store,
    policy: Policy,
    evidence: Evidence,
    *,
    workspace: Workspace,
    now_ms: int,
    on_progress: Progress | None = None,
    expected: Measured | None = None,
) -> Report:
    """Compact one store, as the policy says and as far as the evidence allows.

    Args:
        store: Its path may be a symbolic link; the file behind it is replaced.
        policy: The rules; ages count from `now_ms`.
        evidence: Gathered just now.
        workspace: Where the archive goes, and the effects.
        now_ms: Wall clock; also names the folder of archived transcripts.
        on_progress: Called from this thread, at most ten times a second.
        expected: A survey that was shown to the user. It saves the first survey here; if
            the store is no longer the same, it is surveyed again.

    Returns:
        A report; its `action_id` is empty when there was nothing to do.

    Raises:
        StoreInvalid: Not JSON, duplicate keys, or not a regular file.
        CannotCreate: No room.
        TryLater: Locked, or changing all the time.
    """
    engine = find_engine(store.path.absolute())
    return _change(
        store,
        lambda source: engine.survey_opened(source, policy, evidence, now_ms, on_progress),
        workspace=workspace,
        now_ms=now_ms,
        gateway=evidence.gateway,
        expected=expected,
        on_progress=on_progress,
    )


def repair_store(
    store: Store,
    *,
    workspace: Workspace,
    now_ms: int,
    gateway: Gateway,
    expected: Measured | None = None,
    reads_events: bool = True,
    gives_back: bool = False,
    on_progress: Progress | None = None,
) -> Report:
    """Do what a store needs whatever the policy, as `Engine.find_repairs` finds it.

    Arguments, report and errors are as for a compaction; `reads_events` and `gives_back` as there.
    """
    engine = find_engine(store.path.absolute())

    def look(source: Opened) -> Measured | None:
        return engine.find_repairs(
            source.real, now_ms, reads_events=reads_events, gives_back=gives_back
        )

    return _change(
        store,
        look,
        workspace=workspace,
        now_ms=now_ms,
        gateway=gateway,
        expected=expected,
        on_progress=on_progress,
    )


def _change(
    store: Store,
    survey: Callable[[Opened], Measured | None],
    *,
    workspace: Workspace,
    now_ms: int,
    gateway: Gateway,
    expected: Measured | None,
    on_progress: Progress | None,
) -> Report:
    """Change a store as `expected`, or as it is surveyed."""
    path = store.path.absolute()
    started = clock.monotonic_s()
    plans = [expected] if expected is not None else []
    engine = find_engine(path)

    def attempt(source: Opened) -> Report:
        if source.is_missing:
            raise StoreInvalid(
                f"store is missing: {path}; nothing was changed",
                hint="look again: `tailflip compact` without --apply looks for a backup",
            )
        surveyed = plans.pop() if plans else survey(source)
        if surveyed is None:
            size_bytes = source.size_bytes
            return Report(
                action_id="",
                kind=ActionKind.COMPACT,
                store=str(source.store),
                bytes_before=size_bytes,
                bytes_after=size_bytes,
            )
        return _compact_once(
            engine, source, surveyed, workspace=workspace, now_ms=now_ms, on_progress=on_progress
        )

    with naming(path), workspace.claim():
        recovery.settle_all(workspace)
        refuse(find_refusals(path, store.state_dir, gateway=gateway))
        report = engine.attempt(path, workspace.disk, attempt, store.state_dir)
    return report.model_copy(update={"took_s": drafts.measure_s(started)})


def _compact_once(
    engine: Engine,
    source: Opened,
    surveyed: Measured,
    *,
    workspace: Workspace,
    now_ms: int,
    on_progress: Progress | None,
) -> Report:
    numbers = surveyed.numbers
    for refusal in engine.refuse(source.store, surveyed):
        raise refusal
    nothing = Report(
        action_id="",
        kind=ActionKind.COMPACT,
        store=str(source.store),
        entries_before=numbers.entries,
        entries_after=numbers.entries,
        bytes_before=numbers.bytes,
        bytes_after=numbers.bytes,
    )
    if not any(tally.entries or tally.bytes for tally in numbers.rules):
        return nothing
    refuse(
        find_missing_room(
            source.real,
            workspace.home,
            new_bytes=numbers.bytes_after,
            removed_bytes=numbers.bytes - min(numbers.bytes, numbers.bytes_after),
        )
    )
    with drafts.begin(workspace, source, kind=ActionKind.COMPACT, now_ms=now_ms) as draft:
        rewrite = _write(
            workspace, engine, source, draft=draft, surveyed=surveyed, on_progress=on_progress
        )
        written = VerifyNumbers.of(rewrite)
        drafts.commit(
            workspace,
            draft,
            digest=rewrite.digest,
            is_as_written=lambda fd: engine.verify(fd, on_progress) == written,
        )
        left_bytes = None
        if numbers.is_bound:  # a few free pages may be left in the file
            left_bytes = min(rewrite.bytes, source.real.stat().st_size)
        after_bytes = rewrite.bytes if left_bytes is None else left_bytes
        freed_bytes = max(0, numbers.bytes - after_bytes)
        transcripts, warnings = drafts.finish(
            workspace, draft, freed_bytes=freed_bytes, left_bytes=left_bytes
        )
    action = draft.action
    done = nothing.model_copy(
        update={
            "action_id": action.id,
            "entries_after": rewrite.entries,
            "bytes_after": after_bytes,
            "rules": rewrite.rules,
            "transcripts": transcripts,
            "lock_held_s": round(draft.lock_held_s, 3),
            "warnings": warnings,
        }
    )
    if not rewrite.records:  # free pages alone were given back
        return done
    return done.model_copy(
        update={
            "archive": str(workspace.home.archive(action.id)),
            "archive_bytes": rewrite.archive_bytes,
            "undo": action.undo,
        }
    )


def _write(
    workspace: Workspace,
    engine: Engine,
    source: Opened,
    *,
    draft: Draft,
    surveyed: Measured,
    on_progress: Progress | None,
) -> RewriteNumbers:
    """Write the new store and the archive; return when the archive is read back and synced."""
    action, numbers = draft.action, surveyed.numbers
    partial = workspace.home.archive(action.id) / recovery.PARTIAL
    workspace.disk.mkdir(workspace.home.archive(action.id), 0o700)
    archive_fd = workspace.disk.open_new(partial, 0o600)
    try:
        rewrite = engine.draft(source, surveyed, draft.fds[0], archive_fd, on_progress)
        if (rewrite.entries, rewrite.bytes) != (numbers.entries_after, numbers.bytes_after):
            raise InternalError(
                f"survey and rewrite disagree: {format_counted(numbers.entries_after, 'entry')} in "
                f"{format_counted(numbers.bytes_after, 'byte')} expected, {rewrite.entries:,} in "
                f"{rewrite.bytes:,} written: {source.store}"
            )
        workspace.disk.fsync(archive_fd)
    finally:
        os.close(archive_fd)
    workspace.disk.rename(partial, workspace.home.records(action.id))
    archive.write_manifest(workspace, action, numbers, rewrite)
    return rewrite
