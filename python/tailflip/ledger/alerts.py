"""The alerts of one gateway: a row opens, is cleared, and closes once it stayed so.

A row that is closed may be opened again: the same thing keeps its number.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tailflip.base.errors import Usage
from tailflip.flow.alerts import Alert, Urgency, Words
from tailflip.ledger.table import Table

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

# The order of the fields of `Alert` after its number.
_FIELDS = (
    "code", "subject", "urgency", "words", "since_ms", "first_ms", "opened_ms", "cleared_ms",
    "closed_ms", "acked_ms", "by", "note", "times", "maintained",
)  # fmt: skip
_OF_A_PERSON = frozenset({"acked_ms", "by", "note"})
_COLUMNS = ", ".join(_FIELDS)
_MARKS = ", ".join("?" * len(_FIELDS))
_CHANGED = ", ".join(f"{each} = :{each}" for each in _FIELDS if each not in _OF_A_PERSON)
_SELECT = f"SELECT number, {_COLUMNS} FROM alerts"  # noqa: S608 - our own constant
NEW = 0  # the number of an alert that is not on record yet


class Alerts(Table):
    """The alerts about one gateway."""

    def read(self, closed_since_ms: int) -> tuple[Alert, ...]:
        """Read the open alerts, and those that were closed since a moment; oldest first."""
        return self._read_where(
            "guard = ? AND (closed_ms IS NULL OR closed_ms >= ?) ORDER BY number",
            (self._guard, closed_since_ms),
        )

    def put(self, alerts: Sequence[Alert]) -> None:
        """Write alerts, new or known, in one transaction; no alerts cost no write."""
        if alerts:
            with self._writing() as db:
                for alert in alerts:
                    self._put(db, alert)

    def find(self, name: str) -> Alert:
        """Read one alert, of this or another gateway.

        Args:
            name: as messages have it, `tf-host-12`, or its number alone.

        Raises:
            Usage: no alert has that name.
        """
        number = name.rpartition("-")[2]
        found = self._read_where("CAST(number AS TEXT) = ?", (number,))
        if not found or (name != number and not name.startswith("tf-")):
            raise Usage(f"no such alert: {name}", hint="see `tailflip alerts`")
        return found[0]

    def find_guard(self, alert: Alert) -> str:
        """Find the gateway that an alert is about, by its guard."""
        rows = self._read("SELECT guard FROM alerts WHERE number = ?", (alert.number,))
        return str(rows[0][0])

    def ack(self, alert: Alert, now_ms: int, by: str = "", note: str = "") -> Alert:
        """Record that a person took note of an alert; the first time counts, a note is added."""
        with self._writing() as db:
            db.execute(
                "UPDATE alerts SET acked_ms = coalesce(acked_ms, ?2), "
                "by = CASE ?3 WHEN '' THEN by ELSE ?3 END, "
                "note = CASE ?4 WHEN '' THEN note ELSE ?4 END WHERE number = ?1",
                (alert.number, now_ms, by, note),
            )
        return self.find(str(alert.number))

    def _put(self, db: sqlite3.Connection, alert: Alert) -> None:
        cells = _cells(alert)
        if alert.number == NEW:
            db.execute(
                f"INSERT INTO alerts (guard, {_COLUMNS}) VALUES (?, {_MARKS})",  # noqa: S608 - our own constants
                (self._guard, *cells),
            )
            return
        # A person may take note of it at any moment: that is only undone where it opens again.
        db.execute(
            f"UPDATE alerts SET acked_ms = CASE times WHEN :times THEN acked_ms END, "  # noqa: S608 - our own constants
            "by = CASE times WHEN :times THEN by ELSE '' END, "
            f"note = CASE times WHEN :times THEN note ELSE '' END, {_CHANGED} "
            "WHERE number = :number",
            {"number": alert.number, **dict(zip(_FIELDS, cells, strict=True))},
        )

    def _read_where(self, where: str, values: tuple[Any, ...]) -> tuple[Alert, ...]:
        rows = self._read(f"{_SELECT} WHERE {where}", values)
        return tuple(_parse(row) for row in rows)


def _cells(alert: Alert) -> tuple[Any, ...]:
    cells = {name: getattr(alert, name) for name in _FIELDS}
    cells |= {"urgency": alert.urgency.value, "maintained": int(alert.maintained)}
    return tuple({**cells, "words": json.dumps(asdict(alert.words))}.values())


def _parse(row: tuple[Any, ...]) -> Alert:
    cells = dict(zip(("number", *_FIELDS), row, strict=True))
    cells["urgency"] = Urgency(cells["urgency"])
    cells["words"] = Words(**json.loads(cells["words"]))
    return Alert(**cells | {"maintained": bool(cells["maintained"])})
