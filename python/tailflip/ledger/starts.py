"""The last start that `gate` or `preflight` judged: they are gone when a person asks."""

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


class JudgedStart(Value):
    """What became of one start by `gate` or `preflight`.

    `go` says that the gateway was let start, `looked` False that we could not do our work
    and let it start all the same. `reason` is that of a refusal. `actions` are the ids of what
    was done to stores and ledgers before, None if that is not known. `life` began with it.
    `pid` is of the process that judged, with its start in clock ticks since boot; it became
    the gateway, or waits (is parked) after a refusal. `other_pid` is of the living gateway, or
    its supervisor, for whose sake it was refused.
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
        """Record a start that was refused: no life begins with it."""
        with self._writing() as db:
            put_start(db, self._guard, start)

    def read_last(self) -> JudgedStart | None:
        """Read the last start that was judged; None as well if a newer tailflip wrote it."""
        text = self.read_text(_FACT)
        with suppress(ValidationError):
            return None if text is None else JudgedStart.model_validate_json(text)
        return None


def put_start(db: sqlite3.Connection, guard: str, start: JudgedStart) -> None:
    """Write a judged start in a transaction that writes other rows too."""
    put_fact(db, guard, _FACT, start.model_dump_json())
