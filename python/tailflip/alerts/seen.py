"""A person takes note of an outage: of its alerts and its incident, whichever was named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.alerts.table import OUTAGE

if TYPE_CHECKING:
    from tailflip.flow.alerts import Alert
    from tailflip.flow.lives import Incident
    from tailflip.ledger.history import History


def note_alert(history: History, alert: Alert, now_ms: int, by: str, note: str) -> Alert:
    """Record that a person took note of an alert; of an outage, the open incidents are noted too.

    Args:
        history: of the gateway that the alert is about.
        alert: the alert.
        now_ms: the present moment.
        by: who took note; "" if nobody said.
        note: what that person wants others to know.
    """
    if alert.code in OUTAGE and alert.is_open:
        for incident in history.incidents.read():
            if incident.closed_ms is None:
                history.incidents.ack(incident.id, now_ms, by, note)
    return history.alerts.ack(alert, now_ms, by, note)


def note_incident(
    history: History, incident: Incident, now_ms: int, by: str, note: str
) -> Incident:
    """Record that a person took note of an incident, and of the alerts of its outage."""
    if incident.closed_ms is None:
        for alert in history.alerts.read(now_ms):
            if alert.code in OUTAGE and alert.is_open:
                history.alerts.ack(alert, now_ms, by, note)
    return history.incidents.ack(incident.id, now_ms, by, note)
