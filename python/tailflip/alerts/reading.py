"""Reads from the ledger what the rules conclude from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tailflip.alerts.conditions import Known
from tailflip.alerts.rules.failing import list_failing
from tailflip.flow.alerts import Silence
from tailflip.ledger.actions import Ledger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailflip.flow.alerts import Alert, AlertSettings, Notice
    from tailflip.ledger.history import History

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


def read_known(history: History, settings: AlertSettings, notices: Sequence[Notice]) -> Known:
    """Read what is known of the gateway."""
    guard = history.guard
    below = guard + os.sep
    made = history.decisions.read_last()
    names = [each.name for each in settings.destinations]
    actions = Ledger(history.workspace).read_all()
    return Known(
        guard,
        lives=history.lives.read(_MOST_LIVES),
        breaker=None if made is None else history.decisions.read_breaker(),
        start=history.starts.read_last(),
        incidents=history.incidents.read(),
        findings=history.findings.read(),
        actions=tuple(each for each in actions if each.store.startswith(below)),
        failing=list_failing(names, notices),
    )


def read_silence(history: History) -> Silence | None:
    """Read the maintenance that lasts, for the rules of alerts."""
    lasts = history.read_maintenance()
    return None if lasts is None else Silence(lasts.began_ms, lasts.until_ms)
