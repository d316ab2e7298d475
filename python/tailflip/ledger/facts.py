"""Facts under a name: any JSON value, one for each gateway and name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tailflip.ledger.table import Table

if TYPE_CHECKING:
    import sqlite3

# The heap that a gateway may use, put by its guard: asking node again costs a start of node.
HEAP_LIMIT_FACT = "heap-limit"
# The file of settings as it was at the last start without a mistake in it.
SETTINGS_FACT = "settings"

# What the last survey of the stores before a start found, in numbers.
SURVEY_FACT = "survey"


class Facts(Table):
    """The facts of one gateway."""

    def put(self, name: str, value: object) -> None:
        """Store a value; an equal value on record costs no write."""
        text = json.dumps(value, sort_keys=True)
        if text != self.read_text(name):
            with self._writing() as db:
                put_fact(db, self._guard, name, text)

    def get(self, name: str) -> Any:
        """Read a value; None when there is none."""
        text = self.read_text(name)
        return None if text is None else json.loads(text)

    def read_text(self, name: str) -> str | None:
        """Read a value as the JSON text on record."""
        rows = self._read(
            "SELECT value FROM facts WHERE guard = ? AND name = ?", (self._guard, name)
        )
        return rows[0][0] if rows else None


def put_fact(db: sqlite3.Connection, guard: str, name: str, text: str) -> None:
    """Write a fact in a transaction that writes other rows too."""
    db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", (guard, name, text))
