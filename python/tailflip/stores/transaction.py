"""One compaction: archive, rewrite, verify, commit. Nothing leaves that was not kept first.

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
from tailflip.flow.outcomes import Report
from tailflip.stores import archive, recovery
from tailflip.stores.json import native, swap
from tailflip.stores.preflight import find_missing_room, find_refusals, refuse, refuse_duplicates

if TYPE_CHECKING:
    from tailflip.base.durable import Disk
    from tailflip.base.state_dir import Home
    from tailflip.flow.observed import Evidence, Store
    from tailflip.plan.policy import Policy
    from tailflip.stores.json.native import Surveyed
    from tailflip.stores.json.swap import Draft, Progress, Source


def compact_store(
    store: Store,
    policy: Policy,
    evidence: Evidence,
    *,
    home: Home,
    disk: Disk,
    now_ms: int,
    on_progress: Progress | None = None,
    expected: Surveyed | None = None,
) -> Report:
    """Compact one store, as the policy says and as far as the evidence allows.

    Args:
        store: Its path may be a symbolic link; the file behind it is replaced.
        policy: Compiled with `now_ms`.
        evidence: Gathered just now.
        home: Where the archive goes.
        disk: The effects.
        now_ms: Also the name under which transcripts are archived.
        on_progress: Called from this thread, at most ten times a second.
        expected: A survey that was shown to the user. It saves the first one here; if
            the store is no longer the same, it is surveyed again.

    Returns:
        What was done; `action_id` is empty when there was nothing to do.

    Raises:
        StoreInvalid: Not JSON, duplicate keys, or not a regular file.
        CannotCreate: No room.
        TryLater: Locked, or changing all the time.
    """
    path = store.path.absolute()
    started = clock.monotonic_s()
    plans = [expected] if expected is not None else []

    def attempt(source: Source) -> Report:
        if source.fd is None:
            raise StoreInvalid(
                f"store is missing: {path}; nothing was changed",
                hint="look again: `tailflip compact` without --apply looks for a backup",
            )
        if plans:
            surveyed = plans.pop()
        else:
            size_bytes = os.fstat(source.fd).st_size
            report = swap.report_to(on_progress, "survey", size_bytes)
            surveyed = native.survey(source.fd, policy, evidence, now_ms, report)
        return _compact_once(
            source, surveyed, home=home, disk=disk, now_ms=now_ms, on_progress=on_progress
        )

    with naming(path), home.claim(disk):
        recovery.settle_all(home, disk)
        refuse(find_refusals(path, store.state_dir, gateway=evidence.gateway))
        report = swap.try_attempts(path, disk, attempt, store.state_dir)
    return report.model_copy(update={"took_s": swap.measure_s(started)})


def _compact_once(
    source: Source,
    surveyed: Surveyed,
    *,
    home: Home,
    disk: Disk,
    now_ms: int,
    on_progress: Progress | None,
) -> Report:
    numbers = surveyed.numbers
    refuse_duplicates(surveyed, source.store)
    nothing = Report(
        action_id="",
        kind="compact",
        store=str(source.store),
        entries_before=numbers.entries,
        entries_after=numbers.entries,
        bytes_before=numbers.bytes,
        bytes_after=numbers.bytes,
    )
    if not any(tally.entries for tally in numbers.rules):
        return nothing
    refuse(
        find_missing_room(
            source.real,
            home,
            new_bytes=numbers.bytes_after,
            removed_bytes=numbers.bytes - min(numbers.bytes, numbers.bytes_after),
        )
    )
    with swap.begin(home, disk, source, kind="compact", now_ms=now_ms) as draft:
        rewrite = _write(home, disk, draft, surveyed, on_progress)
        written = VerifyNumbers.of(rewrite)
        swap.commit(
            home,
            disk,
            draft,
            digest=rewrite.digest,
            is_as_written=lambda fd: swap.is_verified(fd, written, on_progress),
        )
        transcripts, warnings = swap.finish(home, disk, draft)
    action = draft.action
    return nothing.model_copy(
        update={
            "action_id": action.id,
            "entries_after": rewrite.entries,
            "bytes_after": rewrite.bytes,
            "rules": rewrite.rules,
            "archive": str(home.archive(action.id)),
            "archive_bytes": rewrite.archive_bytes,
            "transcripts": transcripts,
            "lock_held_s": round(draft.lock_held_s, 3),
            "undo": f"tailflip restore {action.id} --apply",
            "warnings": warnings,
        }
    )


def _write(
    home: Home, disk: Disk, draft: Draft, surveyed: Surveyed, on_progress: Progress | None
) -> RewriteNumbers:
    """Write new store and archive; return when the archive is whole, read back and synced."""
    action, numbers = draft.action, surveyed.numbers
    if draft.source.fd is None:
        raise InternalError("a store that is missing cannot be compacted")
    partial = home.archive(action.id) / recovery.PARTIAL
    disk.mkdir(home.archive(action.id), 0o700)
    archive_fd = disk.open_new(partial, 0o600)
    try:
        rewrite = native.rewrite(
            draft.source.fd,
            draft.fds[0],
            archive_fd,
            surveyed,
            swap.report_to(on_progress, "rewrite", numbers.bytes),
        )
        if (rewrite.entries, rewrite.bytes) != (numbers.entries_after, numbers.bytes_after):
            raise InternalError(
                f"survey and rewrite disagree: {format_counted(numbers.entries_after, 'entry')} in "
                f"{format_counted(numbers.bytes_after, 'byte')} expected, {rewrite.entries:,} in "
                f"{rewrite.bytes:,} written: {draft.source.store}"
            )
        disk.fsync(archive_fd)
    finally:
        os.close(archive_fd)
    disk.rename(partial, home.records(action.id))
    archive.write_manifest(
        home,
        disk,
        archive.Manifest(
            action=action.id,
            kind=action.kind,
            store=action.store,
            created_ms=action.created_ms,
            engine=native.features(),
            entries_before=numbers.entries,
            bytes_before=numbers.bytes,
            digest_before=numbers.digest,
            transcript_suffix=action.transcript_suffix,
            rewrite=rewrite,
        ),
    )
    return rewrite
