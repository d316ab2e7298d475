"""A maintenance: a person works on a gateway, and tailflip keeps its hands off until a set end."""

from __future__ import annotations

from enum import StrEnum

from tailflip.flow.lives import Moment
from tailflip.flow.values import Value

# No maintenance lasts longer, whoever asks and whatever the clock does.
MOST_MS = 86_400_000


class MaintenanceEnd(StrEnum):
    """What ended a maintenance: its time, a person, or the end of the command that it was for."""

    TIME = "time"
    OFF = "off"
    COMMAND = "command"


class Maintenance(Value):
    """One maintenance of one gateway.

    `began_ms` and `until_ms` are by the wall clock; the ledger dates `until_ms` anew whenever it
    reads one that lasts, for the clock may have been set. `quiet_only`: alerts are silent, and
    tailflip works as ever; else it keeps its hands off too. `by` is who asked, `command` the name
    of the program that it was wrapped round. `left_ms` was left at `anchor`, the last moment that
    is on record. `ended_ms` and `end` None: it lasts.
    """

    id: str
    began_ms: int
    until_ms: int
    anchor: Moment
    left_ms: int
    reason: str = ""
    by: str = ""
    quiet_only: bool = False
    command: str | None = None
    ended_ms: int | None = None
    end: MaintenanceEnd | None = None

    @property
    def is_hands_off(self) -> bool:
        """Say whether tailflip heals, restarts and starts nothing by itself meanwhile."""
        return not self.quiet_only
