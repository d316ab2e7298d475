"""Starts a life: first its record, then its process."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from tailflip.base import clock
from tailflip.base.errors import TailflipError, TryLater
from tailflip.base.moments import read_moment
from tailflip.flow.late import dataclass
from tailflip.flow.lives import Decision, DecisionKind, LifeMode, Waiting
from tailflip.supervise.backoff import start_delay_s
from tailflip.supervise.elapsed import read_end
from tailflip.supervise.new_life import hide_secrets, new_life
from tailflip.supervise.process.guarded import Service

if TYPE_CHECKING:
    from tailflip.flow.lives import Breaker
    from tailflip.supervise.context import GuardedGateway


@dataclass
class Starter:
    """Starts lives of one gateway. `failed` counts failures in a row; None until one went well."""

    gateway: GuardedGateway
    failed: int | None = field(default=None, init=False)

    def start(self, breaker: Breaker) -> Service | Decision:
        """Start the gateway; return a decision to try later if its command is being replaced.

        Raises:
            TailflipError: the command cannot be started, and was not started before.
        """
        gateway = self.gateway
        was_started = self._was_started()
        life = new_life(gateway, LifeMode.RUN, clock.now_ms())
        life = life.model_copy(update={"safe": breaker.safe})
        gateway.record.begin_life(life)
        gateway.record.record_breaker(breaker)
        try:
            service = Service.start(gateway, life)
        except (TailflipError, OSError) as e:
            gateway.record.end_life(life.model_copy(update=read_end(life)))
            if isinstance(e, OSError):
                e = TryLater(f"cannot start the gateway: {e.strerror or e}")
            if not was_started:
                raise e from None
            self.failed = (self.failed or 0) + 1
            return self._choose_retry(e, self.failed)
        self.failed = 0
        return service

    def _was_started(self) -> bool:
        """Say whether this very command was started before, by us or by an earlier supervisor."""
        if self.failed is not None:
            return True
        command = hide_secrets(self.gateway.command)
        lives = self.gateway.record.read_lives()
        return any(life.pid is not None and life.command == command for life in lives)

    def _choose_retry(self, error: TailflipError, failed: int) -> Decision:
        """Choose when to try again, as a command that is being replaced will be back."""
        limits, now = self.gateway.config.restart, read_moment()
        return Decision(
            kind=DecisionKind.START,
            reason=f"{error.message}; it could be started before",
            waiting=Waiting.TIME,
            at_ms=now.at_ms + int(1000 * start_delay_s(limits, failed)),
            alert=failed == limits.loop_deaths,
            made=now,
        )
