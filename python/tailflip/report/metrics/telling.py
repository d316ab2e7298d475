"""The collectors of what people are told: alerts, the heartbeat, a maintenance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.alerts.heartbeat import read_last
from tailflip.base.errors import TailflipError
from tailflip.flow.alerts import Urgency

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailflip.report.metrics.families import Sample
    from tailflip.report.metrics.sources import Sources


def collect_alerts(at: Sources) -> Iterator[Sample]:
    """Count what is open and what waits, and tell when each destination last heard something."""
    history = at.subject.history
    waiting = history.notices.count_waiting()
    for name in dict.fromkeys((*list_destinations(at), *waiting)):
        yield at.make("alerts_pending", waiting.get(name, 0), destination=name)
    for name, at_ms in history.notices.read_deliveries().items():
        yield at.make("alert_last_success_timestamp_seconds", at_ms / 1000, destination=name)
    alerts = [each for each in history.alerts.read(at.now_ms) if each.is_open]
    for urgency in Urgency:
        count = sum(each.urgency is urgency for each in alerts)
        yield at.make("alerts_open", count, severity=urgency.value)
    last = read_last(history.facts)
    if last is not None and last.delivered_ms is not None:
        yield at.make("heartbeat_last_success_timestamp_seconds", last.delivered_ms / 1000)


def collect_maintenance(at: Sources) -> Iterator[Sample]:
    """Tell whether a person works on the gateway, and until when."""
    lasts = at.situation.look.maintenance
    yield at.make("maintenance_active", lasts is not None)
    if lasts is not None:
        yield at.make("maintenance_end_timestamp_seconds", lasts.until_ms / 1000)


def list_destinations(at: Sources) -> tuple[str, ...]:
    """List who is told by the settings; none where those cannot be read."""
    try:
        alerts = at.subject.config.alerts
    except TailflipError:
        return ()
    return tuple(alerts.to) if alerts.is_on else ()
