"""The lives of one gateway, each with its death, and the last that it wrote to stderr.

A life is written before its process starts: after a kill, the next start reads it.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from tailflip.base.errors import IoFailed, TailflipError
from tailflip.flow.lives import Life
from tailflip.ledger.counters import count_death, count_down, count_start
from tailflip.ledger.retention import drop_old_tails
from tailflip.ledger.starts import put_start
from tailflip.ledger.table import Table

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from tailflip.ledger.starts import JudgedStart

_NEW_LIFE = (
    "INSERT INTO lives (id, guard, started_ms, ended_ms, incident, details) "
    "VALUES (?, ?, ?, ?, ?, ?)"
)


def find_deaths(lives: Sequence[Life]) -> tuple[tuple[int, int], ...]:
    """List start and end of the lives whose end is on record."""
    return tuple(
        (life.started_ms, life.ended_ms)
        for life in lives
        if life.ended_ms is not None and life.end_known
    )


class Lives(Table):
    """The lives of one gateway."""

    def begin(self, life: Life, start: JudgedStart | None = None) -> None:
        """Record a life before its process is started, with the judgement of its start."""
        with self._writing() as db:
            count_start(db, self._guard, life)
            db.execute(_NEW_LIFE, self._cells(life))
            if start is not None:
                put_start(db, self._guard, start)

    def update(self, life: Life) -> None:
        """Record all that is now known of a life."""
        with self._writing() as db:
            self._put(db, life)

    def end(self, life: Life, stderr_tail: bytes) -> None:
        """Record the end of a life, and its stderr tail; the newest tails are kept."""
        with self._writing() as db:
            self._put(db, life)
            if stderr_tail:
                db.execute(
                    "UPDATE lives SET stderr = ? WHERE id = ?",
                    (zlib.compress(stderr_tail), life.id),
                )
                drop_old_tails(db, self._guard)

    def count_down(self, now_ms: int) -> None:
        """Count the time for which no gateway lives, while it lasts."""
        with self._writing() as db:
            count_down(db, self._guard, now_ms)

    def read(self, limit: int = 50, *, incident: str | None = None) -> tuple[Life, ...]:
        """Read the last lives, newest first; with `incident`, those of one incident."""
        rows = self._read(
            "SELECT details FROM lives WHERE guard = ?1 AND (?2 IS NULL OR incident = ?2) "
            "ORDER BY seq DESC LIMIT ?3",
            (self._guard, incident, limit),
        )
        return tuple(self._parse(Life, row[0]) for row in rows)

    def recall_last(self) -> Life | None:
        """Read the last life; None where there is none, or the ledger cannot be read."""
        try:
            return next(iter(self.read(1)), None)
        except TailflipError:
            return None

    def find(self, life_id: str) -> Life | None:
        """Read one life, of this or another gateway."""
        rows = self._read("SELECT details FROM lives WHERE id = ?", (life_id,))
        return self._parse(Life, rows[0][0]) if rows else None

    def read_stderr(self, life_id: str) -> bytes:
        """Read a life's stderr tail; empty when none was kept.

        It may hold secrets and what people said: show it to the person who asked for it alone.
        """
        rows = self._read("SELECT stderr FROM lives WHERE id = ?", (life_id,))
        if not rows or rows[0][0] is None:
            return b""
        try:
            return zlib.decompress(rows[0][0])
        except zlib.error as e:
            raise IoFailed(f"a stderr tail is damaged: {self._workspace.home.ledger}") from e

    def count_deaths(self) -> dict[str, int]:
        """Count the deaths on record of each incident, by its id."""
        rows = self._read(
            "SELECT incident, count(*) FROM lives WHERE guard = ? AND incident IS NOT NULL "
            "GROUP BY incident",
            (self._guard,),
        )
        return dict(rows)

    def _put(self, db: sqlite3.Connection, life: Life) -> None:
        # A missing life (the ledger was deleted meanwhile) is recorded anew.
        row = db.execute("SELECT details FROM lives WHERE id = ?", (life.id,)).fetchone()
        if row is None:
            count_start(db, self._guard, life)
        count_death(db, self._guard, life, None if row is None else row[0])
        db.execute(
            f"{_NEW_LIFE} ON CONFLICT (id) DO UPDATE SET started_ms = excluded.started_ms, "
            "ended_ms = excluded.ended_ms, incident = excluded.incident, "
            "details = excluded.details",
            self._cells(life),
        )

    def _cells(self, life: Life) -> tuple[str, str, int, int | None, str | None, str]:
        times = life.started_ms, life.ended_ms
        return life.id, self._guard, *times, life.incident, life.model_dump_json()
