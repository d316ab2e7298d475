"""Counts of what ever happened: each is raised with the row that it counts, and none ever falls.

Rows of the history are deleted in time; a count of rows would fall with them.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING

from tailflip.diagnose.causes import WANTED
from tailflip.flow.late import dataclass
from tailflip.ledger.database import Database

if TYPE_CHECKING:
    import sqlite3

    from tailflip.base.workspace import Workspace
    from tailflip.flow.lives import Life


_LAST = "SELECT ended_ms, details FROM lives WHERE guard = ? ORDER BY seq DESC LIMIT 1"
_DOWN_FACT = "down-counted-ms"  # up to when the time without a gateway is counted


class Count(StrEnum):
    """The counts; the schema step that made the table has the same names."""

    STARTS = "starts"
    DEATHS = "deaths"  # by cause
    DOWN_MS = "down-ms"
    INCIDENTS = "incidents"  # by cause
    ACTIONS = "actions"  # by kind, as all below
    ACTION_FAILURES = "action-failures"
    ACTION_MS = "action-ms"
    FREED_BYTES = "freed-bytes"
    ALERTS_SENT = "alerts-sent"  # by destination, as below
    ALERT_FAILURES = "alert-failures"


@dataclass(frozen=True)
class Counter:
    """One count of one gateway; `label` is empty where it has no parts.

    `guard` is empty for an action on files that lay below no gateway's state directory on record.
    """

    guard: str
    name: str
    label: str
    value: int


def raise_count(
    db: sqlite3.Connection, guard: str, name: Count, label: str = "", by: int = 1
) -> None:
    """Raise a count in the transaction that writes what it counts; never lower one."""
    if by > 0:
        db.execute(
            "INSERT INTO counters VALUES (?, ?, ?, ?) ON CONFLICT (guard, name, label) "
            "DO UPDATE SET value = value + excluded.value",
            (guard, name, label, by),
        )


def count_start(db: sqlite3.Connection, guard: str, life: Life) -> None:
    """Count a life that is new, before its row is written, and the time before it without one.

    The time after an end that was wanted does not count, nor before a start that nobody saw.
    """
    raise_count(db, guard, Count.STARTS)
    row = db.execute(_LAST, (guard,)).fetchone()
    if row is None or row[0] is None or not life.begin_known or _read_cause(row[1]) in WANTED:
        return
    _count_down(db, guard, row[0], life.started_ms)


def count_down(db: sqlite3.Connection, guard: str, now_ms: int) -> None:
    """Count the time up to now for which the gateway is down, if nobody wanted it to end.

    What was counted is on record, so that the next start counts the rest alone.
    """
    row = db.execute(_LAST, (guard,)).fetchone()
    if row is not None and row[0] is not None and _read_cause(row[1]) not in WANTED:
        _count_down(db, guard, row[0], now_ms)


def _count_down(db: sqlite3.Connection, guard: str, ended_ms: int, until_ms: int) -> None:
    query = "SELECT value FROM facts WHERE guard = ? AND name = ?"
    noted = db.execute(query, (guard, _DOWN_FACT)).fetchone()
    from_ms = ended_ms if noted is None else max(ended_ms, int(json.loads(noted[0])))
    if until_ms > from_ms:
        raise_count(db, guard, Count.DOWN_MS, by=until_ms - from_ms)
        row = (guard, _DOWN_FACT, json.dumps(until_ms))
        db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", row)


def count_death(db: sqlite3.Connection, guard: str, life: Life, known: str | None) -> None:
    """Count the verdict on an end, once; `known` is what was on record of this life before."""
    if life.death is not None and (known is None or _read_cause(known) is None):
        raise_count(db, guard, Count.DEATHS, life.death.cause)


def find_guard_of(db: sqlite3.Connection, path: str) -> str:
    """Find the gateway whose state directory holds a path; empty where none on record does."""
    row = db.execute(
        "SELECT guard FROM lives WHERE substr(?1, 1, length(guard) + 1) = guard || '/' "
        "ORDER BY length(guard) DESC LIMIT 1",
        (path,),
    ).fetchone()
    return "" if row is None else str(row[0])


def read_counters(workspace: Workspace) -> tuple[Counter, ...]:
    """Read the counts of all gateways; none where there is no ledger."""
    database = Database(workspace)
    if not database.exists:
        return ()
    with database.connected() as db:
        rows = db.execute("SELECT guard, name, label, value FROM counters ORDER BY 1, 2, 3")
        return tuple(Counter(*row) for row in rows.fetchall())


def _read_cause(details: str) -> str | None:
    """Read the cause of an end from a life on record; None without one."""
    try:
        death = json.loads(details).get("death")
        return str(death["cause"]) if death else None
    except (ValueError, AttributeError, KeyError, TypeError):
        return None
