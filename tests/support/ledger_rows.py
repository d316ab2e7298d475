"""What the tests of the ledger's tables put into them, and how they count what was written."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from support.stores import HOUR_MS, NOW_MS, FaultyDisk
from tailflip.base.durable import RealDisk
from tailflip.flow.findings import Finding
from tailflip.flow.lives import Cause, Confidence, Death, Life

if TYPE_CHECKING:
    from tailflip.base.state_dir import Home
    from tailflip.ledger.history import History

DISK = RealDisk()
GUARD = "/home/u/.openclaw"
DAY_MS = 24 * HOUR_MS
MB = 1_000_000


def make_life(name: str = "l1", started_ms: int = NOW_MS, **known: object) -> Life:
    return Life(id=name, guard=GUARD, mode="run", started_ms=started_ms, **known)


def make_death(signature: str = "v8-heap-oom") -> Death:
    return Death(
        cause=Cause.V8_HEAP,
        signature=signature,
        confidence=Confidence.PROVEN,
        evidence=("stderr: FATAL ERROR: Reached heap limit",),
    )


def make_finding(subject: str = "/s.json", code: str = "heap-forecast", **changed: str) -> Finding:
    cells = {"severity": "error", "message": "too big", "hint": "compact"} | changed
    return Finding(code, subject=subject, evidence=("a", "b"), **cells)


def commits(history: History) -> int:
    assert isinstance(history.workspace.disk, FaultyDisk)
    return history.workspace.disk.effects.count("commit")


def count_rows(home: Home, table: str) -> int:
    with closing(sqlite3.connect(home.ledger)) as db:
        return db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608
