"""Which alerts open, stand, clear and close: settle and flap."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tailflip.alerts.table import OUTAGE, SALVAGED
from tailflip.flow.alerts import Alert
from tailflip.flow.lives import GOOD_LIFE_MS
from tailflip.ledger.alerts import NEW

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    from tailflip.alerts.conditions import Condition, Seen
    from tailflip.flow.alerts import AlertSettings, Silence

FLAP_MS = 3_600_000  # what is there again so soon after its end is the same alert


def change_alerts(
    alerts: Sequence[Alert],
    seen: Seen,
    settings: AlertSettings,
    silence: Silence | None,
    now_ms: int,
) -> tuple[Alert, ...]:
    """Choose what changes: new alerts, and known ones as they are from now on.

    Args:
        alerts: the open ones, and the closed ones of at least the last hour; oldest first.
        seen: what is wrong now.
        settings: how long a recovery must hold.
        silence: the last one.
        now_ms: the present moment.
    """
    last = {(each.code, each.subject): each for each in alerts}
    during = is_during(silence, now_ms)
    now = {(each.code, each.subject): each for each in seen.conditions}
    changed = [
        *(_meet(last.get(key), each, now_ms, during=during) for key, each in now.items()),
        *_end(alerts, now.keys(), seen, settings, now_ms),
    ]
    known = {each.number: each for each in alerts}
    return tuple(each for each in changed if each is not None and each != known.get(each.number))


def is_during(silence: Silence | None, now_ms: int) -> bool:
    """Say whether maintenance goes on."""
    return silence is not None and silence.since_ms <= now_ms < silence.until_ms


def find_settled(alert: Alert, settings: AlertSettings) -> int | None:
    """Find the moment when an alert that was cleared may be closed; None while it stands."""
    if alert.cleared_ms is None:
        return None
    if alert.code == SALVAGED:
        return alert.cleared_ms
    return alert.cleared_ms + (
        GOOD_LIFE_MS if alert.code in OUTAGE else int(1000 * settings.settle_s)
    )


def _meet(alert: Alert | None, condition: Condition, now_ms: int, *, during: bool) -> Alert | None:
    """Open an alert for a condition, open it again, or let it stand."""
    if alert is not None and alert.is_open:
        return _stand(alert, condition, now_ms)
    if not condition.opens or (alert is not None and condition.is_once):
        return None
    if alert is not None and now_ms - (alert.closed_ms or 0) < FLAP_MS:
        return replace(
            alert,
            urgency=condition.urgency,
            words=condition.words,
            since_ms=condition.since_ms,
            opened_ms=now_ms,
            cleared_ms=None,
            closed_ms=None,
            acked_ms=None,
            by="",
            note="",
            times=alert.times + 1,
            maintained=during,
        )
    return Alert(
        NEW,
        condition.code,
        condition.subject,
        condition.urgency,
        condition.words,
        condition.since_ms,
        first_ms=now_ms,
        opened_ms=now_ms,
        maintained=during,
    )


def _stand(alert: Alert, condition: Condition, now_ms: int) -> Alert:
    if condition.is_once and alert.acked_ms is not None:
        return replace(alert, cleared_ms=alert.acked_ms, closed_ms=now_ms)
    if not condition.opens:
        return replace(alert, cleared_ms=None)
    is_more = condition.urgency.rank < alert.urgency.rank
    return replace(
        alert,
        urgency=condition.urgency if is_more else alert.urgency,
        words=condition.words,
        cleared_ms=None,
    )


def _end(
    alerts: Sequence[Alert],
    standing: Container[tuple[str, str]],
    seen: Seen,
    settings: AlertSettings,
    now_ms: int,
) -> Iterator[Alert]:
    """Clear what is over, and close what has been over for long enough."""
    for alert in alerts:
        if not alert.is_open or (alert.code, alert.subject) in standing:
            continue
        cleared = alert
        if alert.cleared_ms is None:
            over_ms = now_ms
            if alert.code in OUTAGE and seen.up_ms is not None:
                # It was over when the gateway answered, whenever this pass was.
                over_ms = min(now_ms, max(seen.up_ms, alert.since_ms))
            cleared = replace(alert, cleared_ms=over_ms)
        settled_ms = find_settled(cleared, settings)
        if settled_ms is not None and settled_ms <= now_ms:
            cleared = replace(cleared, closed_ms=now_ms)
        yield cleared
