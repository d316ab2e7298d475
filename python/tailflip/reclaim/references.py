"""Asks every record of a gateway which of some names it has: one pass over each, by the engine.

Records are the stores, the jobs, the registers, the configuration and the task ledger. A database
is asked by its rows, for a name can be cut in two in its file. A record that cannot be read leaves
all in doubt, and what is in doubt stays.
"""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

from tailflip.base.durable import open_regular
from tailflip.base.errors import TailflipError
from tailflip.flow.late import dataclass
from tailflip.observe.records.database import read_database
from tailflip.stores.mentions import Mentions, can_ask

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tailflip.stores.target import Scene

_OF_TEXT = ("*.json", "cron/*.json", "subagents/*.json", "agents/*/agent/*.json")
_OF_ROWS = ("tasks/*.sqlite", "flows/*.sqlite", "state/*.sqlite")
_MOST_CELL_BYTES = 64 << 20
_IN_DATABASE = (
    "sessions are in a database here: `openclaw sessions cleanup` and `openclaw update cleanup` "
    "know what is over"
)


@dataclass(frozen=True)
class Named:
    """The names that occur; `doubt` says why none can be relied upon to be missing."""

    names: frozenset[str] = frozenset()
    doubt: str | None = None


def find_named(scene: Scene, names: Iterable[str]) -> Named:
    """Find out which of at most `mentions.MOST_NAMES` names occur in any record of the gateway.

    A name that cannot be asked for is left out: `can_ask` tells.
    """
    asked = [name for name in dict.fromkeys(names) if can_ask(name)]
    if any(store.path.suffix == ".sqlite" for store in (*scene.stores, *scene.kept)):
        return Named(doubt=_IN_DATABASE)
    if scene.missing:
        return Named(doubt=f"a store is missing, which may name it: {scene.missing[0].path}")
    mentions = Mentions(asked)
    for path in dict.fromkeys(_list_records(scene)):
        try:
            _ask(mentions, path)
        except FileNotFoundError:
            continue
        except (OSError, TailflipError, sqlite3.Error, ValueError) as e:
            return Named(doubt=f"a record that may name it cannot be read: {path}: {e}")
    return Named(frozenset(mentions.found()))


def _list_records(scene: Scene) -> Iterator[Path]:
    at = scene.installation
    yield from (store.path for store in (*scene.stores, *scene.kept))
    yield at.config_path
    yield at.cron_store
    for pattern in (*_OF_TEXT, *_OF_ROWS):
        yield from sorted(at.state_dir.glob(pattern))


def _ask(mentions: Mentions, path: Path) -> None:
    if path.suffix == ".sqlite":
        read_database(path, lambda db: _ask_rows(mentions, db))
        return
    with open_regular(path) as fd:
        before = os.fstat(fd)
        mentions.scan(fd)
        after = os.fstat(fd)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise ValueError("it changed while it was read")


def _ask_rows(mentions: Mentions, db: sqlite3.Connection) -> None:
    """Feed every text and blob of a database; a row is in memory at a time.

    Raises:
        ValueError: a cell is too large for that.
    """
    db.text_factory = bytes
    tables = [
        (row[0].decode("utf-8", "surrogateescape"), (row[1] or b"").lower())
        for row in db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'")
    ]
    for table, sql in tables:
        if sql.startswith(b"create virtual"):
            continue  # what it indexes stands in other tables
        quoted = '"' + table.replace('"', '""') + '"'
        for row in db.execute(f"SELECT * FROM {quoted}"):  # noqa: S608 - quoted
            for cell in row:
                if isinstance(cell, bytes):
                    if len(cell) > _MOST_CELL_BYTES:
                        raise ValueError(f"table {table} has a row that is too large")
                    mentions.read(cell)
