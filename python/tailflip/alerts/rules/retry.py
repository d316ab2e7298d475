"""When a message is tried again: soon at first, then hourly, for a day."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tailflip.flow.alerts import Delivery, Notice

# After how long a message is tried, from when it was written on.
_TRIES_MS = (0, 30_000, 120_000, 600_000, 1_800_000)
_HOUR_MS = 3_600_000
_LEAST_MS = 30_000
GIVE_UP_MS = 86_400_000


def begin_try(notice: Notice, now_ms: int) -> Notice:
    """Note a try before it is made: whoever is killed in it comes back later, not at once."""
    tries = notice.tries + 1
    beyond = max(0, tries + 1 - len(_TRIES_MS))
    due_ms = notice.made_ms + _TRIES_MS[min(tries, len(_TRIES_MS) - 1)] + beyond * _HOUR_MS
    return replace(notice, tries=tries, next_ms=max(due_ms, now_ms + _LEAST_MS))


def is_due(notice: Notice, now_ms: int) -> bool:
    """Say whether a notice is to be tried now; at once where the clock was set back since."""
    if notice.next_ms is None:
        return False
    return notice.next_ms <= now_ms or notice.next_ms > now_ms + 2 * _HOUR_MS


def end_try(tried: Notice, delivery: Delivery, now_ms: int) -> Notice:
    """Conclude from a try: delivered, given up, or to be tried again."""
    if delivery.delivered:
        return replace(tried, delivered_ms=now_ms, next_ms=None, error="")
    if delivery.is_final or now_ms - tried.made_ms >= GIVE_UP_MS:
        return replace(tried, given_up_ms=now_ms, next_ms=None, error=delivery.error)
    return replace(tried, error=delivery.error)
