"""The decision after each death, and the breaker that the last decision left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tailflip.diagnose.causes import WANTED
from tailflip.flow.late import dataclass
from tailflip.flow.lives import Breaker, Decision
from tailflip.ledger.facts import Facts, put_fact
from tailflip.ledger.lives import Lives
from tailflip.ledger.table import Table

if TYPE_CHECKING:
    from tailflip.flow.lives import Life

_BREAKER = "breaker"


@dataclass(frozen=True)
class MadeDecision:
    """A decision, with its moment and the life before it."""

    at_ms: int
    life_id: str | None
    decision: Decision


class Decisions(Table):
    """The decisions about one gateway."""

    def record(
        self, decision: Decision, breaker: Breaker, life_id: str | None, now_ms: int
    ) -> None:
        """Record a decision and the breaker it left, in one transaction."""
        with self._writing() as db:
            db.execute(
                "INSERT INTO decisions (guard, made_ms, life, details) VALUES (?, ?, ?, ?)",
                (self._guard, now_ms, life_id, decision.model_dump_json()),
            )
            put_fact(db, self._guard, _BREAKER, breaker.model_dump_json())

    def record_breaker(self, breaker: Breaker) -> None:
        """Record a breaker that changed without a decision: a trial started, a life was good."""
        if breaker != self.read_breaker():
            with self._writing() as db:
                put_fact(db, self._guard, _BREAKER, breaker.model_dump_json())

    def read_breaker(self) -> Breaker:
        """Read the breaker; a closed one when there is no decision on record."""
        text = Facts(self._workspace, self._guard).read_text(_BREAKER)
        return Breaker() if text is None else self._parse(Breaker, text)

    def read_last(self) -> MadeDecision | None:
        """Read the last decision, with its moment and the life before it."""
        made = self._read_where("ORDER BY seq DESC LIMIT 1", ())
        return made[0] if made else None

    def read_standing(self) -> Decision | None:
        """Read the last decision if it still holds: no life has begun or ended since."""
        made = self.read_last()
        last = next(iter(Lives(self._workspace, self._guard).read(1)), None)
        if made is None or last is None:
            return made.decision if made else None
        if last.ended_ms is None:
            return None
        # A decision that names this life is of it, whatever its time.
        is_later = made.life_id is None and made.at_ms >= last.ended_ms
        return made.decision if made.life_id == last.id or is_later else None

    def read_since(self, since_ms: int) -> tuple[MadeDecision, ...]:
        """Read the decisions since a moment, oldest first."""
        return self._read_where("AND made_ms >= ? ORDER BY seq", (since_ms,))

    def is_undecided(self, life: Life) -> bool:
        """Say whether a verdict has no decision: tailflip ended between the two."""
        if life.death is None or life.death.cause in WANTED:
            return False
        made = self.read_last()
        if made is not None and made.life_id is None and made.at_ms >= (life.ended_ms or 0):
            return False
        where = "SELECT 1 FROM decisions WHERE guard = ? AND life = ? LIMIT 1"
        return not self._read(where, (self._guard, life.id))

    def _read_where(self, where: str, values: tuple[Any, ...]) -> tuple[MadeDecision, ...]:
        rows = self._read(
            f"SELECT made_ms, life, details FROM decisions WHERE guard = ? {where}",  # noqa: S608 - from the lines above
            (self._guard, *values),
        )
        return tuple(MadeDecision(row[0], row[1], self._parse(Decision, row[2])) for row in rows)
