"""The incidents: deaths of one signature, from the first until a good life."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tailflip.base.errors import Usage
from tailflip.flow.lives import Incident
from tailflip.ledger.counters import Count, raise_count
from tailflip.ledger.table import Table

if TYPE_CHECKING:
    from tailflip.flow.lives import Death

_COLUMNS = (
    "guard", "opened_ms", "closed_ms", "acked_ms", "cause", "signature", "acked_by", "note",
)  # fmt: skip
_MARKS = ", ".join("?" * len(_COLUMNS))
_SELECT = f"SELECT seq, {', '.join(_COLUMNS)} FROM incidents"  # noqa: S608 - our own constant


class Incidents(Table):
    """The incidents of one gateway."""

    def open(self, death: Death, now_ms: int) -> Incident:
        """Open an incident for a death, or find the open one of the same signature."""
        for incident in self._read_where("closed_ms IS NULL", ()):
            if incident.signature == death.signature:
                return incident
        row = (self._guard, now_ms, None, None, death.cause.value, death.signature, "", "")
        with self._writing() as db:
            cursor = db.execute(
                f"INSERT INTO incidents ({', '.join(_COLUMNS)}) VALUES ({_MARKS})",  # noqa: S608 - our own constants
                row,
            )
            raise_count(db, self._guard, Count.INCIDENTS, death.cause)
            return _parse((cursor.lastrowid, *row))

    def close_all(self, now_ms: int) -> tuple[Incident, ...]:
        """Close every open incident after a good life; returns them, closed."""
        found = self._read_where("closed_ms IS NULL", ())
        if found:
            with self._writing() as db:
                db.execute(
                    "UPDATE incidents SET closed_ms = ? WHERE guard = ? AND closed_ms IS NULL",
                    (now_ms, self._guard),
                )
        return tuple(each.model_copy(update={"closed_ms": now_ms}) for each in found)

    def ack(self, incident_id: str, now_ms: int, by: str = "", note: str = "") -> Incident:
        """Record that a person has seen an incident; the first time counts, a note is taken.

        Raises:
            Usage: no incident has that id.
        """
        incident = self.find(incident_id)
        seen = incident.model_copy(
            update={
                "acked_ms": now_ms if incident.acked_ms is None else incident.acked_ms,
                "acked_by": by or incident.acked_by,
                "note": note or incident.note,
            }
        )
        if seen != incident:
            with self._writing() as db:
                db.execute(
                    "UPDATE incidents SET acked_ms = ?, acked_by = ?, note = ? WHERE seq = ?",
                    (seen.acked_ms, seen.acked_by, seen.note, incident.id),
                )
        return seen

    def find(self, incident_id: str) -> Incident:
        """Read one incident, of this or another gateway.

        Raises:
            Usage: no incident has that id.
        """
        rows = self._read(f"{_SELECT} WHERE CAST(seq AS TEXT) = ?", (incident_id,))
        if not rows:
            raise Usage(f"no such incident: {incident_id}", hint="see `tailflip incidents`")
        with self._expecting_own_rows():
            return _parse(rows[0])

    def read(self, limit: int = 50) -> tuple[Incident, ...]:
        """Read the last incidents, newest first."""
        return self._read_where("? ORDER BY seq DESC LIMIT ?", (True, limit))

    def _read_where(self, where: str, values: tuple[Any, ...]) -> tuple[Incident, ...]:
        rows = self._read(f"{_SELECT} WHERE guard = ? AND {where}", (self._guard, *values))
        with self._expecting_own_rows():
            return tuple(_parse(row) for row in rows)


def _parse(row: tuple[Any, ...]) -> Incident:
    return Incident(id=str(row[0]), **dict(zip(_COLUMNS, row[1:], strict=True)))
