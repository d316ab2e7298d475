"""Knows whether a person works on the gateway: until that ends, `run` keeps its hands off.

Whoever begins or ends a maintenance writes it into the ledger, and wakes us. We look there
before every act of our own as well, so that a wake-up that is lost loses nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base import log
from tailflip.base.moments import passed_ms, read_moment
from tailflip.base.render import format_maintenance
from tailflip.base.units import format_time
from tailflip.supervise.states import Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from tailflip.flow.lives import Moment
    from tailflip.flow.maintenance import Maintenance
    from tailflip.supervise.context import GuardedGateway
    from tailflip.supervise.event_loop import Loop

_LOOK_S = 60.0
_NOTE_MS = 300_000
_SAME_MS = 1_000


class MaintenanceWatch:
    """The maintenance of one gateway; `on` is the one that lasted at the last look."""

    def __init__(
        self,
        gateway: GuardedGateway,
        loop: Loop,
        tell: Callable[[Event], None],
        show: Callable[[str], None],
    ) -> None:
        """Prepare to look; `show` is given what a status begins with, or nothing."""
        self._gateway = gateway
        self._loop = loop
        self._tell = tell
        self._show = show
        self.on: Maintenance | None = None

    def look(self) -> Maintenance | None:
        """Look which maintenance lasts; log a begin and an end, and set the next look."""
        now, before = read_moment(), self.on
        self.on = self._gateway.record.read_maintenance(before, now)
        if self.on is None:
            self._loop.cancel("maintenance")
        else:
            self._look_again(self.on, now)
        if not _is_same(before, self.on):
            self._announce(before)
        return self.on

    def keeps_hands_off(self) -> bool:
        """Look, and say whether nothing is to be done but what a person asks for."""
        found = self.look()
        return found is not None and found.is_hands_off

    def _look_again(self, on: Maintenance, now: Moment) -> None:
        """Look at its end, and before: the machine may sleep, and the rest is to be noted."""
        passed = passed_ms(on.anchor, now)
        if now.boot != on.anchor.boot or (passed is not None and passed >= _NOTE_MS):
            self._gateway.record.note_maintenance(now)
        left_s = max(0, on.until_ms - now.at_ms) / 1000
        self._loop.at(
            "maintenance", min(left_s, _LOOK_S), lambda: self._tell(Event.MAINTENANCE_DUE)
        )

    def _announce(self, before: Maintenance | None) -> None:
        on = self.on
        self._show("" if on is None else f"{format_maintenance(on)}; ")
        if on is not None:
            log.warning(
                "maintenance: alerts are silent" if on.quiet_only else "maintenance: hands off",
                until=format_time(on.until_ms),
                by=on.by or None,
                reason=on.reason or None,
            )
        elif before is not None:
            log.warning("the maintenance is over", began=format_time(before.began_ms))


def _is_same(before: Maintenance | None, now: Maintenance | None) -> bool:
    """Say whether two looks saw the same; a wall clock that was set makes no difference."""
    if before is None or now is None:
        return before is now
    told = ("id", "quiet_only", "reason", "by")
    same = all(getattr(before, name) == getattr(now, name) for name in told)
    return same and abs(before.until_ms - now.until_ms) < _SAME_MS
