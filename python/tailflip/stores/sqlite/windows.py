"""The sessions that an agent's database still has windows for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.stores.sqlite.reading import read
from tailflip.stores.sqlite.schema import WINDOWS

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from tailflip.stores.sqlite.schema import Schema


class Windows:
    """Looks up sessions; the database is opened for each question, and there are few."""

    def __init__(self, path: Path) -> None:
        """Take a database that can be read.

        Raises:
            StoreInvalid: it cannot.
        """
        self._path = path
        self.has("")

    def has(self, session: str) -> bool:
        """Say whether an entry needs a session's transcript."""

        def work(db: sqlite3.Connection, _: Schema) -> bool:
            row = db.execute(f"SELECT 1 FROM {WINDOWS} WHERE session_id = ?", (session,))
            return row.fetchone() is not None

        return read(self._path, work)[0]
