"""Runs of cron jobs that we saw in flight, and what became of them.

The gateway keeps which jobs are in flight in its memory, and calls a run lost when that is
gone. Here it is on disk at every change: whoever looks after a restart knows what was
going on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tailflip.base.durable import naming
from tailflip.ledger.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_RUNS = 5_000
INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class SeenRun:
    """One run. `ended_ms` and `verdict` (done, failed, timeout, interrupted) None: in flight.

    `seen_ms` is when it was last seen in flight.
    """

    job_id: str
    began_ms: int
    title: str
    seen_ms: int
    ended_ms: int | None = None
    verdict: str | None = None
    words: tuple[str, ...] = ()


class Runs(Table):
    """What is on record about the runs of one gateway."""

    def read(self, limit: int = 200) -> tuple[SeenRun, ...]:
        """Read the last runs, newest first; none where nothing was ever recorded."""
        with naming(self._workspace.home.ledger):
            rows = self._read(
                "SELECT job, began_ms, title, seen_ms, ended_ms, verdict, evidence FROM runs "
                "WHERE guard = ? ORDER BY began_ms DESC, job LIMIT ?",
                (self._guard, limit),
            )
        return tuple(
            SeenRun(job, began, title, seen, ended, verdict, tuple(json.loads(words)))
            for job, began, title, seen, ended, verdict, words in rows
        )

    def read_open(self) -> tuple[SeenRun, ...]:
        """Read the runs that are in flight as far as we know."""
        return tuple(run for run in self.read(MOST_RUNS) if run.verdict is None)

    def put(self, runs: Sequence[SeenRun]) -> bool:
        """Record runs, new or known; say whether anything was written.

        A run that only goes on being in flight is no news, and costs no write.
        """
        known = {(run.job_id, run.began_ms): run for run in self.read(MOST_RUNS)}
        news = [run for run in runs if _is_news(run, known.get((run.job_id, run.began_ms)))]
        if not news:
            return False
        with self._writing() as db:
            db.executemany(
                "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (guard, job, began_ms) DO UPDATE SET title = excluded.title, "
                "seen_ms = excluded.seen_ms, ended_ms = excluded.ended_ms, "
                "verdict = excluded.verdict, evidence = excluded.evidence",
                [(self._guard, *_cells(run)) for run in news],
            )
            db.execute(
                "DELETE FROM runs WHERE guard = ?1 AND rowid NOT IN (SELECT rowid FROM runs "
                "WHERE guard = ?1 ORDER BY began_ms DESC LIMIT ?2)",
                (self._guard, MOST_RUNS),
            )
        return True


def _is_news(run: SeenRun, known: SeenRun | None) -> bool:
    if known is None:
        return True
    return (run.verdict, run.ended_ms) != (known.verdict, known.ended_ms)


def _cells(run: SeenRun) -> tuple[str, int, str, int, int | None, str | None, str]:
    words = json.dumps(run.words)
    return run.job_id, run.began_ms, run.title, run.seen_ms, run.ended_ms, run.verdict, words
