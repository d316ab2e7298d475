"""The measurements of memory and stores, written when they are news."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.flow.observed import Sample
from tailflip.ledger.table import Table

if TYPE_CHECKING:
    from tailflip.base.workspace import Workspace

# A sample is worth a write when memory or stores moved by more than this, or an hour went by.
_RSS_STEP = 0.05
_STORES_STEP = 0.01
_SAMPLE_MS = 3_600_000


class Samples(Table):
    """The measurements of one gateway; keeps the last one in memory to find news."""

    def __init__(self, workspace: Workspace, guard: str) -> None:
        super().__init__(workspace, guard)
        self._last: tuple[str | None, Sample] | None = None

    def record(self, sample: Sample, life_id: str | None) -> bool:
        """Record a measurement if it is news; says whether it wrote.

        A measurement is no news when memory is within 5 % and the stores within 1 % of the last
        one on record, which is of the same life and less than an hour old.
        """
        if self._last is None:
            self._last = self._read_last()
        if self._last is not None and not _is_news(sample, life_id, *self._last):
            return False
        with self._writing() as db:
            db.execute(
                "INSERT INTO samples (guard, life, at_ms, rss_bytes, stores_bytes) "
                "VALUES (?, ?, ?, ?, ?)",
                (self._guard, life_id, sample.at_ms, sample.rss_bytes, sample.stores_bytes),
            )
        self._last = (life_id, sample)
        return True

    def read(self, since_ms: int, *, life_id: str | None = None) -> tuple[Sample, ...]:
        """Read the measurements since a moment, oldest first; with `life_id`, of one life."""
        rows = self._read(
            "SELECT at_ms, rss_bytes, stores_bytes FROM samples WHERE guard = ?1 "
            "AND at_ms >= ?2 AND (?3 IS NULL OR life = ?3) ORDER BY at_ms, rowid",
            (self._guard, since_ms, life_id),
        )
        return tuple(Sample(*row) for row in rows)

    def _read_last(self) -> tuple[str | None, Sample] | None:
        rows = self._read(
            "SELECT life, at_ms, rss_bytes, stores_bytes FROM samples WHERE guard = ? "
            "ORDER BY rowid DESC LIMIT 1",
            (self._guard,),
        )
        return (rows[0][0], Sample(*rows[0][1:])) if rows else None


def _is_news(sample: Sample, life_id: str | None, last_life: str | None, last: Sample) -> bool:
    return (
        life_id != last_life
        or not 0 <= sample.at_ms - last.at_ms < _SAMPLE_MS
        or _moved(sample.rss_bytes, last.rss_bytes, _RSS_STEP)
        or _moved(sample.stores_bytes, last.stores_bytes, _STORES_STEP)
    )


def _moved(now: int | None, last: int | None, step: float) -> bool:
    if now is None or last is None:
        return now is not last
    return abs(now - last) > step * last
