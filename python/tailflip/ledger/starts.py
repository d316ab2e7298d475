"""The last start that `gate` or `preflight` judged, kept for `status` after they end.

And the trial that a person asked for, until a start honours it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from pydantic import ValidationError

from tailflip.flow.lives import LifeMode
from tailflip.flow.values import Value
from tailflip.ledger.facts import Facts, put_fact

if TYPE_CHECKING:
    import sqlite3

_FACT = "last-start"
_TRIAL = "asked-trial"


class JudgedStart(Value):
    """The judgement of one start by `gate` or `preflight`.

    `go`: the gateway was allowed to start. `looked` False: tailflip could not do its work, and
    allowed the start. `reason` is that of a refusal. `actions` are the ids of actions on stores
    and ledgers before the start, None if unknown. `life` began with this start. `pid` is of the
    process that judged, with its start in clock ticks since boot; it became the gateway, or
    waits (is parked) after a refusal. `other_pid` is of the living gateway, or its supervisor,
    because of which the start was refused.
    """

    at_ms: int
    mode: LifeMode
    go: bool
    looked: bool = True
    reason: str = ""
    hint: str | None = None
    actions: tuple[str, ...] | None = None
    life: str | None = None
    pid: int | None = None
    pid_ticks: int | None = None
    other_pid: int | None = None


class Starts(Facts):
    """The last judged start of one gateway: a fact of a known form."""

    def record(self, start: JudgedStart) -> None:
        """Record a refused start, with which no life begins."""
        with self._writing() as db:
            put_start(db, self._guard, start)

    def read_last(self) -> JudgedStart | None:
        """Read the last judged start; None also if a newer tailflip wrote it."""
        text = self.read_text(_FACT)
        with suppress(ValidationError):
            return None if text is None else JudgedStart.model_validate_json(text)
        return None

    def ask_trial(self, life_id: str | None) -> None:
        """Record that a person wants a trial at once, after this life, the last one."""
        self.put(_TRIAL, {"after": life_id})

    def take_trial(self, life_id: str | None) -> bool:
        """Say whether a trial was asked for after this life, the last one; it counts once."""
        asked = self.get(_TRIAL)
        if not isinstance(asked, dict):
            return False
        self.put(_TRIAL, None)
        return asked.get("after") in (None, life_id)

    def is_trial_asked(self) -> bool:
        """Say whether a trial was asked for that no start has honoured."""
        return isinstance(self.get(_TRIAL), dict)


def put_start(db: sqlite3.Connection, guard: str, start: JudgedStart) -> None:
    """Write a judged start in a transaction that writes other rows too."""
    put_fact(db, guard, _FACT, start.model_dump_json())
