"""What is answered at each path, from one look at the gateway; looks are kept for a moment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.base import clock
from tailflip.base.errors import TailflipError
from tailflip.base.remembered import remembering
from tailflip.flow.late import dataclass
from tailflip.flow.values import to_plain
from tailflip.observe.host.space import read_space
from tailflip.report.metrics.answers import Answers
from tailflip.report.metrics.scrape import scrape
from tailflip.report.metrics.sources import find_sources
from tailflip.report.metrics.text import CONTENT_TYPE
from tailflip.report.page.base import make_document
from tailflip.report.page.html import tag
from tailflip.report.page.http import Answer
from tailflip.report.page.screens import REFRESH_S, draw_incident, draw_page
from tailflip.report.page.story import find_incident, tell_story
from tailflip.report.page.view import make_view
from tailflip.report.status import State

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tailflip.report.metrics.sources import Sources
    from tailflip.report.page.http import Request
    from tailflip.report.page.view import View

_KEEP_S = 1.0  # many who ask at once are told the same
_HTML, _JSON = "text/html; charset=utf-8", "application/json"
_BROKEN = (
    "The record cannot be read now: the ledger is damaged, busy, or of another release of "
    "tailflip. The gateway is not touched by that. `tailflip status` says more."
)


@dataclass
class _Look:
    """The gateways that were found, and when."""

    at_s: float
    every: Sequence[Sources]


class Routes:
    """Answers requests that may pass."""

    def __init__(self, state_dir: Path | None = None, profile: str | None = None) -> None:
        """Name the gateway as a person would; without a name all on record are told of."""
        self._named = (state_dir, profile)
        self._last: _Look | None = None
        self._answers = Answers()

    def answer(self, request: Request) -> Answer:
        """Answer a request; what cannot be read is told, and ends nothing."""
        routes: dict[str, Callable[[Request], Answer]] = {
            "/": self._page,
            "/status.json": self._status,
            "/metrics": self._metrics,
            "/healthz": self._healthz,
        }
        call = routes.get(request.path)
        if call is None and request.path.startswith("/incidents/"):
            call = self._incident
        if call is None:
            return Answer.of_status(404)
        try:
            with remembering():
                return call(request)
        except TailflipError:
            return Answer(503, _draw_broken(), _HTML, _refreshed())

    def forget(self) -> None:
        """Forget the last look: its values take room."""
        self._last = None

    def _look(self) -> Sequence[Sources]:
        now_s = clock.monotonic_s()
        if self._last is None or now_s - self._last.at_s > _KEEP_S:
            self._last = _Look(now_s, find_sources(*self._named, self._answers))
        return self._last.every

    def _choose(self, request: Request) -> tuple[Sequence[Sources], Sources]:
        """Choose the gateway that a page is about, by its number; the first without one."""
        every, number = self._look(), request.query.get("gateway", "0")
        at = int(number) if number.isdecimal() and len(number) <= 3 else 0  # noqa: PLR2004
        return every, every[min(at, len(every) - 1)]

    def _metrics(self, _request: Request) -> Answer:
        return Answer(200, scrape(self._look()).encode(), CONTENT_TYPE)

    def _healthz(self, _request: Request) -> Answer:
        state = self._look()[0].situation.verdict.state
        return Answer(200 if state is State.OK else 503, f"{state}\n".encode())

    def _page(self, request: Request) -> Answer:
        every, chosen = self._choose(request)
        others = [
            (f"/?gateway={n}", each.guard) for n, each in enumerate(every) if each is not chosen
        ]
        return Answer(200, draw_page(_see(chosen), others).encode(), _HTML, _refreshed())

    def _status(self, request: Request) -> Answer:
        _, chosen = self._choose(request)
        return Answer(200, json.dumps(to_plain(_see(chosen))).encode(), _JSON)

    def _incident(self, request: Request) -> Answer:
        history = self._look()[0].subject.history
        found = find_incident(history, request.path.removeprefix("/incidents/"))
        if found is None:
            return Answer.of_status(404, "no such incident")
        shown, lines = tell_story(history, found)
        return Answer(200, draw_incident(shown, lines, clock.now_ms()).encode(), _HTML)


def _see(at: Sources) -> View:
    space = next(iter(read_space(Path(at.guard))), None)
    return make_view(at.situation, at.subject.history, space)


def _refreshed() -> dict[str, str]:
    return {"Refresh": str(REFRESH_S)}


def _draw_broken() -> bytes:
    body = tag("div", tag("p", _BROKEN), cls="verdict bad")
    return make_document("unknown - tailflip", tag("h1", "tailflip"), body).encode()
