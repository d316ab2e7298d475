"""The runs of cron jobs that tailflip saw in flight, and their ends.

The gateway keeps its jobs in flight in memory, and calls a run lost when that is gone. The ledger
has them on disk at every change, so that a look after a restart knows which runs were in flight.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tailflip.base.durable import naming
from tailflip.flow.late import dataclass
from tailflip.ledger.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_RUNS = 5_000
INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class SeenRun:
    """One run. `ended_ms` and `verdict` (done, failed, timeout, interrupted) None: in flight.

    `seen_ms` is when the run was last seen in flight.
    """

    job_id: str
    began_ms: int
    title: str
    seen_ms: int
    ended_ms: int | None = None
    verdict: str | None = None
    words: tuple[str, ...] = ()


class Runs(Table):
    """The runs of one gateway on record."""

    def read(self, limit: int = 200) -> tuple[SeenRun, ...]:
        """Read the last runs, newest first."""
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
        """Read the runs without an end on record."""
        return tuple(run for run in self.read(MOST_RUNS) if run.verdict is None)

    def put(self, runs: Sequence[SeenRun]) -> bool:
        """Record runs, new or known; says whether it wrote.

        A run that is still in flight as before is no news, and costs no write.
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
