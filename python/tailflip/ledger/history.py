"""One gateway's lives and deaths, what was decided about them, and what was seen meanwhile.

Written before it is acted on: whoever starts after a kill reads here what was going on.
A write returns only when it is on the medium, and there is none when nothing changed.
A ledger that is not there reads as empty; only a write makes it.
"""

from __future__ import annotations

import json
import zlib
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from tailflip.base.durable import naming
from tailflip.base.errors import IoFailed, Usage
from tailflip.diagnose.causes import WANTED
from tailflip.flow.lives import Breaker, Decision, Incident, Life
from tailflip.flow.observed import Sample
from tailflip.flow.values import Value
from tailflip.ledger.database import Database
from tailflip.ledger.findings import NotedFinding, plan_changes, read_noted
from tailflip.ledger.retention import DAY_MS, drop_expired, drop_old_tails
from tailflip.ledger.starts import FACT as LAST_START
from tailflip.ledger.starts import JudgedStart

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterator, Sequence

    from tailflip.base.durable import Disk
    from tailflip.base.state_dir import Home
    from tailflip.flow.findings import Finding
    from tailflip.flow.lives import Death

_V = TypeVar("_V", bound=Value)

# A sample is worth a write when memory or stores moved by more than this, or an hour went by.
_RSS_STEP = 0.05
_STORES_STEP = 0.01
_SAMPLE_MS = 3_600_000
_MOST_FINDINGS = 1_000
_BREAKER, _EXPIRED = "breaker", "expired-ms"  # facts of our own
_NEW_LIFE = (
    "INSERT INTO lives (id, guard, started_ms, ended_ms, incident, details) "
    "VALUES (?, ?, ?, ?, ?, ?)"
)
_INCIDENT = "SELECT seq, guard, opened_ms, closed_ms, acked_ms, cause, signature FROM incidents"


@dataclass(frozen=True)
class MadeDecision:
    """A decision with when it was made, and after which life."""

    at_ms: int
    life_id: str | None
    decision: Decision


def read_guards(home: Home, disk: Disk) -> tuple[str, ...]:
    """List the guards that have a history, the one with the newest life first."""
    database = Database(home, disk)
    if not database.exists:
        return ()
    with database.connected() as db:
        rows = db.execute("SELECT guard FROM lives GROUP BY guard ORDER BY max(seq) DESC")
        return tuple(row[0] for row in rows.fetchall())


@dataclass
class History:
    """What is on record about one gateway; `guard` is the real path of its state directory.

    Raises (every method):
        IoFailed: the file cannot be used, or holds what we did not write.
        CannotCreate: no room, or no directory to make it in.
    """

    home: Home
    disk: Disk
    guard: str
    _last_sample: tuple[str | None, Sample] | None = field(default=None, init=False, repr=False)

    # --- lives ---------------------------------------------------------------------------

    def begin_life(self, life: Life, start: JudgedStart | None = None) -> None:
        """Record a life before the process is started, and how its start was judged."""
        with self._writing() as db:
            db.execute(_NEW_LIFE, (life.id, self.guard, *_life_cells(life)))
            if start is not None:
                self._put_fact(db, LAST_START, start.model_dump_json())

    def update_life(self, life: Life) -> None:
        """Record what is now known of a life, all of it."""
        with self._writing() as db:
            self._put_life(db, life)

    def end_life(self, life: Life, stderr_tail: bytes) -> None:
        """Record the end of a life, and the last it wrote; the newest tails are kept."""
        with self._writing() as db:
            self._put_life(db, life)
            if stderr_tail:
                db.execute(
                    "UPDATE lives SET stderr = ? WHERE id = ?",
                    (zlib.compress(stderr_tail), life.id),
                )
                drop_old_tails(db, self.guard)

    def read_lives(self, limit: int = 50, *, incident: str | None = None) -> tuple[Life, ...]:
        """Read the last lives, newest first; of one incident, if that is asked for."""
        rows = self._read(
            "SELECT details FROM lives WHERE guard = ?1 AND (?2 IS NULL OR incident = ?2) "
            "ORDER BY seq DESC LIMIT ?3",
            (self.guard, incident, limit),
        )
        return tuple(self._parse(Life, row[0]) for row in rows)

    def find_life(self, life_id: str) -> Life | None:
        """Read one life."""
        rows = self._read("SELECT details FROM lives WHERE id = ?", (life_id,))
        return self._parse(Life, rows[0][0]) if rows else None

    def read_stderr(self, life_id: str) -> bytes:
        """Read the last a life wrote to stderr; empty when nothing was kept.

        It may hold secrets and what people said: for the eyes of whoever asked for it only.
        """
        rows = self._read("SELECT stderr FROM lives WHERE id = ?", (life_id,))
        if not rows or rows[0][0] is None:
            return b""
        try:
            return zlib.decompress(rows[0][0])
        except zlib.error as e:
            raise IoFailed(f"a stderr tail is damaged: {self.home.ledger}") from e

    def _put_life(self, db: sqlite3.Connection, life: Life) -> None:
        # A life that is not there (somebody deleted the ledger meanwhile) is recorded anew.
        db.execute(
            f"{_NEW_LIFE} ON CONFLICT (id) DO UPDATE SET started_ms = excluded.started_ms, "
            "ended_ms = excluded.ended_ms, incident = excluded.incident, "
            "details = excluded.details",
            (life.id, self.guard, *_life_cells(life)),
        )

    # --- decisions -----------------------------------------------------------------------

    def record_decision(
        self, decision: Decision, breaker: Breaker, life_id: str | None, now_ms: int
    ) -> None:
        """Record a decision together with the breaker it left: both or neither."""
        with self._writing() as db:
            db.execute(
                "INSERT INTO decisions (guard, made_ms, life, details) VALUES (?, ?, ?, ?)",
                (self.guard, now_ms, life_id, decision.model_dump_json()),
            )
            self._put_fact(db, _BREAKER, breaker.model_dump_json())

    def record_breaker(self, breaker: Breaker) -> None:
        """Record a breaker that changed without a decision: a trial started, a life was good."""
        if breaker != self.read_breaker():
            with self._writing() as db:
                self._put_fact(db, _BREAKER, breaker.model_dump_json())

    def read_breaker(self) -> Breaker:
        """Read the breaker; a closed one when there never was a decision."""
        text = self._read_fact(_BREAKER)
        return Breaker() if text is None else self._parse(Breaker, text)

    def read_decision(self) -> Decision | None:
        """Read the last decision."""
        made = self.read_last_decision()
        return made.decision if made else None

    def read_last_decision(self) -> MadeDecision | None:
        """Read the last decision, with when it was made and after which life."""
        made = self._read_decisions("ORDER BY seq DESC LIMIT 1", ())
        return made[0] if made else None

    def read_standing_decision(self) -> Decision | None:
        """Read the last decision if it still stands: no life has begun or ended since."""
        made, last = self.read_last_decision(), next(iter(self.read_lives(1)), None)
        if made is None or last is None:
            return made.decision if made else None
        if last.ended_ms is None:
            return None
        # A decision after this life is of it, whatever the clock said then.
        is_later = made.life_id is None and made.at_ms >= last.ended_ms
        return made.decision if made.life_id == last.id or is_later else None

    def read_decisions(self, since_ms: int) -> tuple[MadeDecision, ...]:
        """Read the decisions since a moment, oldest first."""
        return self._read_decisions("AND made_ms >= ? ORDER BY seq", (since_ms,))

    def _read_decisions(self, where: str, values: tuple[Any, ...]) -> tuple[MadeDecision, ...]:
        rows = self._read(
            f"SELECT made_ms, life, details FROM decisions WHERE guard = ? {where}",  # noqa: S608 - from the lines above
            (self.guard, *values),
        )
        return tuple(MadeDecision(row[0], row[1], self._parse(Decision, row[2])) for row in rows)

    def is_undecided(self, life: Life) -> bool:
        """Say whether a verdict stands without a decision: we were ended in between."""
        if life.death is None or life.death.cause in WANTED:
            return False
        made = self.read_last_decision()
        if made is not None and made.life_id is None and made.at_ms >= (life.ended_ms or 0):
            return False
        where = "SELECT 1 FROM decisions WHERE guard = ? AND life = ? LIMIT 1"
        return not self._read(where, (self.guard, life.id))

    # --- starts that were judged -----------------------------------------------------------

    def record_start(self, start: JudgedStart) -> None:
        """Record a start that was refused: no life begins with it."""
        with self._writing() as db:
            self._put_fact(db, LAST_START, start.model_dump_json())

    def read_last_start(self) -> JudgedStart | None:
        """Read the last start that was judged; None as well if a newer tailflip wrote it."""
        text = self._read_fact(LAST_START)
        with suppress(ValidationError):
            return None if text is None else JudgedStart.model_validate_json(text)
        return None

    # --- incidents -----------------------------------------------------------------------

    def open_incident(self, death: Death, now_ms: int) -> Incident:
        """Open an incident for a death, or find the open one of the same signature."""
        for incident in self._read_incidents("closed_ms IS NULL", ()):
            if incident.signature == death.signature:
                return incident
        row = (self.guard, now_ms, None, None, death.cause.value, death.signature)
        with self._writing() as db:
            cursor = db.execute(
                "INSERT INTO incidents (guard, opened_ms, closed_ms, acked_ms, cause, signature) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                row,
            )
            return _parse_incident((cursor.lastrowid, *row))

    def close_incidents(self, now_ms: int) -> tuple[Incident, ...]:
        """Close every open incident after a good life; returns them, closed."""
        found = self._read_incidents("closed_ms IS NULL", ())
        if found:
            with self._writing() as db:
                db.execute(
                    "UPDATE incidents SET closed_ms = ? WHERE guard = ? AND closed_ms IS NULL",
                    (now_ms, self.guard),
                )
        return tuple(each.model_copy(update={"closed_ms": now_ms}) for each in found)

    def ack(self, incident_id: str, now_ms: int) -> Incident:
        """Note that a person has seen an incident; the first time counts.

        Raises:
            Usage: there is none of that id.
        """
        incident = self.find_incident(incident_id)
        if incident.acked_ms is not None:
            return incident
        with self._writing() as db:
            db.execute("UPDATE incidents SET acked_ms = ? WHERE seq = ?", (now_ms, incident.id))
        return incident.model_copy(update={"acked_ms": now_ms})

    def find_incident(self, incident_id: str) -> Incident:
        """Read one incident, of this or another guard.

        Raises:
            Usage: there is none of that id.
        """
        rows = self._read(f"{_INCIDENT} WHERE CAST(seq AS TEXT) = ?", (incident_id,))
        if not rows:
            raise Usage(f"no such incident: {incident_id}", hint="see `tailflip incidents`")
        return self._parse_incident(rows[0])

    def read_incidents(self, limit: int = 50) -> tuple[Incident, ...]:
        """Read the last incidents, newest first."""
        return self._read_incidents("? ORDER BY seq DESC LIMIT ?", (True, limit))

    def count_deaths(self) -> dict[str, int]:
        """Count the deaths on record of each incident, by its id."""
        rows = self._read(
            "SELECT incident, count(*) FROM lives WHERE guard = ? AND incident IS NOT NULL "
            "GROUP BY incident",
            (self.guard,),
        )
        return dict(rows)

    def _read_incidents(self, where: str, values: tuple[Any, ...]) -> tuple[Incident, ...]:
        rows = self._read(f"{_INCIDENT} WHERE guard = ? AND {where}", (self.guard, *values))
        return tuple(self._parse_incident(row) for row in rows)

    # --- findings ------------------------------------------------------------------------

    def note_findings(
        self, findings: Sequence[Finding], now_ms: int, codes: Collection[str]
    ) -> bool:
        """Bring what stands up to date with what a look found; says whether it wrote.

        Args:
            findings: what was found.
            now_ms: when.
            codes: every code that this look judged; only of these may findings end.
        """
        changes = plan_changes(self.guard, self.read_findings(), findings, codes, now_ms)
        if changes:
            with self._writing() as db:
                for change in changes:
                    change(db)
        return bool(changes)

    def read_findings(self, *, open_only: bool = True) -> tuple[NotedFinding, ...]:
        """Read findings, standing ones and errors first."""
        if not self._database.exists:
            return ()
        with self._database.connected() as db:
            return read_noted(db, self.guard, open_only=open_only, limit=_MOST_FINDINGS)

    # --- samples -------------------------------------------------------------------------

    def record_sample(self, sample: Sample, life_id: str | None) -> bool:
        """Record a measurement if it is news; says whether it wrote.

        It is none when memory is within 5 % and the stores within 1 % of the last one
        recorded, which is of the same life and less than an hour old.
        """
        if self._last_sample is None:
            self._last_sample = self._read_last_sample()
        if self._last_sample is not None and not _is_news(sample, life_id, *self._last_sample):
            return False
        with self._writing() as db:
            db.execute(
                "INSERT INTO samples (guard, life, at_ms, rss_bytes, stores_bytes) "
                "VALUES (?, ?, ?, ?, ?)",
                (self.guard, life_id, sample.at_ms, sample.rss_bytes, sample.stores_bytes),
            )
        self._last_sample = (life_id, sample)
        return True

    def read_samples(self, since_ms: int, *, life_id: str | None = None) -> tuple[Sample, ...]:
        """Read the measurements since a moment, oldest first; of one life, if asked for."""
        rows = self._read(
            "SELECT at_ms, rss_bytes, stores_bytes FROM samples WHERE guard = ?1 "
            "AND at_ms >= ?2 AND (?3 IS NULL OR life = ?3) ORDER BY at_ms, rowid",
            (self.guard, since_ms, life_id),
        )
        return tuple(Sample(*row) for row in rows)

    def _read_last_sample(self) -> tuple[str | None, Sample] | None:
        rows = self._read(
            "SELECT life, at_ms, rss_bytes, stores_bytes FROM samples WHERE guard = ? "
            "ORDER BY rowid DESC LIMIT 1",
            (self.guard,),
        )
        return (rows[0][0], Sample(*rows[0][1:])) if rows else None

    # --- facts ---------------------------------------------------------------------------

    def put_fact(self, name: str, value: object) -> None:
        """Remember any JSON value under a name; no write when it is the one we have."""
        text = json.dumps(value, sort_keys=True)
        if text != self._read_fact(name):
            with self._writing() as db:
                self._put_fact(db, name, text)

    def get_fact(self, name: str) -> Any:
        """Recall what was put under a name; None when nothing was."""
        text = self._read_fact(name)
        return None if text is None else json.loads(text)

    def _read_fact(self, name: str) -> str | None:
        rows = self._read(
            "SELECT value FROM facts WHERE guard = ? AND name = ?", (self.guard, name)
        )
        return rows[0][0] if rows else None

    def _put_fact(self, db: sqlite3.Connection, name: str, text: str) -> None:
        db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", (self.guard, name, text))

    # --- retention -----------------------------------------------------------------------

    def expire(self, now_ms: int, keep_days: float) -> bool:
        """Delete what is too old or too much, at most once a day; says whether it looked."""
        last_ms = self.get_fact(_EXPIRED)
        if last_ms is not None and 0 <= now_ms - last_ms < DAY_MS:
            return False
        if not self._database.exists:
            return False
        with self._writing() as db:
            drop_expired(db, self.guard, now_ms, keep_days)
            self._put_fact(db, _EXPIRED, json.dumps(now_ms))
        return True

    # --- the file ------------------------------------------------------------------------

    @property
    def _database(self) -> Database:
        return Database(self.home, self.disk)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        if not self._database.exists:
            self.home.create(self.disk)
        with self._database.writing() as db:
            yield db

    def _read(self, query: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        if not self._database.exists:
            return []
        with self._database.connected() as db:
            return db.execute(query, values).fetchall()

    def _parse(self, kind: type[_V], text: str) -> _V:
        with naming(self.home.ledger):
            try:
                return kind.model_validate_json(text)
            except ValidationError as e:
                raise IoFailed("the ledger holds a row that we did not write") from e

    def _parse_incident(self, row: tuple[Any, ...]) -> Incident:
        with naming(self.home.ledger):
            try:
                return _parse_incident(row)
            except ValidationError as e:
                raise IoFailed("the ledger holds a row that we did not write") from e


def _life_cells(life: Life) -> tuple[int, int | None, str | None, str]:
    return life.started_ms, life.ended_ms, life.incident, life.model_dump_json()


def _parse_incident(row: tuple[Any, ...]) -> Incident:
    names = ("guard", "opened_ms", "closed_ms", "acked_ms", "cause", "signature")
    return Incident(id=str(row[0]), **dict(zip(names, row[1:], strict=True)))


def _is_news(sample: Sample, life_id: str | None, last_life: str | None, last: Sample) -> bool:
    return (
        life_id != last_life
        or not 0 <= sample.at_ms - last.at_ms < _SAMPLE_MS
        or _moved(sample.rss_bytes, last.rss_bytes, _RSS_STEP)
        or _moved(sample.stores_bytes, last.stores_bytes, _STORES_STEP)
    )


def _moved(now: int | None, last: int | None, step: float) -> bool:
    if now is None or last is None:
        return now is not last
    return abs(now - last) > step * last
