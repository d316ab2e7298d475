"""The outbox: one row for each message and destination, written before it is sent.

waiting ──▶ delivered
   ├──────▶ given up: its last try failed, or no further one can help
   └──────▶ replaced: it was over before it could be delivered
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tailflip.flow.alerts import MessageKind, Notice, Urgency
from tailflip.ledger.counters import Count, raise_count
from tailflip.ledger.facts import put_fact
from tailflip.ledger.table import Table

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

_FIELDS = (
    "destination", "kind", "urgency", "alerts", "subject", "body", "made_ms", "tries", "next_ms",
    "delivered_ms", "given_up_ms", "error",
)  # fmt: skip
_COLUMNS = ", ".join(_FIELDS)
_MARKS = ", ".join("?" * len(_FIELDS))
NEW = 0  # the number of a notice that is not on record yet


class Notices(Table):
    """The outbox of one gateway."""

    def read(self, since_ms: int) -> tuple[Notice, ...]:
        """Read the notices that wait, and those made since a moment; oldest first."""
        rows = self._read(
            f"SELECT number, {_COLUMNS} FROM notices WHERE guard = ? "  # noqa: S608 - our own constant
            "AND (next_ms IS NOT NULL OR made_ms >= ?) ORDER BY number",
            (self._guard, since_ms),
        )
        return tuple(_parse(row) for row in rows)

    def read_last(self, limit: int = 20) -> tuple[Notice, ...]:
        """Read the last notices, newest first."""
        rows = self._read(
            f"SELECT number, {_COLUMNS} FROM notices WHERE guard = ? ORDER BY number DESC LIMIT ?",  # noqa: S608 - our own constant
            (self._guard, limit),
        )
        return tuple(_parse(row) for row in rows)

    def write(
        self,
        notices: Sequence[Notice],
        *,
        replaced: Sequence[int] = (),
        facts: Mapping[str, object] | None = None,
    ) -> tuple[Notice, ...]:
        """Put new notices into the outbox, in one transaction with what belongs to them.

        Args:
            notices: the new ones.
            replaced: the numbers of those that are not to be sent any more.
            facts: what is to be remembered with them.

        Returns:
            the new ones, with their numbers.
        """
        if not (notices or replaced or facts):
            return ()
        made = []
        with self._writing() as db:
            for number in replaced:
                db.execute("UPDATE notices SET next_ms = NULL WHERE number = ?", (number,))
            for notice in notices:
                cursor = db.execute(
                    f"INSERT INTO notices (guard, {_COLUMNS}) VALUES (?, {_MARKS})",  # noqa: S608 - our own constants
                    (self._guard, *_cells(notice)),
                )
                made.append(replace(notice, number=cursor.lastrowid or NEW))
            for name, value in (facts or {}).items():
                put_fact(db, self._guard, name, json.dumps(value, sort_keys=True))
        return tuple(made)

    def note(self, notice: Notice) -> None:
        """Record how a notice fares; the others that wait for its receiver wait as long."""
        with self._writing() as db:
            self._count(db, notice)
            self._put(db, notice)
            if notice.next_ms is not None:
                db.execute(
                    "UPDATE notices SET next_ms = max(next_ms, ?) "
                    "WHERE guard = ? AND destination = ? AND next_ms IS NOT NULL",
                    (notice.next_ms, self._guard, notice.destination),
                )

    def hasten(self, now_ms: int) -> int:
        """Have everything that waits tried now; counts it."""
        with self._writing() as db:
            return db.execute(
                "UPDATE notices SET next_ms = ? WHERE guard = ? AND next_ms IS NOT NULL",
                (now_ms, self._guard),
            ).rowcount

    def read_deliveries(self) -> dict[str, int]:
        """Read when each destination last had a message, as far as that is on record."""
        query = (
            "SELECT destination, max(delivered_ms) FROM notices "
            "WHERE guard = ? AND delivered_ms IS NOT NULL GROUP BY destination"
        )
        return dict(self._read(query, (self._guard,)))

    def count_waiting(self) -> dict[str, int]:
        """Count what waits for each destination."""
        query = (
            "SELECT destination, count(*) FROM notices "
            "WHERE guard = ? AND next_ms IS NOT NULL GROUP BY destination"
        )
        return dict(self._read(query, (self._guard,)))

    def _count(self, db: sqlite3.Connection, notice: Notice) -> None:
        """Count how a try ended; one that only begins raises the number of tries."""
        query = "SELECT tries, delivered_ms FROM notices WHERE number = ?"
        row = db.execute(query, (notice.number,)).fetchone()
        if row is None or row[0] != notice.tries or row[1] is not None:
            return
        name = Count.ALERT_FAILURES if notice.delivered_ms is None else Count.ALERTS_SENT
        raise_count(db, self._guard, name, notice.destination)

    @staticmethod
    def _put(db: sqlite3.Connection, notice: Notice) -> None:
        db.execute(
            "UPDATE notices SET tries = ?, next_ms = ?, delivered_ms = ?, given_up_ms = ?, "
            "error = ? WHERE number = ?",
            (
                notice.tries, notice.next_ms, notice.delivered_ms, notice.given_up_ms,
                notice.error, notice.number,
            ),
        )  # fmt: skip


def _cells(notice: Notice) -> tuple[Any, ...]:
    cells = {name: getattr(notice, name) for name in _FIELDS}
    cells |= {"kind": notice.kind.value, "urgency": notice.urgency.value}
    return tuple({**cells, "alerts": json.dumps(notice.alerts)}.values())


def _parse(row: tuple[Any, ...]) -> Notice:
    cells = dict(zip(("number", *_FIELDS), row, strict=True))
    cells["kind"], cells["urgency"] = MessageKind(cells["kind"]), Urgency(cells["urgency"])
    return Notice(**cells | {"alerts": tuple(json.loads(cells["alerts"]))})
