"""A store that is broken or gone: what can be had of it, of a backup, or of a temporary file.

The gateway takes a broken store for an empty one and overwrites it at its next write.
So the damaged file is set aside whole, byte for byte, before anything else happens; its
entries that are proven, or a file beside it that holds more, become the store. What may lose
more than the damaged places is done only for a person who says so.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tailflip.base import clock
from tailflip.base.durable import naming, open_regular, resolve
from tailflip.base.errors import StoreInvalid, TryLater, Usage
from tailflip.base.units import format_count, format_counted
from tailflip.flow.numbers import SalvageNumbers, VerifyNumbers
from tailflip.flow.outcomes import Report
from tailflip.stores import recovery
from tailflip.stores.json import native, swap
from tailflip.stores.json.neighbours import is_backup, is_copy, is_temporary
from tailflip.stores.ownership import require_leave
from tailflip.stores.preflight import find_missing_room, find_refusals, refuse

if TYPE_CHECKING:
    from pathlib import Path

    from tailflip.base.durable import Disk
    from tailflip.base.state_dir import Home
    from tailflip.flow.observed import Gateway, Store
    from tailflip.ledger.actions import Action
    from tailflip.stores.json.swap import Draft, Progress, Source

_COMPARE_BYTES = 1 << 18
_OVERLAP_BYTES = 1 << 12
# How an entry begins: as a session's key, or with its session's id, as the gateway writes it.
_ENTRY_LOOK = re.compile(
    rb'"agent:[^"\n]*"\s*:\s*\{|"(?!agent:)[^"\n]*"\s*:\s*\{\s*"sessionId"\s*:'
)
_ACCEPT = "`tailflip compact {path} --accept-loss --apply`"


@dataclass(frozen=True)
class Candidate:
    """A file that a store can be had from.

    `damage` says what is wrong and is None for a whole store. `written` is what the salvaged
    store will be; the rest as in `SalvageNumbers`.
    """

    path: Path
    modified_ms: int
    size_bytes: int
    damage: str | None
    written: VerifyNumbers
    left: int = 0
    lost_bytes: int = 0
    gaps: tuple[tuple[int, int], ...] = ()
    gap_count: int = 0
    unsure: int | None = None
    cut: bool = False
    blank: bool = False

    @property
    def entries(self) -> int:
        """Count the entries that are proven."""
        return self.written.entries

    def describe_loss(self) -> str:
        """Say how much stays behind, and where; empty if nothing does."""
        if not self.gap_count:
            return ""
        entries = "an entry" if self.left == 1 else format_counted(self.left, "entry")
        what = f"at least {entries}, " if self.left else "no entry, "
        if not (self.entries or self.left or self.blank):
            what = "all of it, and how many entries that were cannot be told: "
        places = ", ".join(f"{start}-{end}" for start, end in self.gaps)
        more = self.gap_count - len(self.gaps)
        and_more = f" and {format_counted(more, 'more place')}" if more else ""
        lost = format_counted(self.lost_bytes, "byte")
        return f"left behind: {what}{lost} (at byte {places}{and_more})"


@dataclass(frozen=True)
class SalvagePlan:
    """Everything a store can be had from: itself first, then backups and temporary files."""

    store: Path
    candidates: tuple[Candidate, ...]
    state_dir: Path | None = None

    @property
    def own(self) -> Candidate | None:
        """The broken store itself; None if it is missing."""
        found = self.candidates[0]
        return found if found.path == resolve(self.store) else None

    @property
    def best(self) -> Candidate:
        """The one that holds most entries; among equals the first.

        A store that lost only damaged places is newer than its backups, and so better than one
        that holds more; not than a whole file that was written after it.
        """
        own, others = self.own, self.candidates
        if own is not None and own.entries and own.unsure is None and not own.cut:
            others = tuple(
                c
                for c in others
                if c is own or (c.damage is None and c.modified_ms >= own.modified_ms)
            )
        return max(others, key=lambda c: c.entries)

    @property
    def is_nothing(self) -> bool:
        """Say whether nothing can be saved and nothing be lost."""
        return self.own is not None and all(
            c.blank or not (c.entries or c.left or c.unsure is not None) for c in self.candidates
        )

    @property
    def doubt(self) -> str | None:
        """Say why a person has to decide; None where only damaged places are lost."""
        best, own = self.best, self.own
        if self.is_nothing:
            return None
        if not best.entries:
            return "nothing in it is proven to be an entry"
        if best.unsure is not None:
            return (
                f"{format_counted(best.entries, 'entry')} can be had of {best.path.name}, but more "
                f"than the damaged places would be lost: what lies at byte {best.unsure} may be "
                f"a whole entry; {best.describe_loss() or 'nothing else is'}"
            )
        if own is not None and own is not best and own.entries + own.left > best.entries:
            return (
                f"{best.path.name} holds {format_counted(best.entries, 'entry')}, the store itself "
                f"{format_count(own.entries)} and parts of at least {format_count(own.left)}"
            )
        return None

    def describe(self) -> str:
        """Say in one line what a salvage does."""
        if self.is_nothing:
            return "it held no entry, and nothing beside it does; the gateway begins anew"
        best = self.best
        loss = best.describe_loss() or "nothing left behind"
        end = "; its end is gone, with what was there" if best.cut else ""
        return f"{format_counted(best.entries, 'entry')} of {best.path.name} kept; {loss}{end}"


def plan_salvage(
    store: Store, on_progress: Progress | None = None, *, accept_loss: bool = False
) -> SalvagePlan:
    """Measure what can be had of a broken or missing store; changes nothing.

    Args:
        store: Which.
        on_progress: As for a compaction.
        accept_loss: Begin anew where there is nothing to have it from.

    Raises:
        StoreInvalid: There is nothing to have it from.
    """
    path = store.path.absolute()
    real = resolve(path)
    with naming(path):
        names = [other for other in real.parent.iterdir() if other.is_file()]
        backups = [other for other in names if is_backup(other.name, real.name)]
        backups.sort(key=lambda other: (len(other.name), other.name), reverse=True)
        temporary = [other for other in names if is_temporary(other.name, real.name)]
        temporary.sort(key=lambda other: other.stat().st_mtime_ns, reverse=True)
        others = [o for o in names if is_copy(o.name, real.name) and o not in backups]
        others.sort(key=lambda other: other.stat().st_mtime_ns, reverse=True)
        paths = [*([real] if os.path.lexists(real) else []), *backups, *temporary, *others]
        found = tuple(_measure(p, on_progress) for p in paths)
    if not found:
        raise StoreInvalid(f"nothing can be salvaged: {path}; no file of it is there")
    plan = SalvagePlan(path, found, store.state_dir)
    # Bytes that we only cannot read may not become an empty store by themselves.
    if not (plan.best.entries or plan.is_nothing or (accept_loss and plan.own is not None)):
        raise StoreInvalid(
            f"nothing can be salvaged: {path}; bytes intact", hint=_hint_to_begin_anew(path)
        )
    return plan


def _hint_to_begin_anew(path: Path) -> str:
    return (
        "look for a backup of your own, and keep the gateway stopped until then; "
        f"{_ACCEPT.format(path=path)} sets the file aside whole and begins with an empty store"
    )


def hint_to_decide(plan: SalvagePlan) -> str:
    """Name the command for a person who decides to lose what is not proven."""
    if not plan.best.entries:
        return _hint_to_begin_anew(plan.store)
    return (
        f"{_ACCEPT.format(path=plan.store)} takes the entries that are proven and sets the "
        "damaged file aside whole; keep the gateway stopped until then"
    )


def apply_salvage(
    plan: SalvagePlan,
    *,
    home: Home,
    disk: Disk,
    now_ms: int,
    source: Path | None = None,
    accept_loss: bool = False,
    gateway: Gateway | None = None,
    on_progress: Progress | None = None,
) -> Report:
    """Set the broken store aside and put a whole one in its place.

    Args:
        plan: What was shown; executed as shown or not at all.
        home: Where the broken store goes.
        disk: The effects.
        now_ms: Names the action.
        source: Which candidate; the best if not said.
        accept_loss: A person knows that more than the damaged places may be lost.
        gateway: whose store it is, where that is known: it must honour our lock.
        on_progress: As for a compaction.

    Raises:
        StoreInvalid: More than the damaged places may be lost.
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
    elif plan.doubt is not None and not accept_loss:
        raise StoreInvalid(
            f"not salvaged: {plan.store}; {plan.doubt}; nothing was changed",
            hint=hint_to_decide(plan),
        )

    def attempt(opened: Source) -> Report:
        return _salvage_once(
            opened, plan, chosen, home=home, disk=disk, now_ms=now_ms, on_progress=on_progress
        )

    with naming(plan.store), home.claim(disk):
        recovery.settle_all(home, disk)
        require_leave(plan.store, plan.state_dir)
        if os.path.lexists(plan.store):
            refuse(find_refusals(plan.store, plan.state_dir, gateway=gateway))
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


def _measure(path: Path, on_progress: Progress | None) -> Candidate:
    """Measure one candidate."""
    with open_regular(path) as fd:
        info = os.fstat(fd)
        report = swap.report_to(on_progress, "salvage", info.st_size)
        modified_ms, size_bytes = info.st_mtime_ns // 1_000_000, info.st_size
        try:
            return Candidate(path, modified_ms, size_bytes, None, native.verify(fd, report))
        except StoreInvalid as e:
            damage = e.message
        found = native.salvage(fd, None, report)
        unsure = found.unsure
        if unsure is None and _hides_entries(fd, found):
            unsure = found.gaps[0][0]
        return Candidate(
            path=path,
            modified_ms=modified_ms,
            size_bytes=size_bytes,
            damage=damage,
            written=VerifyNumbers.of(found),
            left=found.left,
            lost_bytes=found.lost_bytes,
            gaps=found.gaps,
            gap_count=found.gap_count,
            unsure=unsure,
            cut=found.cut,
            blank=found.blank,
        )


def _hides_entries(fd: int, found: SalvageNumbers) -> bool:
    """Say whether more entries lie in the gaps than were counted there.

    Entries in another indentation than the file's, as people paste them in, are proven by
    nothing: what looks like one may be one, and a person decides.
    """
    if found.gap_count > len(found.gaps):
        return True
    looks = 0
    for start, end in found.gaps:
        for at in range(start, end, _COMPARE_BYTES):
            # What begins in this piece may end in the next.
            piece = os.pread(fd, min(end - at, _COMPARE_BYTES + _OVERLAP_BYTES), at)
            looks += sum(look.start() < _COMPARE_BYTES for look in _ENTRY_LOOK.finditer(piece))
    # What a cut file ends in is told as cut, and counted apart.
    return looks > found.left + (1 if found.cut else 0)


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
    before = 0 if in_store is None else in_store.entries + in_store.left
    done = _report(
        draft,
        "salvage",
        entries_before=before,
        entries_after=chosen.written.entries,
        bytes_before=size_bytes,
        bytes_after=chosen.written.bytes,
    )
    loss = chosen.describe_loss()
    done = done.model_copy(
        update={"entries_left": chosen.left, "warnings": (loss,) if loss else ()}
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
