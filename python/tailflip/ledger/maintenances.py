"""The maintenances of one gateway; at most one of them lasts.

What is left of one is counted by the kernel's clock within a boot, and by the wall clock from one
boot to the next. A guard that lives notes the rest every few minutes, and a rest never grows:
a clock that is set back, or loses its time at a boot, makes no maintenance longer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base.moments import passed_ms
from tailflip.flow.maintenance import MOST_MS, Maintenance, MaintenanceEnd
from tailflip.ledger.table import Table

if TYPE_CHECKING:
    import sqlite3

    from tailflip.flow.lives import Moment

_UNNUMBERED = "0"


class Maintenances(Table):
    """The maintenances of one gateway."""

    def begin(
        self,
        length_ms: int,
        now: Moment,
        *,
        reason: str = "",
        by: str = "",
        quiet_only: bool = False,
        command: str | None = None,
    ) -> Maintenance:
        """Begin a maintenance, or give the one that lasts a new length from now on.

        Args:
            length_ms: how long at most; more than a day counts as a day.
            now: this moment.
            reason: for whoever asks; "" keeps the one given before.
            by: who asks.
            quiet_only: keep the hands at work, and silence alerts alone.
            command: the program that it is wrapped round; one that is given a length by hand
                outlives the program that it was wrapped round.
        """
        left_ms = min(length_ms, MOST_MS)
        until_ms = now.at_ms + left_ms
        with self._writing() as db:
            self._settle(db, now)
            before = self._find_open(db)
            if before is not None:
                longer = before.model_copy(
                    update={
                        "reason": reason or before.reason,
                        "by": by or before.by,
                        "quiet_only": quiet_only,
                        "command": command,
                        "until_ms": until_ms,
                        "anchor": now,
                        "left_ms": left_ms,
                    }
                )
                self._put(db, longer)
                return longer
            begun = Maintenance(
                id=_UNNUMBERED,
                began_ms=now.at_ms,
                until_ms=until_ms,
                anchor=now,
                left_ms=left_ms,
                reason=reason,
                by=by,
                quiet_only=quiet_only,
                command=command,
            )
            cursor = db.execute(
                "INSERT INTO maintenances (guard, began_ms, details) VALUES (?, ?, ?)",
                (self._guard, begun.began_ms, begun.model_dump_json()),
            )
            return begun.model_copy(update={"id": str(cursor.lastrowid)})

    def read_active(self, now: Moment) -> Maintenance | None:
        """Read the maintenance that lasts, its end dated by the present wall clock."""
        found = self._read_where("ended_ms IS NULL", ())
        left_ms = find_left_ms(found[0], now) if found else 0
        if not left_ms:
            return None
        return found[0].model_copy(update={"until_ms": now.at_ms + left_ms})

    def end(self, now: Moment, *, wrapped: Maintenance | None = None) -> Maintenance | None:
        """End the one that lasts; None if none does. One that is over ended by its time.

        Args:
            now: this moment.
            wrapped: its command has ended; another one than this, or one that is no longer
                wrapped round it, goes on.
        """
        if not self._read_where("ended_ms IS NULL", ()):
            return None
        with self._writing() as db:
            found = self._find_open(db)
            if found is None or self._settle(db, now) is not None:
                return None
            if wrapped is not None and (found.id != wrapped.id or found.command is None):
                return None
            how = MaintenanceEnd.OFF if wrapped is None else MaintenanceEnd.COMMAND
            ended = found.model_copy(update={"ended_ms": now.at_ms, "end": how})
            self._put(db, ended)
            return ended

    def settle(self, now: Moment) -> Maintenance | None:
        """Put the end of a maintenance on record whose time is over; returns that one."""
        found = self._read_where("ended_ms IS NULL", ())
        if not found or find_left_ms(found[0], now):
            return None
        with self._writing() as db:
            return self._settle(db, now)

    def note_rest(self, now: Moment) -> Maintenance | None:
        """Note what is left of the one that lasts, so that no clock can give it more."""
        found = self.read_active(now)
        if found is None:
            return None
        noted = found.model_copy(update={"anchor": now, "left_ms": find_left_ms(found, now)})
        with self._writing() as db:
            self._put(db, noted)
        return noted

    def read(self, limit: int = 50) -> tuple[Maintenance, ...]:
        """Read the last maintenances, newest first; one that lasts as it stands on record."""
        return self._read_where("? ORDER BY seq DESC LIMIT ?", (True, limit))

    def _settle(self, db: sqlite3.Connection, now: Moment) -> Maintenance | None:
        found = self._find_open(db)
        if found is None or find_left_ms(found, now):
            return None
        passed = passed_ms(found.anchor, now)
        over_ms = 0 if passed is None else passed - found.left_ms
        ended_ms = max(found.began_ms, now.at_ms - over_ms)
        ended = found.model_copy(update={"ended_ms": ended_ms, "end": MaintenanceEnd.TIME})
        self._put(db, ended)
        return ended

    def _put(self, db: sqlite3.Connection, value: Maintenance) -> None:
        db.execute(
            "UPDATE maintenances SET ended_ms = ?, details = ? WHERE seq = ?",
            (value.ended_ms, value.model_dump_json(), int(value.id)),
        )

    def _find_open(self, db: sqlite3.Connection) -> Maintenance | None:
        query = "SELECT seq, details FROM maintenances WHERE guard = ? AND ended_ms IS NULL"
        row = db.execute(query, (self._guard,)).fetchone()
        return None if row is None else self._parse_row(row[0], row[1])

    def _read_where(self, where: str, values: tuple[object, ...]) -> tuple[Maintenance, ...]:
        rows = self._read(
            f"SELECT seq, details FROM maintenances WHERE guard = ? AND {where}",  # noqa: S608 - from the lines above
            (self._guard, *values),
        )
        return tuple(self._parse_row(row[0], row[1]) for row in rows)

    def _parse_row(self, number: int, details: str) -> Maintenance:
        return self._parse(Maintenance, details).model_copy(update={"id": str(number)})


def find_left_ms(maintenance: Maintenance, now: Moment) -> int:
    """Find what is left of a maintenance; 0: it is over.

    A clock that ran backwards since the rest was noted can tell nothing, and ends it: hands that
    are at work again do less harm than hands that never come back.
    """
    passed = passed_ms(maintenance.anchor, now)
    if maintenance.ended_ms is not None or passed is None:
        return 0
    return max(0, min(maintenance.left_ms, MOST_MS) - passed)
