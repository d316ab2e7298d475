"""The supervisor of `tailflip run`: one loop owns all state and keeps the gateway alive.

`states.TABLE` says what an event means in a phase; `ACTIONS` says which function does it.
Slow work (looking at stores, compacting them, examining a dead gateway) is done by one worker
thread at a time, so that the loop can answer the watchdog. Every decision is on record before it
is acted on: after a kill at any moment, the next supervisor takes the living gateway over, or
resumes the wait that was decided.
"""

from __future__ import annotations

import signal
import threading
from contextlib import ExitStack
from dataclasses import field
from typing import TYPE_CHECKING

from tailflip.base import clock, log, platform_calls
from tailflip.base.errors import TailflipError, TryLater
from tailflip.base.state_dir import Presence
from tailflip.flow.late import dataclass
from tailflip.flow.lives import Breaker
from tailflip.supervise.changed_files import ChangedFiles
from tailflip.supervise.event_loop import Loop
from tailflip.supervise.fingerprints import Fingerprints
from tailflip.supervise.housekeeping import keep_house
from tailflip.supervise.life_watch import LifeWatch
from tailflip.supervise.maintenance import MaintenanceWatch
from tailflip.supervise.manager_notices import ManagerNotices
from tailflip.supervise.orders import make_order
from tailflip.supervise.post_mortem import record_decision
from tailflip.supervise.preparation import log_admission
from tailflip.supervise.process.errands import Errands
from tailflip.supervise.starting import Starter
from tailflip.supervise.states import TABLE, Action, Event, Ignored, Phase
from tailflip.supervise.waiting import Wait

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tailflip.base.sdnotify import Notifier
    from tailflip.flow.lives import Decision
    from tailflip.supervise.admission import Admission
    from tailflip.supervise.context import GuardedGateway
    from tailflip.supervise.event_loop import Outcome
    from tailflip.supervise.process.guarded import Service

_COUNT_S = 300.0
_SIGNALS = {
    signal.SIGTERM: Event.STOP_ASKED,
    signal.SIGINT: Event.STOP_ASKED,
    signal.SIGQUIT: Event.STOP_ASKED,
    signal.SIGUSR1: Event.RESTART_ASKED,
    signal.SIGUSR2: Event.RESTART_ASKED,
    signal.SIGHUP: Event.RELOAD_ASKED,
    signal.SIGCHLD: Event.CHILD_ENDED,
    signal.SIGCONT: Event.LOOK_DUE,  # of `retry` and `maintenance`; no process ends by it
}
_WITH_SIGNAL = (Event.STOP_ASKED, Event.RESTART_ASKED)


class _Cancelled(Exception):
    """Raised inside slow work, between two of its steps, when we were asked to stop."""


@dataclass
class Supervisor:
    """Guards one gateway until it is asked to stop.

    `actions` has a function for each action of the table; it takes the supervisor and the event's
    arguments. `held` is the gateway's process while there is one. `is_asked`: a person asked for
    the start that is being prepared, so that no maintenance holds it.
    """

    gateway: GuardedGateway
    notifier: Notifier
    flags: Mapping[str, str]
    actions: Mapping[Action, Callable[..., None]]
    phase: Phase = field(default=Phase.RESUMING, init=False)
    breaker: Breaker = field(default_factory=Breaker, init=False)
    held: Service | None = field(default=None, init=False)
    exit_code: int | None = field(default=None, init=False)
    is_asked: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        gateway, self.loop = self.gateway, Loop()
        self.manager = ManagerNotices(self.loop, self.notifier)
        self.fingerprints = Fingerprints(gateway)
        self.starter = Starter(gateway)
        self.errands = Errands(self.loop, gateway.env, self._make_order)
        gateway.record.on_news = self.errands.news
        self.watch = LifeWatch(
            gateway, self.loop, self.handle, self._has_answered, self.errands.news
        )
        self.wait = Wait(self.fingerprints, self.loop, self.handle)
        self.maintenance = MaintenanceWatch(
            gateway, self.loop, self.handle, self.manager.show_first
        )
        self.files = ChangedFiles(gateway, self.loop, lambda: self.handle(Event.FILES_CHANGED))
        self.asked_to_stop = threading.Event()

    @property
    def service(self) -> Service:
        """The gateway's process; it is held while it starts, runs, stops and is examined."""
        if self.held is None:
            raise RuntimeError(f"no gateway is held while {self.phase}")
        return self.held

    @property
    def decision(self) -> Decision | None:
        """The decision that is waited for, or was last."""
        return self.wait.decision

    def run(self) -> int:
        """Guard until the end, and return the exit code.

        Raises:
            TryLater: the gateway has a supervisor already.
            TailflipError: the command cannot be started.
        """
        with ExitStack() as stack:
            self._claim(stack)
            self._show_page(stack)
            stack.enter_context(self.loop.catching(_SIGNALS, self._on_signal))
            platform_calls.here.become_subreaper()
            self.manager.start()
            try:
                self.errands.news()
                self.handle(Event.BEGUN)
                keep_house(self.gateway, self.loop)
                while self.exit_code is None:
                    self.loop.step()
            finally:
                self.watch.end()
                self.files.stop()
                self.errands.leave()
        return self.exit_code

    def handle(self, event: Event, *told: object) -> None:
        """Do what the table says about an event in this phase."""
        cell = TABLE[self.phase, event]
        if not isinstance(cell, Ignored):
            self.actions[cell.action](self, *told)

    def _claim(self, stack: ExitStack) -> None:
        """Claim the state directory; where no claim can be written, go on without."""
        gateway = self.gateway
        try:
            alone = gateway.home.supervise(gateway.name, Presence.RUN, clock.now_ms(), gateway.disk)
            stack.enter_context(alone)
        except TryLater:
            raise
        except TailflipError as e:
            log.error("nothing can be remembered, and no store healed", error=e, hint=e.hint)

    def _show_page(self, stack: ExitStack) -> None:
        """Listen for who wants the page, where the settings say so."""
        settings = self.gateway.config.serve
        if settings.start != "never":
            from tailflip.supervise.page_door import page_on_demand  # noqa: PLC0415 - most do not

            name, disk = self.gateway.name, self.gateway.disk
            stack.enter_context(page_on_demand(settings, name, disk))

    def _on_signal(self, number: signal.Signals) -> None:
        event = _SIGNALS[number]
        if number is signal.SIGCONT:
            self.handle(Event.MAINTENANCE_DUE)
        if event in _WITH_SIGNAL:
            self.handle(event, number)
        else:
            self.handle(event)

    def _has_answered(self) -> bool:
        self.handle(Event.ANSWERED)
        return self.phase is Phase.RUNNING

    def _make_order(self) -> bytes | None:
        gateway, watch = self.gateway, self.watch
        return make_order(
            gateway.name,
            gateway.config,
            gateway.env,
            silent_s=watch.silent_s,
            answer_ms=watch.answer_ms,
            # One that is not started again, or takes too long, is an alert of its own.
            is_starting=self.phase is not Phase.RUNNING,
        )

    # --- what several actions need -------------------------------------------------------

    def take(self, outcome: Outcome) -> Admission | None:
        """Take the result of an admission; None if it failed: the gateway starts all the same."""
        if outcome.error is None:
            admission: Admission = outcome.value
            log_admission(admission)
            return admission
        log.error("could not look at the stores", error=outcome.error)
        return None

    def on_progress(self, stage: str, done: int, total: int) -> None:
        """Report the progress of slow work, and cancel it when we were asked to stop."""
        if self.asked_to_stop.is_set():
            raise _Cancelled
        if total:
            self.manager.status(f"{stage}: {done * 100 // total} %")

    def wait_for(self, decision: Decision) -> None:
        """Put a decision without a death on record, and wait for it."""
        record_decision(self.gateway, self.breaker, decision, None)
        self.enter_waiting(decision)

    def enter_waiting(self, decision: Decision) -> None:
        """Wait for a decision that is on record."""
        self.phase = Phase.WAITING
        self.manager.status(f"waiting: {decision.reason}")
        self.files.watch()
        self.wait.begin(decision)
        self.loop.at("down", _COUNT_S, self._count_down)

    def _count_down(self) -> None:
        """Count the time without a gateway while it lasts: a wait may last for days."""
        if self.phase is Phase.WAITING:
            self.gateway.record.count_down()
            self.loop.at("down", _COUNT_S, self._count_down)

    def note_stop(self, number: signal.Signals) -> None:
        """Note the stop; slow work ends at its next step."""
        log.info("asked to stop", signal=number.name)
        self.asked_to_stop.set()
        self.manager.stopping("asked to stop")

    def finish(self, code: int, reason: str) -> None:
        """End the loop."""
        log.info("tailflip ends", reason=reason, exit=code)
        self.manager.stopping(reason)
        self.phase, self.exit_code = Phase.ENDED, code
