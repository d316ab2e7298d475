"""Which destinations hear nothing: of them the others are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.alerts.rules.told import is_replaced
from tailflip.flow.alerts import MessageKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tailflip.flow.alerts import Notice


def list_failing(names: Iterable[str], notices: Sequence[Notice]) -> tuple[tuple[str, int], ...]:
    """List the destinations that have received nothing, and since when.

    Args:
        names: of the destinations in the settings.
        notices: to all destinations, oldest first.
    """
    failing = []
    for name in names:
        own = [each for each in notices if each.destination == name]
        failed = [each for each in own[_count_heard(own) :] if _has_failed(each)]
        if failed:
            failing.append((name, failed[0].made_ms))
    return tuple(failing)


def count_lost(name: str, notices: Sequence[Notice]) -> int:
    """Count the messages that were given up since a destination received one."""
    own = [each for each in notices if each.destination == name]
    heard_ms = max((each.delivered_ms or 0 for each in own), default=0)
    return sum(
        each.given_up_ms is not None
        and each.given_up_ms >= heard_ms
        and each.kind is not MessageKind.TEST
        for each in own
    )


def _count_heard(own: Sequence[Notice]) -> int:
    """Count the notices up to the last one that was delivered."""
    return max((at + 1 for at, each in enumerate(own) if each.delivered_ms is not None), default=0)


def _has_failed(notice: Notice) -> bool:
    """Say whether a notice failed; whoever made a test knows."""
    if notice.kind is MessageKind.TEST or notice.delivered_ms is not None:
        return False
    return not is_replaced(notice) and notice.tries > 0 and bool(notice.error)
