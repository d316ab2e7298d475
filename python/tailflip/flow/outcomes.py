"""What is concluded and done: a forecast, a report, a trend."""

from __future__ import annotations

from dataclasses import dataclass

from tailflip.flow.numbers import Tally
from tailflip.flow.values import Value


@dataclass(frozen=True)
class HeapLimit:
    """The heap that a gateway may use; `bytes` is None where nobody can tell.

    `source` says where it is from, `margin` which share of it a prediction may use.
    """

    bytes: int | None
    source: str
    margin: float = 0.9


@dataclass(frozen=True)
class Forecast:
    """Predicted V8 heap of loading stores, against the limit the gateway has.

    `limit_bytes` is None when no limit could be found; `source` says where it is from.
    `measured` says that the factor was measured on this very release, `release_known` that there
    is a release at all. `base_bytes` of the heap are there without any store.
    """

    heap_bytes: int
    limit_bytes: int | None
    factor: float
    source: str
    measured: bool = False
    release_known: bool = True
    base_bytes: int = 0
    margin: float = 0.9

    @property
    def over(self) -> bool:
        """Say whether the gateway is predicted to die."""
        return self.limit_bytes is not None and self.heap_bytes > self.limit_bytes

    @property
    def close(self) -> bool:
        """Say whether it is predicted to live, with less to spare than the margin."""
        limit = self.limit_bytes
        return limit is not None and not self.over and self.heap_bytes > int(limit * self.margin)

    @property
    def fits(self) -> bool:
        """Say whether the margin stays free; what cannot be told counts as fitting."""
        return not (self.over or self.close)

    @property
    def doubt(self) -> str | None:
        """Say why the figures may be wrong for this gateway; None where they were measured."""
        if not self.release_known:
            return "the release is not known"
        return None if self.measured else "not measured for this release"


class Report(Value):
    """What was done to one store, and how to undo it.

    Entries are counted where the file is a session store; a salvage left `entries_left` behind
    at least.
    """

    action_id: str
    kind: str  # "compact", "salvage" or "restore"
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
    """Growth of memory towards its limit; `hits_ms` is when it gets there at this pace."""

    bytes_per_s: float
    span_s: float
    limit_bytes: int
    hits_ms: int
