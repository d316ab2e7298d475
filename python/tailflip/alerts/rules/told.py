"""What one destination was told of an alert: the rule of once, and inhibition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.alerts.table import OF_DATA, OUTAGE
from tailflip.flow.alerts import MessageKind, Urgency
from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailflip.flow.alerts import Alert, Notice

_TELLING = frozenset({MessageKind.OPENED, MessageKind.REMINDER, MessageKind.ESCALATED})
_ENDING = frozenset({MessageKind.RECOVERED, MessageKind.WAS})


def is_replaced(notice: Notice) -> bool:
    """Say whether a notice was taken out of the outbox before it was delivered."""
    return notice.next_ms is None and notice.delivered_ms is None and notice.given_up_ms is None


@dataclass(frozen=True)
class Told:
    """The notices to one destination, oldest first, without those that were replaced."""

    notices: tuple[Notice, ...]

    def list_tellings(self, alert: Alert) -> tuple[Notice, ...]:
        """List what told that an alert stands, since the alert was first opened."""
        return tuple(each for each in self._about(alert) if each.kind in _TELLING)

    def list_present(self, alert: Alert) -> tuple[Notice, ...]:
        """List what told that an alert stands, since it was opened last, and not taken back."""
        ended = [each.number for each in self._about(alert) if each.kind in _ENDING]
        last = max(ended, default=-1)
        return tuple(
            each
            for each in self.list_tellings(alert)
            if each.made_ms >= alert.opened_ms and each.number > last
        )

    def knows_end(self, alert: Alert) -> bool:
        """Say whether the end of an alert, opened as it was last, was told after all else."""
        is_told = any(
            each.kind in _ENDING and each.made_ms >= alert.opened_ms for each in self._about(alert)
        )
        return is_told and not self.list_present(alert)

    def is_news(self, alert: Alert) -> bool:
        """Say whether an alert that stands is to be told: once, and again if it is more urgent.

        What comes again soon after its end is told at the 2nd, 4th, 8th, 16th time.
        """
        present = self.list_present(alert)
        if present:
            return all(each.urgency.rank > alert.urgency.rank for each in present)
        is_round = alert.times & (alert.times - 1) == 0
        return is_round or not self.list_tellings(alert)

    def _about(self, alert: Alert) -> tuple[Notice, ...]:
        return tuple(each for each in self.notices if alert.number in each.alerts)


def is_seen(alert: Alert, alerts: Sequence[Alert]) -> bool:
    """Say whether a person took note of an alert; of an outage, one part stands for all."""
    if alert.acked_ms is not None or alert.code not in OUTAGE:
        return alert.acked_ms is not None
    return any(
        each.is_open and each.code in OUTAGE and each.acked_ms is not None for each in alerts
    )


def is_inhibited(alert: Alert, alerts: Sequence[Alert], told: Told) -> bool:
    """Say whether an outage that a destination knows of explains an alert.

    What destroys data, and is as urgent as the outage, is told all the same.
    """
    known = [
        each.number
        for each in alerts
        if each.is_open and each.code in OUTAGE and told.list_present(each)
    ]
    if alert.code in OUTAGE:
        return bool(known) and alert.number not in known
    is_grave = alert.urgency is Urgency.CRITICAL or alert.code in OF_DATA
    return bool(known) and not is_grave
