"""The files that a broken store can be rebuilt from, and the choice of the best."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base.durable import resolve
from tailflip.base.units import format_count, format_counted
from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from pathlib import Path

    from tailflip.flow.numbers import VerifyNumbers

_ACCEPT = "`tailflip compact {path} --accept-loss --apply`"


@dataclass(frozen=True)
class Candidate:
    """A file that a store can be rebuilt from.

    `damage` says what is wrong and is None for a whole store. `written` is what the salvaged
    store will be. The other fields are as in `SalvageNumbers`.
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
        """Describe how much stays behind, and where; empty if nothing does."""
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
    """All candidates of a store: itself first, then backups and temporary files."""

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
        """The candidate with most entries; among equals the first.

        A store that lost only damaged places is newer than its backups, and so better than a backup
        that holds more. It is not better than a whole file that was written after it.
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
        """Say whether no entry can be saved and none be lost."""
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


def hint_to_begin_anew(path: Path) -> str:
    """Name the command that begins with an empty store, for a person who has no backup."""
    return (
        "look for a backup of your own, and keep the gateway stopped until then; "
        f"{_ACCEPT.format(path=path)} sets the file aside whole and begins with an empty store"
    )


def hint_to_decide(plan: SalvagePlan) -> str:
    """Name the command for a person who decides to lose what is not proven."""
    if not plan.best.entries:
        return hint_to_begin_anew(plan.store)
    return (
        f"{_ACCEPT.format(path=plan.store)} takes the entries that are proven and sets the "
        "damaged file aside whole; keep the gateway stopped until then"
    )
