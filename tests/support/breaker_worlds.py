"""What the breaker and the loops judge by: a world at one moment, and a row of lives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from support.incident_history import make_death
from tailflip.config.schema import RestartSettings
from tailflip.flow.lives import Life, Moment
from tailflip.supervise.world import World

if TYPE_CHECKING:
    from tailflip.flow.lives import Cause, Death

NOW = 1_800_000_000_000
AT = Moment(at_ms=NOW)


def make_world(**changed: Any) -> World:
    fields: dict[str, Any] = {
        "now_ms": NOW,
        "random": 0.5,
        "config_mark": "c",
        "stores_mark": "s",
        "cured": False,
        "other_alive": False,
        "limits": RestartSettings(),
    }
    return World(**fields | changed)


def make_seen(cause: Cause, **changed: Any) -> Death:
    """A death with the least of evidence."""
    return make_death(cause, evidence=("seen",), **changed)


def make_row(ends: list[tuple[int, Cause]], *, pause_ms: int) -> list[Life]:
    """Lives one after the other, newest last, from how long each lasted and what ended it."""
    lives, at_ms = [], NOW
    for number, (length_ms, cause) in enumerate(ends):
        fields = {"id": f"l{number:03}", "guard": "g", "mode": "run", "started_ms": at_ms}
        ended_ms = at_ms + length_ms
        lives.append(Life(**fields, ended_ms=ended_ms, death=make_seen(cause)))
        at_ms = ended_ms + pause_ms
    return lives
