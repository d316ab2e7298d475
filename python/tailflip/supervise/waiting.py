"""Waits for a decision's time, or for a change that makes a start worth a try."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from tailflip.base import log
from tailflip.base.moments import read_moment
from tailflip.flow.late import dataclass
from tailflip.flow.lives import Decision, DecisionKind, Waiting
from tailflip.supervise.breaker import is_due, reconsider, wait_for
from tailflip.supervise.elapsed import find_left_ms
from tailflip.supervise.states import Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from tailflip.flow.lives import Breaker
    from tailflip.supervise.event_loop import Loop
    from tailflip.supervise.fingerprints import Fingerprints

_RECONSIDER_S = 5.0
_DELAY_LOOK_S = 60.0
_REFUSED_LOOK_MS = 300_000


@dataclass
class Wait:
    """One wait at a time. `decision` is the one waited for, or the last."""

    fingerprints: Fingerprints
    loop: Loop
    tell: Callable[[Event], None]
    decision: Decision | None = field(default=None, init=False)

    def begin(self, decision: Decision) -> None:
        """Begin the wait for a recorded decision; at each event `LOOK_DUE`, call `is_over`."""
        self.decision = decision
        self._set_timer(decision)

    def stop(self) -> None:
        """Stop looking."""
        self.loop.cancel("retry")

    def is_over(self, breaker: Breaker) -> bool:
        """Start if the awaited change or time has come; else schedule the next look."""
        if self.decision is None:
            return False
        world = self.fingerprints.read_world()
        decision = reconsider(breaker, self.decision, world)
        if is_due(decision, world):
            if self.decision.kind is DecisionKind.WAIT:
                log.info("no longer waiting", reason=decision.reason)
            self.stop()
            return True
        self.begin(decision)
        return False

    def hold(
        self, breaker: Breaker, waiting: Waiting, reason: str, *, alert: bool = False
    ) -> tuple[Breaker, Decision]:
        """Decide to wait for a change without a death; look again from time to time in any case.

        No fingerprint may show the awaited change, such as room on a disk.
        """
        world = self.fingerprints.read_world()
        is_told = self.decision is not None and self.decision.reason == reason
        return wait_for(breaker, waiting, world), Decision(
            kind=DecisionKind.WAIT,
            reason=reason,
            waiting=waiting,
            at_ms=None if waiting is Waiting.OTHER_INSTANCE else world.now_ms + _REFUSED_LOOK_MS,
            alert=alert and not is_told,
            made=world.moment,
        )

    def _set_timer(self, decision: Decision) -> None:
        """Set the timer to look when the time has come, and now and then before."""
        longest_ms = int(1000 * self.fingerprints.gateway.config.restart.trial_cap_s)
        left_ms = find_left_ms(decision, read_moment(), longest_ms)
        look_s = _DELAY_LOOK_S if decision.kind is DecisionKind.START else _RECONSIDER_S
        if left_ms is not None:
            look_s = min(left_ms / 1000, look_s)
        self.loop.at("retry", look_s, lambda: self.tell(Event.LOOK_DUE))
