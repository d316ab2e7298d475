"""Asks a living gateway for its health; it is silent at its start and in a sweep."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tailflip.base import clock
from tailflip.base.units import format_counted
from tailflip.observe.gateway.health import HEALTH, STARTUP, Prober

if TYPE_CHECKING:
    from collections.abc import Callable

    from tailflip.config.schema import HealthSettings
    from tailflip.flow.capabilities import Capabilities
    from tailflip.observe.gateway.health import Answer, Probe
    from tailflip.supervise.event_loop import Loop

_STARTING_S = 0.5
_SILENT = frozenset({"timeout", "refused"})
# Silence of so many questions is news, and so is its end: the heartbeat tells it at once.
_SILENCE = 3


class HealthCheck:
    """Asks one life's health; `on_ready` is called for each good answer until it returns True.

    `find_host` finds the address of a gateway that refuses on `where`.
    `on_hang` is called with the reason after a silence that is too long: before the first answer,
    after `start_patience_s`; later, after `misses` in a row. `on_news` is called when the
    gateway falls silent for some questions, and when it speaks again.
    """

    def __init__(
        self,
        loop: Loop,
        settings: HealthSettings,
        *,
        where: Probe,
        find_host: Callable[[], str | None],
        can: Capabilities,
        is_ready: bool,
        on_ready: Callable[[], bool],
        on_hang: Callable[[str], None],
        on_news: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._settings = settings
        self._start_path = STARTUP if can.has_startup_probe else HEALTH
        self._takes_any_page = can.lacks_health_probe
        self._is_ready = is_ready
        self._on_ready = on_ready
        self._on_hang = on_hang
        self._on_news = on_news
        self._answered_s: float | None = None
        self._silent = 0
        self.answer_ms: int | None = None
        self._misses = 0
        self._where = where
        self._find_host = find_host
        self._prober = self._make_prober()
        loop.at("ask", 0 if is_ready else min(_STARTING_S, settings.interval_s), self._ask)
        self.be_patient()

    def _make_prober(self) -> Prober:
        return Prober(
            self._where,
            lambda answer: self._loop.post(lambda: self._judge(answer)),
            timeout_s=self._settings.timeout_s,
        )

    @property
    def silent_s(self) -> float | None:
        """Seconds since the last good answer; None before the first."""
        return None if self._answered_s is None else clock.monotonic_s() - self._answered_s

    def be_patient(self) -> None:
        """Give a gateway that has not answered yet the whole patience from now on."""
        if not self._is_ready:
            self._loop.at("patience", self._settings.start_patience_s, self._lose_patience)

    def stop(self) -> None:
        """Stop asking."""
        self._prober.close()
        self._loop.cancel("ask", "patience")

    def _ask(self) -> None:
        self._prober.ask(HEALTH if self._is_ready else self._start_path)
        interval_s = self._settings.interval_s
        delay_s = interval_s if self._is_ready else min(_STARTING_S, interval_s)
        self._loop.at("ask", delay_s, self._ask)

    def _judge(self, answer: Answer) -> None:
        if not self._loop.has("ask"):
            return  # a late answer, after `stop`
        self._note(answer)
        if not self._is_ready:
            if answer.kind == "refused":
                self._look_elsewhere()
            elif self._is_good(answer) and self._on_ready():
                self._is_ready = True
                self._loop.cancel("patience")
        elif answer.kind not in _SILENT:
            self._misses = 0
        else:
            self._misses += 1
            if self._misses >= self._settings.misses:
                self._misses = 0
                asked = format_counted(self._settings.misses, "question")
                self._on_hang(f"{asked} in a row without an answer")

    def _note(self, answer: Answer) -> None:
        """Keep account of the silence; its end is news too if anybody can have heard of it."""
        silent_s = self.silent_s or 0.0
        if not self._is_good(answer):
            self._silent += 1
            if self._silent == _SILENCE:
                self._on_news()
            return
        was_long = self._silent >= _SILENCE or silent_s > _SILENCE * self._settings.interval_s
        self._answered_s = clock.monotonic_s()
        self.answer_ms, self._silent = round(1000 * answer.latency_s), 0
        if was_long:
            self._on_news()

    def _is_good(self, answer: Answer) -> bool:
        """Say whether the gateway serves; one without a health endpoint shows some page there."""
        return answer.kind == "ok" or (self._takes_any_page and answer.serves)

    def _look_elsewhere(self) -> None:
        """Ask at the address where the gateway listens, which need not be loopback."""
        host = self._find_host()
        if host is not None and host != self._where.host:
            self._prober.close()
            self._where = replace(self._where, host=host)
            self._prober = self._make_prober()

    def _lose_patience(self) -> None:
        self._on_hang(f"no answer in {self._settings.start_patience_s:.0f} s since it was started")
