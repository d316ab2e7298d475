"""One gateway's history: its tables, and the deletion of old rows."""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING

from tailflip.base.moments import read_moment
from tailflip.ledger.database import Database
from tailflip.ledger.decisions import Decisions
from tailflip.ledger.facts import Facts, put_fact
from tailflip.ledger.incidents import Incidents
from tailflip.ledger.lives import Lives
from tailflip.ledger.retention import DAY_MS, drop_expired
from tailflip.ledger.runs import Runs
from tailflip.ledger.samples import Samples
from tailflip.ledger.starts import Starts
from tailflip.ledger.table import Table

if TYPE_CHECKING:
    from tailflip.base.workspace import Workspace
    from tailflip.flow.maintenance import Maintenance
    from tailflip.ledger.alerts import Alerts
    from tailflip.ledger.findings import Findings
    from tailflip.ledger.maintenances import Maintenances
    from tailflip.ledger.notices import Notices

_EXPIRED = "expired-ms"


class History(Table):
    """The tables of one gateway; `guard` is the real path of its state directory."""

    def __init__(self, workspace: Workspace, guard: str) -> None:
        super().__init__(workspace, guard)
        self.workspace = workspace
        self.guard = guard
        self.lives = Lives(workspace, guard)
        self.starts = Starts(workspace, guard)
        self.decisions = Decisions(workspace, guard)
        self.incidents = Incidents(workspace, guard)
        self.samples = Samples(workspace, guard)
        self.runs = Runs(workspace, guard)
        self.facts = Facts(workspace, guard)

    @cached_property
    def findings(self) -> Findings:
        """The table of findings; most starts have none to note."""
        from tailflip.ledger.findings import Findings  # noqa: PLC0415

        return Findings(self.workspace, self.guard)

    @cached_property
    def alerts(self) -> Alerts:
        """The table of alerts; only who tells people needs it."""
        from tailflip.ledger.alerts import Alerts  # noqa: PLC0415

        return Alerts(self.workspace, self.guard)

    @cached_property
    def notices(self) -> Notices:
        """The outbox; only who tells people needs it."""
        from tailflip.ledger.notices import Notices  # noqa: PLC0415

        return Notices(self.workspace, self.guard)

    @cached_property
    def maintenances(self) -> Maintenances:
        """The table of maintenances; hardly any start falls into one."""
        from tailflip.ledger.maintenances import Maintenances  # noqa: PLC0415

        return Maintenances(self.workspace, self.guard)

    def has_maintenance(self) -> bool:
        """Say whether a maintenance has no end on record; its time may be over all the same."""
        where = "SELECT 1 FROM maintenances WHERE guard = ? AND ended_ms IS NULL"
        return bool(self._read(where, (self.guard,)))

    def read_maintenance(self) -> Maintenance | None:
        """Read the maintenance that lasts; nothing is written."""
        return self.maintenances.read_active(read_moment()) if self.has_maintenance() else None

    def expire(self, now_ms: int, keep_days: float) -> bool:
        """Delete rows beyond age or number, at most once a day; says whether it looked."""
        last_ms = self.facts.get(_EXPIRED)
        if last_ms is not None and 0 <= now_ms - last_ms < DAY_MS:
            return False
        if not self._database.exists:
            return False
        with self._writing() as db:
            drop_expired(db, self.guard, now_ms, keep_days)
            put_fact(db, self.guard, _EXPIRED, json.dumps(now_ms))
        return True


def read_guards(workspace: Workspace) -> tuple[str, ...]:
    """List the gateways that have a history, the one with the newest life first."""
    database = Database(workspace)
    if not database.exists:
        return ()
    with database.connected() as db:
        rows = db.execute("SELECT guard FROM lives GROUP BY guard ORDER BY max(seq) DESC")
        return tuple(row[0] for row in rows.fetchall())


def list_guards(workspace: Workspace) -> tuple[str, ...]:
    """List every gateway with a row of its own, also one that no life of is known."""
    database = Database(workspace)
    if not database.exists:
        return ()
    tables = ("lives", "findings", "facts", "maintenances")
    with database.connected() as db:
        # A ledger that is only read has the tables that the tailflip had which wrote it.
        names = {row[0] for row in db.execute("SELECT name FROM sqlite_master").fetchall()}
        there = [each for each in tables if each in names]
        if not there:
            return ()
        every = " UNION ".join(f"SELECT guard FROM {table}" for table in there)  # noqa: S608 - from the lines above
        return tuple(row[0] for row in db.execute(f"{every} ORDER BY 1").fetchall())
