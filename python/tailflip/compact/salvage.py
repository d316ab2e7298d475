"""A store that is broken or gone: what can be had of it, or of a backup of the gateway's.

The gateway takes a broken store for an empty one and overwrites it at its next write.
So the damaged file is set aside whole, byte for byte, before anything else happens; the
complete entries before the damage, or a backup that holds more, become the store.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tailflip import clock, native
from tailflip.compact import recovery, swap
from tailflip.compact.ownership import require_leave
from tailflip.compact.preflight import find_missing_room, find_refusals, refuse
from tailflip.durable import naming, open_regular, resolve
from tailflip.errors import StoreInvalid, TryLater, Usage
from tailflip.flow import Report, VerifyNumbers

if TYPE_CHECKING:
    from pathlib import Path

    from tailflip.compact.swap import Draft, Progress, Source
    from tailflip.durable import Disk
    from tailflip.flow import Store
    from tailflip.home import Home
    from tailflip.ledger.actions import Action

_BACKUP = re.compile(r"\.bak\.[0-9]+")
_COMPARE_BYTES = 1 << 18


@dataclass(frozen=True)
class Candidate:
    """A file that a store can be had from.

    `damage` says what is wrong and is None for a whole store; `lost_bytes` is what lies
    after the last complete entry. `written` is what the salvaged store will be.
    """

    path: Path
    modified_ms: int
    size_bytes: int
    damage: str | None
    lost_bytes: int
    written: VerifyNumbers


@dataclass(frozen=True)
class SalvagePlan:
    """Everything a store can be had from: the broken one first, then backups, newest first."""

    store: Path
    candidates: tuple[Candidate, ...]
    state_dir: Path | None = None

    @property
    def best(self) -> Candidate:
        """The one that holds most entries; among equals the first."""
        return max(self.candidates, key=lambda c: c.written.entries)


def plan_salvage(store: Store, on_progress: Progress | None = None) -> SalvagePlan:
    """Measure what can be had of a broken or missing store; changes nothing.

    Raises:
        StoreInvalid: There is nothing to have it from.
    """
    path = store.path.absolute()
    real = resolve(path)
    with naming(path):
        backups = sorted(
            (
                other
                for other in real.parent.iterdir()
                if other.name.startswith(real.name)
                and _BACKUP.fullmatch(other.name.removeprefix(real.name))
                and other.is_file()
            ),
            key=lambda other: (len(other.name), other.name),
            reverse=True,
        )
        paths = [real, *backups] if os.path.lexists(real) else backups
        found = [c for p in paths if (c := _measure(p, on_progress)) is not None]
    # An empty file may become an empty store. Bytes that we only cannot read may not.
    if not any(c.written.entries or c.damage is None or not c.size_bytes for c in found):
        raise StoreInvalid(
            f"nothing can be salvaged: {path}; bytes intact",
            hint="look for a backup of your own; keep the gateway stopped until then",
        )
    return SalvagePlan(path, tuple(found), store.state_dir)


def apply_salvage(
    plan: SalvagePlan,
    *,
    home: Home,
    disk: Disk,
    now_ms: int,
    source: Path | None = None,
    on_progress: Progress | None = None,
) -> Report:
    """Set the broken store aside and put a whole one in its place.

    Args:
        plan: What was shown; executed as shown or not at all.
        home: Where the broken store goes.
        disk: The effects.
        now_ms: Names the action.
        source: Which candidate; the best if not said.
        on_progress: As for a compaction.

    Raises:
        TryLater: The files are no longer those that were measured.
        Usage: No such candidate.
    """
    started = clock.monotonic_s()
    chosen = plan.best
    if source is not None:
        named = [c for c in plan.candidates if c.path == resolve(source)]
        if not named:
            raise Usage(f"not among what can be salvaged: {source}")
        chosen = named[0]

    def attempt(opened: Source) -> Report:
        return _salvage_once(
            opened, plan, chosen, home=home, disk=disk, now_ms=now_ms, on_progress=on_progress
        )

    with naming(plan.store), home.claim(disk):
        recovery.settle_all(home, disk)
        require_leave(plan.store, plan.state_dir)
        if os.path.lexists(plan.store):
            refuse(find_refusals(plan.store, plan.state_dir))
        report = swap.try_attempts(plan.store, disk, attempt, plan.state_dir)
    return report.model_copy(update={"took_s": swap.measure_s(started)})


def undo(
    home: Home,
    disk: Disk,
    action: Action,
    *,
    apply: bool,
    now_ms: int,
    state_dir: Path | None = None,
    on_progress: Progress | None = None,
) -> Report | None:
    """Put the damaged bytes back as they were; the salvaged store is set aside in turn.

    Raises:
        TryLater: The store was written to since; that would be lost.
        Usage: There were no damaged bytes: the store was missing.
    """
    quarantined, path = home.quarantined(action.id), action.store_path
    if not quarantined.exists():
        raise Usage(
            f"there was no store before that salvage: {action.id}",
            hint="it copied a backup to where none was; nothing was changed now",
        )
    started = clock.monotonic_s()

    def attempt(opened: Source) -> Report:
        if opened.fd is None:
            raise StoreInvalid(
                f"store is missing: {path}; nothing was changed",
                hint=f"the damaged bytes are in {quarantined}",
            )
        salvaged = native.verify(opened.fd, swap.report_to(on_progress, "verify", 0))
        if salvaged.digest != action.details.digest:
            raise TryLater(
                f"store was written to since it was salvaged: {path}; nothing was changed",
                hint=f"the damaged bytes are in {quarantined}",
            )
        with open_regular(quarantined) as damaged:
            size_bytes = os.fstat(damaged).st_size
            refuse(
                find_missing_room(
                    opened.real, home, new_bytes=size_bytes, removed_bytes=4 * salvaged.bytes
                )
            )
            with swap.begin(
                home, disk, opened, kind="restore", now_ms=now_ms, undoing=True
            ) as draft:
                swap.copy_file(disk, opened.fd, home.quarantined(draft.action.id))
                swap.copy_bytes(disk, damaged, draft.fds[0])
                swap.commit(
                    home,
                    disk,
                    draft,
                    digest="",
                    is_as_written=lambda fd: _is_same(fd, damaged),
                )
                swap.finish(home, disk, draft)
        return _report(
            draft,
            "restore",
            entries_before=salvaged.entries,
            entries_after=0,
            bytes_before=salvaged.bytes,
            bytes_after=size_bytes,
        )

    require_leave(path, state_dir, undoing=True)
    if not apply:
        return None
    with naming(path), home.claim(disk):
        recovery.settle_all(home, disk)
        refuse(find_refusals(path, state_dir, undoing=True))
        report = swap.try_attempts(path, disk, attempt, state_dir)
    return report.model_copy(update={"took_s": swap.measure_s(started)})


def _measure(path: Path, on_progress: Progress | None) -> Candidate | None:
    """Measure one candidate; None when nothing at all can be had of it."""
    with open_regular(path) as fd:
        info = os.fstat(fd)
        report = swap.report_to(on_progress, "salvage", info.st_size)
        damage: str | None = None
        lost_bytes = 0
        try:
            written = native.verify(fd, report)
        except StoreInvalid as e:
            damage = e.message
            try:
                salvaged = native.salvage(fd, None, report)
            except StoreInvalid:
                return None
            lost_bytes = salvaged.lost_bytes
            written = VerifyNumbers.of(salvaged)
        return Candidate(
            path=path,
            modified_ms=info.st_mtime_ns // 1_000_000,
            size_bytes=info.st_size,
            damage=damage,
            lost_bytes=lost_bytes,
            written=written,
        )


def _salvage_once(
    opened: Source,
    plan: SalvagePlan,
    chosen: Candidate,
    *,
    home: Home,
    disk: Disk,
    now_ms: int,
    on_progress: Progress | None,
) -> Report:
    in_store = next((c for c in plan.candidates if c.path == opened.real), None)
    size_bytes = 0 if opened.fd is None else os.fstat(opened.fd).st_size
    if size_bytes != (0 if in_store is None else in_store.size_bytes) or (
        in_store is not None and in_store.damage is None
    ):
        raise TryLater(
            f"store is not the one that was looked at: {plan.store}; nothing was changed",
            hint="look again",
        )
    refuse(
        find_missing_room(
            opened.real, home, new_bytes=chosen.written.bytes, removed_bytes=4 * size_bytes
        )
    )
    with swap.begin(home, disk, opened, kind="salvage", now_ms=now_ms) as draft:
        if opened.fd is not None:
            swap.copy_file(disk, opened.fd, home.quarantined(draft.action.id))
        with open_regular(chosen.path) as fd:
            if chosen.damage is None:
                swap.copy_bytes(disk, fd, draft.fds[0])
            else:
                report = swap.report_to(on_progress, "salvage", chosen.size_bytes)
                native.salvage(fd, draft.fds[0], report)
        # Also the proof that the candidate is still what was measured and shown.
        swap.commit(
            home,
            disk,
            draft,
            digest=chosen.written.digest,
            is_as_written=lambda fd: swap.is_verified(fd, chosen.written, on_progress),
        )
        swap.finish(home, disk, draft)
    before = 0 if in_store is None else in_store.written.entries
    done = _report(
        draft,
        "salvage",
        entries_before=before,
        entries_after=chosen.written.entries,
        bytes_before=size_bytes,
        bytes_after=chosen.written.bytes,
    )
    if opened.fd is None:
        return done
    return done.model_copy(
        update={
            "archive": str(home.quarantined(draft.action.id)),
            "archive_bytes": size_bytes,
            "undo": f"tailflip restore {draft.action.id} --apply",
        }
    )


def _report(
    draft: Draft,
    kind: str,
    *,
    entries_before: int,
    entries_after: int,
    bytes_before: int,
    bytes_after: int,
) -> Report:
    return Report(
        action_id=draft.action.id,
        kind=kind,
        store=draft.action.store,
        entries_before=entries_before,
        entries_after=entries_after,
        bytes_before=bytes_before,
        bytes_after=bytes_after,
        lock_held_s=round(draft.lock_held_s, 3),
    )


def _is_same(fd: int, other_fd: int) -> bool:
    """Compare two files byte for byte."""
    offset = 0
    while True:
        chunk = os.pread(fd, _COMPARE_BYTES, offset)
        if chunk != os.pread(other_fd, _COMPARE_BYTES, offset):
            return False
        if not chunk:
            return True
        offset += len(chunk)
