"""Watches one living gateway: its health, its memory, its end, its age."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base import clock
from tailflip.diagnose.findings.inputs import Inputs
from tailflip.diagnose.loops import RESTFUL_S
from tailflip.observe.gateway.health import Probe
from tailflip.observe.installation import DEFAULT_PORT
from tailflip.supervise.health import HealthCheck
from tailflip.supervise.memory_watch import MemoryWatch
from tailflip.supervise.noted import note
from tailflip.supervise.states import Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from tailflip.flow.findings import Finding
    from tailflip.observe.installation import Installation
    from tailflip.supervise.context import GuardedGateway
    from tailflip.supervise.event_loop import Loop
    from tailflip.supervise.process.guarded import Service

_LOOK_S = 1.0


class LifeWatch:
    """Watches one life at a time, from `begin` to `end`, and emits events.

    `has_answered` is called for each good answer while the gateway starts; it returns whether
    the answer was the gateway's own. `on_news` is called when it falls silent or speaks again.
    """

    def __init__(
        self,
        gateway: GuardedGateway,
        loop: Loop,
        tell: Callable[..., None],
        has_answered: Callable[[], bool],
        on_news: Callable[[], None],
    ) -> None:
        self._gateway = gateway
        self._loop = loop
        self._tell = tell
        self._has_answered = has_answered
        self._on_news = on_news
        self._memory = MemoryWatch(gateway)
        self._health: HealthCheck | None = None

    def begin(self, service: Service) -> None:
        """Begin to ask for health and to measure memory."""
        gateway, where = self._gateway, self._find_door()
        self._health = HealthCheck(
            self._loop,
            gateway.config.health,
            where=where,
            find_host=lambda: service.find_host(where.port),
            can=gateway.release.capabilities,
            is_ready=service.life.ready_ms is not None,
            on_ready=self._has_answered,
            on_hang=lambda why: self._tell(Event.HUNG, why),
            on_news=self._on_news,
        )
        self._memory.begin(service.life)
        self._set_sample(0)

    def begin_to_count(self) -> None:
        """Begin to count the age of a life that has answered."""
        good_life_s = self._gateway.config.restart.good_life_s
        self._loop.at("good", good_life_s, lambda: self._tell(Event.LIFE_IS_GOOD))
        self._loop.at("rest", RESTFUL_S, lambda: self._tell(Event.LIFE_IS_RESTFUL))

    def be_patient(self) -> None:
        """Give a gateway that has not answered yet the whole patience again."""
        if self._health is not None:
            self._health.be_patient()

    def watch_end(self, service: Service) -> None:
        """Watch for the end of a process that is not our child: it raises no signal."""
        service.watch_end(lambda: self._loop.post(lambda: self._tell(Event.CHILD_ENDED)))
        self._look_at_orphan()

    def end(self) -> None:
        """Stop watching the life."""
        self._loop.cancel("sample", "good", "rest", "normal", "kill", "look", "drain")
        if self._health is not None:
            self._health.stop()
            self._health = None

    def measure(self, service: Service) -> Installation | None:
        """Measure once, set the time of the next measurement, and return the installation."""
        gateway = self._gateway
        at = gateway.locate()
        if service.find_worker(at):
            gateway.record.update_life(service.life)
        self._memory.note_runs(at)
        self._set_sample(self._memory.measure(service, at))
        return at

    def measure_now(self) -> None:
        """Record the jobs in flight now: a gateway may die of a job that it just marked."""
        self._memory.note_runs()
        self._set_sample(0)

    def find_trend(self) -> Finding | None:
        """Warn if memory will reach its limit soon, and put that on record."""
        trend = self._memory.find_trend(clock.now_ms())
        found = note(self._gateway, Inputs(memory_trends=() if trend is None else (trend,)))
        return next(iter(found), None)

    def may_restart_ahead(self, service: Service, at: Installation | None) -> bool:
        """Say whether a restart before the heap is full is wanted, and interrupts no job."""
        memory = self._gateway.config.memory
        old_enough = service.uptime_s >= memory.min_life_s
        return memory.restart_ahead and old_enough and self._memory.is_quiet(at)

    def is_quiet(self) -> bool:
        """Say whether no job is in flight."""
        return self._memory.is_quiet()

    @property
    def silent_s(self) -> float | None:
        """Seconds since the last good answer of this life; None before the first."""
        return None if self._health is None else self._health.silent_s

    @property
    def answer_ms(self) -> int | None:
        """How long the last good answer of this life took."""
        return None if self._health is None else self._health.answer_ms

    def describe(self, service: Service) -> str:
        """Say in one line how the gateway is."""
        return self._memory.describe(service)

    @property
    def drain_s(self) -> float:
        """Seconds that the gateway may take to end."""
        given = self._gateway.config.gateway.drain_s
        return given if given is not None else self._gateway.release.capabilities.drain_s

    def _set_sample(self, delay_s: float) -> None:
        self._loop.at("sample", delay_s, lambda: self._tell(Event.SAMPLE_DUE))

    def _look_at_orphan(self) -> None:
        self._loop.at("look", _LOOK_S, self._tell_orphan)

    def _tell_orphan(self) -> None:
        self._look_at_orphan()
        self._tell(Event.CHILD_ENDED)

    def _find_door(self) -> Probe:
        """Find the address where the gateway will answer; before its first start, guess it."""
        gateway = self._gateway
        installation = gateway.locate()
        if installation is not None:
            return Probe(installation.port, tls=installation.tls)
        return Probe(gateway.config.gateway.port or gateway.release.port or DEFAULT_PORT)
