"""Outcomes: a forecast of heap, a report of an action, a trend of memory."""

from __future__ import annotations

from enum import StrEnum

from tailflip.flow.late import dataclass
from tailflip.flow.numbers import Tally
from tailflip.flow.values import Value


class ActionKind(StrEnum):
    """The kind of an action: on stores, transcripts, ledgers, or on what is left behind."""

    COMPACT = "compact"
    SALVAGE = "salvage"
    RESTORE = "restore"
    MARKERS = "markers"
    HOLD = "hold"
    TASKS = "tasks"
    RELEASE = "release"
    RECLAIM = "reclaim"
    SLIM = "slim"
    HEADERS = "headers"


@dataclass(frozen=True)
class KindWords:
    """How a kind of action is told.

    Attributes:
        noun: of one such action: `compaction`.
        did: what it did, after "tailflip": `compacted a session store`.
        is_healing: tailflip takes it by itself, and the digest counts it.
        changed: what a reconciliation changed, and how: (`job`, `held`); None for a store's.
    """

    noun: str
    did: str
    is_healing: bool = True
    changed: tuple[str, str] | None = None


KIND_WORDS = {
    ActionKind.COMPACT: KindWords("compaction", "compacted a session store"),
    ActionKind.SALVAGE: KindWords(
        "salvage", "set a damaged store aside, and kept what was legible"
    ),
    ActionKind.RESTORE: KindWords("restore", "put back what was archived", is_healing=False),
    ActionKind.MARKERS: KindWords(
        "clearing of marks", "cleared the marks of dead runs", changed=("marker", "cleared")
    ),
    ActionKind.HOLD: KindWords(
        "hold", "held what was in flight at each death", changed=("job", "held")
    ),
    ActionKind.TASKS: KindWords(
        "end of tasks", "ended tasks of dead runs", changed=("task", "fixed")
    ),
    ActionKind.RELEASE: KindWords(
        "release", "released what was held", is_healing=False, changed=("job", "released")
    ),
    ActionKind.RECLAIM: KindWords(
        "giving back of room", "gave room on the disk back", is_healing=False
    ),
    ActionKind.SLIM: KindWords("slimming", "slimmed a transcript"),
    ActionKind.HEADERS: KindWords(
        "new header of a transcript",
        "wrote the header of a transcript anew",
        changed=("header", "written anew"),
    ),
}


def tell_undo(kind: ActionKind, action_id: str) -> str:
    """Tell the command that undoes an action: what is held is released, all else restored."""
    verb = "release" if kind is ActionKind.HOLD else "restore"
    return f"tailflip {verb} {action_id} --apply"


STORE_KINDS = (ActionKind.COMPACT, ActionKind.SALVAGE, ActionKind.RESTORE, ActionKind.SLIM)


@dataclass(frozen=True)
class HeapLimit:
    """The heap that a gateway may use; `bytes` is None where it is unknown.

    `source` says where the limit is from. `margin` is the share that a prediction may use.
    `is_known` False: the bytes are the best that could be found, and may not be the gateway's.
    """

    bytes: int | None
    source: str
    margin: float = 0.9
    is_known: bool = True


@dataclass(frozen=True)
class Forecast:
    """The predicted V8 heap for loading stores, against the gateway's limit.

    `limit_bytes` is None when no limit could be found; `source` says where it is from.
    `limit_known` False: the limit may not be this gateway's, so nobody knows whether it fits.
    `measured`: the factor was measured on this very release. `release_known`: the release is
    known at all. `base_bytes` is the heap without any store.
    """

    heap_bytes: int
    limit_bytes: int | None
    factor: float
    source: str
    measured: bool = False
    release_known: bool = True
    base_bytes: int = 0
    margin: float = 0.9
    limit_known: bool = True

    @property
    def over(self) -> bool:
        """Say whether the gateway is predicted to die."""
        return self.limit_bytes is not None and self.heap_bytes > self.limit_bytes

    @property
    def close(self) -> bool:
        """Say whether the gateway is predicted to live, with less to spare than the margin."""
        limit = self.limit_bytes
        return limit is not None and not self.over and self.heap_bytes > int(limit * self.margin)

    @property
    def fits(self) -> bool:
        """Say whether the margin stays free; an unknown limit counts as fitting."""
        return not (self.over or self.close)

    @property
    def doubt(self) -> str | None:
        """Say why the numbers may be wrong for this gateway; None where they were measured."""
        if not self.release_known:
            return "the release is not known"
        return None if self.measured else "not measured for this release"


class Report(Value):
    """The report of what was done to one store, and how to undo it.

    Entries are counted in session stores. A salvage left at least `entries_left` behind.
    """

    action_id: str
    kind: ActionKind  # one of `STORE_KINDS`
    store: str
    entries_before: int = 0
    entries_after: int = 0
    entries_left: int = 0
    bytes_before: int
    bytes_after: int
    rules: tuple[Tally, ...] = ()
    archive: str | None = None
    archive_bytes: int = 0
    transcripts: int = 0
    took_s: float = 0.0
    lock_held_s: float = 0.0
    undo: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trend:
    """The growth of memory towards its limit; `hits_ms` is when it reaches it at this pace."""

    bytes_per_s: float
    span_s: float
    limit_bytes: int
    hits_ms: int
