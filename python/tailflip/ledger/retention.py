"""Deletes old rows of the history, so that its file stays small.

By age: rows older than the days to keep. By number: a crash loop may write a life a minute, so
lives, decisions, samples and stderr tails have a maximum too. The newest life, the last decision,
open incidents and alerts, and standing findings stay: the next start needs them. SQLite uses freed
room again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

DAY_MS = 86_400_000
MOST_LIVES = 2_000
MOST_DECISIONS = 5_000
MOST_SAMPLES = 5_000
MOST_TAILS = 20


def drop_old_tails(db: sqlite3.Connection, guard: str) -> None:
    """Delete the stderr of all but the newest lives: a tail can be a quarter of a megabyte."""
    db.execute(
        "UPDATE lives SET stderr = NULL WHERE guard = ?1 AND stderr IS NOT NULL AND seq NOT IN "
        "(SELECT seq FROM lives WHERE guard = ?1 AND stderr IS NOT NULL "
        "ORDER BY seq DESC LIMIT ?2)",
        (guard, MOST_TAILS),
    )


def drop_expired(db: sqlite3.Connection, guard: str, now_ms: int, keep_days: float) -> None:
    """Delete one guard's rows beyond age or number."""
    before_ms = now_ms - int(keep_days * DAY_MS)
    for table, at, most in (
        ("lives", "coalesce(ended_ms, started_ms)", MOST_LIVES),
        ("decisions", "made_ms", MOST_DECISIONS),
    ):
        db.execute(
            f"DELETE FROM {table} WHERE guard = ?1 "  # noqa: S608 - names from the line above
            f"AND seq < (SELECT max(seq) FROM {table} WHERE guard = ?1) "
            f"AND ({at} < ?2 OR seq NOT IN "
            f"(SELECT seq FROM {table} WHERE guard = ?1 ORDER BY seq DESC LIMIT ?3))",
            (guard, before_ms, most),
        )
    db.execute("DELETE FROM incidents WHERE guard = ? AND closed_ms < ?", (guard, before_ms))
    db.execute("DELETE FROM maintenances WHERE guard = ? AND ended_ms < ?", (guard, before_ms))
    db.execute("DELETE FROM findings WHERE guard = ? AND ended_ms < ?", (guard, before_ms))
    db.execute("DELETE FROM samples WHERE guard = ? AND at_ms < ?", (guard, before_ms))
    db.execute("DELETE FROM alerts WHERE guard = ? AND closed_ms < ?", (guard, before_ms))
    # What an open alert told, and to whom, stays: it would be told again.
    db.execute(
        "DELETE FROM notices WHERE guard = ?1 AND next_ms IS NULL AND made_ms < min(?2, "
        "coalesce((SELECT min(first_ms) FROM alerts WHERE guard = ?1), ?2))",
        (guard, before_ms),
    )
    _thin_samples(db, guard)
    drop_old_tails(db, guard)


def _thin_samples(db: sqlite3.Connection, guard: str) -> None:
    """Keep the newest `MOST_SAMPLES` / 2 samples, and of the older ones every n-th."""
    count = db.execute("SELECT count(*) FROM samples WHERE guard = ?", (guard,)).fetchone()[0]
    if count <= MOST_SAMPLES:
        return
    untouched = MOST_SAMPLES // 2
    nth = -(-(count - untouched) // (MOST_SAMPLES - untouched))
    db.execute(
        "DELETE FROM samples WHERE rowid IN (SELECT id FROM (SELECT rowid AS id, "
        "row_number() OVER (ORDER BY at_ms DESC, rowid DESC) - 1 AS n "
        "FROM samples WHERE guard = ?1) WHERE n >= ?2 AND (n - ?2) % ?3 != 0)",
        (guard, untouched, nth),
    )
