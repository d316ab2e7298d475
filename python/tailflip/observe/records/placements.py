"""Reads which sessions run elsewhere than in their gateway: such a run may outlive it.

Source: `worker_session_placements` of 2026.8.1 to 2026.9.6. A run in the gateway has the state
`local`, and no environment.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from tailflip.base.errors import Unavailable
from tailflip.observe.records.database import read_database

if TYPE_CHECKING:
    from pathlib import Path

_TABLE = "worker_session_placements"


def read_placed(path: Path) -> frozenset[str]:
    """Read the ids of sessions that are placed in an environment of their own.

    Raises:
        Unavailable: the database cannot be read.
    """
    try:
        return frozenset(read_database(path, _select))
    except (sqlite3.Error, OSError) as e:
        raise Unavailable(f"which runs are placed elsewhere cannot be read: {path}: {e}") from e


def _select(db: sqlite3.Connection) -> list[str]:
    has_table = db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (_TABLE,)).fetchone()
    if has_table is None:
        return []
    rows = db.execute(
        f"SELECT session_id FROM {_TABLE} "  # noqa: S608 - a name from above
        "WHERE state <> 'local' OR environment_id IS NOT NULL"
    )
    return [str(row[0]) for row in rows]
