"""What is concluded and done: a forecast, a report, a trend."""

from __future__ import annotations

from dataclasses import dataclass

from tailflip.flow.numbers import Tally
from tailflip.flow.values import Value


@dataclass(frozen=True)
class Forecast:
    """Predicted V8 heap of loading stores, against the limit the gateway has.

    `limit_bytes` is None when no limit could be found; `source` says where it is from.
    `measured` says that the factor was measured on this very release.
    """

    heap_bytes: int
    limit_bytes: int | None
    factor: float
    source: str
    measured: bool = False

    @property
    def over(self) -> bool:
        """Say whether the gateway is predicted to die."""
        return self.limit_bytes is not None and self.heap_bytes > self.limit_bytes

    @property
    def close(self) -> bool:
        """Say whether it is predicted to live with less than a tenth of the limit to spare."""
        limit = self.limit_bytes
        return limit is not None and not self.over and self.heap_bytes > limit * 0.9


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
