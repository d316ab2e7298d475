"""When a person may be told: gather, escalate, quiet hours, maintenance, limit.

Each answer is a moment. One that is past says: now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.alerts.rules.quiet import find_loud
from tailflip.alerts.table import FAILING, OF_DATA
from tailflip.flow.alerts import MessageKind, Urgency
from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailflip.flow.alerts import Alert, AlertSettings, Destination, Notice, Silence

_HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Around:
    """What all rules ask for: settings, the last silence, and the present moment."""

    settings: AlertSettings
    silence: Silence | None
    now_ms: int


def hears_of(alert: Alert, to: Destination) -> bool:
    """Say whether a destination is told of an alert at all; notices are for the digest."""
    if alert.code == FAILING and alert.subject == to.name:
        return False
    return alert.urgency is not Urgency.NOTICE and alert.urgency.rank <= to.least.rank


def find_first(
    alert: Alert, to: Destination, around: Around, *, is_seen: bool, gathers: bool = True
) -> int | None:
    """Find when a destination may be told of an alert that stands; None for never.

    Args:
        alert: the alert.
        to: the destination.
        around: settings, silence, now.
        is_seen: whether a person took note of it.
        gathers: False where the wait for what belongs together is over.
    """
    # A clock that was set back since must not put it off for as long.
    opened_ms = min(alert.opened_ms, around.now_ms)
    is_dated = opened_ms == alert.opened_ms
    due_ms = opened_ms + int(1000 * around.settings.gather_s) * (gathers and is_dated)
    if to.after_ms:
        if is_seen:
            return None
        due_ms = max(due_ms, opened_ms + to.after_ms * is_dated)
    return hold_back(due_ms, (alert,), to, around)


def hold_back(due_ms: int, alerts: Sequence[Alert], to: Destination, around: Around) -> int:
    """Put a message off to the end of maintenance and of quiet hours, where they hold it back."""
    at_ms = max(due_ms, around.now_ms)
    kept = around.silence
    if kept is not None and not any(each.code in OF_DATA for each in alerts):
        at_ms = kept.until_ms if kept.since_ms <= at_ms < kept.until_ms else at_ms
    if not any(each.urgency is Urgency.CRITICAL for each in alerts):
        at_ms = find_loud(at_ms, choose_quiet(to, around.settings))
    return at_ms if at_ms > around.now_ms else due_ms


def choose_quiet(to: Destination, settings: AlertSettings) -> str:
    """Choose the quiet hours of a destination: its own, or those of all."""
    return settings.quiet if to.quiet is None else to.quiet


def find_room(made: Sequence[Notice], drafts: int, around: Around) -> int:
    """Find when one more message is within the limit of an hour.

    Args:
        made: the messages to one destination, oldest first.
        drafts: how many more this pass makes already.
        around: the limit, and the present moment.
    """
    most = max(1, around.settings.most_per_hour)
    last = [
        each.made_ms
        for each in made
        if around.now_ms - each.made_ms < _HOUR_MS and each.kind is not MessageKind.TEST
    ]
    last += [around.now_ms] * drafts
    return around.now_ms if len(last) < most else last[-most] + _HOUR_MS
