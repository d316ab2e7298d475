"""Checks databases from end to end: a damaged page may lie where no other look goes."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from tailflip.flow.conditions import DamagedDatabase
from tailflip.observe.records.database import read_database
from tailflip.observe.records.forms import name_damage

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_OK = "ok"
_MOST_CHARS = 200


def find_damage(paths: Iterable[Path]) -> tuple[DamagedDatabase, ...]:
    """Find the damaged ones among databases that exist; the others cannot be read, or are whole.

    Takes about 2 s for 2 GB in the cache of the system. Call it where no gateway lives: a log grows
    behind a long reader.
    """
    found = []
    for path in paths:
        try:
            told = read_database(path, _check)
        except (OSError, sqlite3.Error) as e:
            damaged = name_damage(path, e)
        else:
            damaged = None if told == _OK else DamagedDatabase(str(path), told)
        if damaged is not None:
            found.append(damaged)
    return tuple(found)


def _check(db: sqlite3.Connection) -> str:
    # A CHECK of OpenClaw's calls a function that SQLite has since 3.43; a result of None passes.
    db.create_function("octet_length", 1, lambda _: None)
    (told,) = db.execute("PRAGMA quick_check(1)").fetchone()
    return str(told).replace("\n", " ").strip()[:_MOST_CHARS]
