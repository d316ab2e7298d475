"""Finds what nobody saw end: a gateway behind a gate, and a guard that was killed.

Only a timer, or systemd, comes by to find that. Nothing is judged for good: the next start judges
the end of the last life anew, with all that it then finds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.alerts.reading import GONE_FACT, UNGUARDED_FACT
from tailflip.base import clock
from tailflip.diagnose.causes import WANTED
from tailflip.diagnose.deaths import classify
from tailflip.flow.lives import LifeMode
from tailflip.observe.gateway.past import find_past_clues
from tailflip.observe.gateway.signs import find_definitions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailflip.flow.observed import Gateway
    from tailflip.ledger.history import History
    from tailflip.observe.installation import Installation

_UNSEEN = (LifeMode.GATE, LifeMode.PREFLIGHT)
# Our own unit is not the gateway's.
_OURS = ("INVOCATION_ID", "SYSTEMD_EXEC_PID", "JOURNAL_STREAM")


def note_lost_guard(history: History, now_ms: int) -> None:
    """Note since when a guard is gone that did not end as it should; nothing where none is."""
    is_lost = history.workspace.home.find_lost_supervisor(history.guard) is not None
    if not is_lost:
        _forget(history, UNGUARDED_FACT)
    elif history.facts.get(UNGUARDED_FACT) is None:
        history.facts.put(UNGUARDED_FACT, now_ms)


def note_gone(
    history: History,
    installation: Installation,
    gateway: Gateway,
    service: str | None,
    env: Mapping[str, str],
) -> None:
    """Note that the last gateway died, and was not started again.

    An end that left no trace, or that somebody asked for, is none: no alarm is made of a guess.

    Args:
        history: its record.
        installation: whose gateway it was.
        gateway: whether one lives now.
        service: the unit that the settings name.
        env: ours.
    """
    life = next(iter(history.lives.read(1)), None)
    if (
        gateway.alive is not False
        or life is None
        or life.ended_ms is not None
        or life.mode not in _UNSEEN
    ):
        _forget(history, GONE_FACT)
        return
    known = history.facts.get(GONE_FACT)
    if isinstance(known, dict) and known["life"] == life.id:
        return
    now_ms = clock.now_ms()
    theirs = {name: text for name, text in env.items() if name not in _OURS}
    unit = service or next(
        (each.name for each in find_definitions(installation.state_dir, env)), None
    )
    found = find_past_clues(installation, theirs, life, now_ms, unit)
    if found is None:
        return
    clues, notes = found
    death = classify(clues)
    if death.cause in WANTED:
        return
    death = death.model_copy(update={"evidence": (*death.evidence, *notes)})
    ended_ms = now_ms
    if clues.uptime_s is not None:
        ended_ms = min(now_ms, life.started_ms + int(1000 * clues.uptime_s))
    told = {"life": life.id, "ended_ms": ended_ms, "death": death.model_dump_json()}
    history.facts.put(GONE_FACT, told)


def _forget(history: History, name: str) -> None:
    if history.facts.get(name) is not None:
        history.facts.put(name, None)
