"""Asks a living gateway whether it answers, once a scrape, and remembers how that went.

`serve` remembers from one scrape to the next; `metrics` ends after one. A gateway that does not
answer keeps a scrape for a second.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tailflip.flow.late import dataclass
from tailflip.observe.gateway.health import HEALTH, Probe
from tailflip.observe.next_start import find_next_start

if TYPE_CHECKING:
    from tailflip.flow.observed import Gateway
    from tailflip.observe.gateway.health import Answer
    from tailflip.observe.installation import Installation

_PATIENCE_S = 1.0
_SILENT = frozenset({"refused", "timeout"})


@dataclass(frozen=True)
class Answered:
    """How a gateway answered of late.

    Attributes:
        born: pid and start of the gateway that was asked.
        last_ms: when it last answered; None: not yet.
        took_s: how long its last answer took; None where the last question got none.
        missed: the questions in a row that it left without any answer.
    """

    born: tuple[int | None, int | None]
    last_ms: int | None = None
    took_s: float | None = None
    missed: int = 0


class Answers:
    """What is known of each gateway's answers, for as long as this process lives."""

    def __init__(self) -> None:
        self._known: dict[str, Answered] = {}

    def note(
        self, guard: str, gateway: Gateway, now_ms: int, answer: Answer, *, is_good: bool
    ) -> Answered:
        """Note how one question went; a new gateway begins anew. One that starts is not silent."""
        took_s = answer.latency_s if is_good else None
        born = (gateway.pid, gateway.started_ms)
        last = self._known.get(guard)
        last = Answered(born) if last is None or last.born != born else last
        if took_s is None:
            now = Answered(
                born, last.last_ms, None, last.missed + 1 if answer.kind in _SILENT else 0
            )
        else:
            now = Answered(born, now_ms, took_s)
        self._known[guard] = now
        return now


def ask(installation: Installation, port: int, gateway: Gateway) -> tuple[Answer, bool]:
    """Ask once; say also whether the answer is good: an old release has a page and no health."""
    answer = Probe(port, tls=installation.tls).ask(HEALTH, _PATIENCE_S)
    if answer.kind == "ok" or not answer.serves:
        return answer, answer.kind == "ok"
    can = find_next_start(installation, os.environ, gateway).release.capabilities
    return answer, can.lacks_health_probe
