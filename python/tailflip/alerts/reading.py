"""Reads from the ledger what the rules conclude from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tailflip.alerts.conditions import Known
from tailflip.alerts.rules.failing import list_failing
from tailflip.flow.alerts import Silence
from tailflip.flow.lives import Death
from tailflip.ledger.actions import Ledger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailflip.flow.alerts import Alert, AlertSettings, Notice
    from tailflip.flow.lives import Life
    from tailflip.ledger.actions import Action
    from tailflip.ledger.history import History

# What a timer found, for nobody else was there: how the last gateway died, and since when its guard
# is gone.
GONE_FACT, UNGUARDED_FACT = "gone", "unguarded-ms"
_DAY_MS = 86_400_000
# What was closed longer ago opens no alert again, and is told of in no digest.
_CLOSED_MS = 8 * _DAY_MS
_NOTICES_MS = 3 * _DAY_MS
_MOST_LIVES = 200


def read_alerts(history: History, now_ms: int) -> tuple[Alert, ...]:
    """Read the alerts that the rules ask for: the open ones, and those closed of late."""
    return history.alerts.read(now_ms - _CLOSED_MS)


def read_notices(history: History, alerts: Sequence[Alert], now_ms: int) -> tuple[Notice, ...]:
    """Read all that was told about these alerts, and what else was told of late."""
    first_ms = min((each.first_ms for each in alerts), default=now_ms)
    return history.notices.read(min(first_ms, now_ms - _NOTICES_MS))


def _choose_own(guard: str, actions: Sequence[Action]) -> tuple[Action, ...]:
    """Choose the actions on this gateway's files."""
    if not actions:
        return ()
    from tailflip.observe.installation import choose_owned  # noqa: PLC0415 - for an action alone

    is_own = choose_owned(os.environ, Path(guard))
    return tuple(each for each in actions if is_own(each.store))


def read_known(history: History, settings: AlertSettings, notices: Sequence[Notice]) -> Known:
    """Read what is known of the gateway."""
    guard = history.guard
    made = history.decisions.read_last()
    is_lost = history.workspace.home.find_lost_supervisor(guard) is not None
    names = [each.name for each in settings.destinations]
    return Known(
        guard,
        lives=end_unseen(history.lives.read(_MOST_LIVES), history.facts.get(GONE_FACT)),
        breaker=None if made is None else history.decisions.read_breaker(),
        start=history.starts.read_last(),
        incidents=history.incidents.read(),
        findings=history.findings.read(),
        actions=_choose_own(guard, Ledger(history.workspace).read_all()),
        failing=list_failing(names, notices),
        unguarded_ms=history.facts.get(UNGUARDED_FACT) if is_lost else None,
    )


def end_unseen(lives: tuple[Life, ...], gone: Any) -> tuple[Life, ...]:
    """End the newest life where a timer found its process gone; the next start judges it anew.

    Args:
        lives: newest first.
        gone: the fact that the timer put on record; None without one.
    """
    if not (lives and isinstance(gone, dict)):
        return lives
    newest = lives[0]
    if newest.id != gone["life"] or newest.ended_ms is not None:
        return lives
    death = Death.model_validate_json(gone["death"])
    ended = newest.model_copy(update={"ended_ms": gone["ended_ms"], "death": death})
    return (ended, *lives[1:])


def read_silence(history: History) -> Silence | None:
    """Read the maintenance that lasts, for the rules of alerts."""
    lasts = history.read_maintenance()
    return None if lasts is None else Silence(lasts.began_ms, lasts.until_ms)
