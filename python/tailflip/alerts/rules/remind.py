"""When an alert that stands is told again, until a person takes note of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.alerts.rules.moments import hold_back
from tailflip.flow.alerts import Urgency

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailflip.alerts.rules.moments import Around
    from tailflip.alerts.rules.told import Told
    from tailflip.flow.alerts import Alert, AlertSettings, Destination

_DAY_MS = 86_400_000
_MOST_WARNINGS = 3


def find_reminder(alert: Alert, to: Destination, told: Told, around: Around) -> int | None:
    """Find when an alert that nobody took note of is told again; None for never.

    One reminder makes up for all that were missed, as by a host that was off.
    """
    tellings = told.list_tellings(alert)
    if not tellings or alert.cleared_ms is not None:
        return None
    began_ms, last_ms = tellings[0].made_ms, tellings[-1].made_ms
    for wait_ms in _list_waits(alert, around.settings):
        if began_ms + wait_ms > last_ms:
            return hold_back(began_ms + wait_ms, (alert,), to, around)
    return None


def _list_waits(alert: Alert, settings: AlertSettings) -> Iterator[int]:
    """List after how long an alert is told again, from when it was told first on."""
    if alert.urgency is not Urgency.CRITICAL:
        yield from (_DAY_MS * each for each in range(1, _MOST_WARNINGS + 1))
        return
    if not settings.remind_s:
        return
    *_, last_ms = (int(1000 * each) for each in settings.remind_s)
    yield from (int(1000 * each) for each in settings.remind_s)
    wait_ms = last_ms
    while last_ms > 0:
        wait_ms += last_ms
        yield wait_ms
