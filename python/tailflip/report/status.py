"""The values of one situation: what a look and the record say of a gateway, and what follows.

A gateway may have a guard beside it (`run`, `watch`), or one before its starts (`gate`,
`preflight`) that is gone by the time a person asks. Such a guard is known from the record and
from the service's own definition.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tailflip.base.state_dir import Supervisor
    from tailflip.flow.lives import Breaker, Decision, Incident, Life
    from tailflip.flow.maintenance import Maintenance
    from tailflip.flow.observed import Gateway, Sample
    from tailflip.flow.outcomes import Trend
    from tailflip.ledger.decisions import MadeDecision
    from tailflip.ledger.findings import NotedFinding
    from tailflip.ledger.starts import JudgedStart
    from tailflip.stores.archive import Archived

RETRY = "tailflip retry"
DAY_MS = 86_400_000
_MIN_GROWTH_MS = 600_000  # a shorter time says nothing about a day
_DROP = 0.95  # below this share of the last size, entries were taken out


@dataclass(frozen=True)
class Memory:
    """Memory of the gateway's processes; `rss_bytes` was measured at `at_ms`.

    `limit_bytes` is the heap that V8 may use, `limit_source` the source of that number.
    """

    rss_bytes: int | None
    at_ms: int | None
    limit_bytes: int | None
    limit_source: str
    trend: Trend | None


@dataclass(frozen=True)
class Stores:
    """All stores together; `bytes_per_day` is their growth since entries were taken out."""

    count: int
    size_bytes: int
    bytes_per_day: float | None


@dataclass(frozen=True)
class CountedIncident:
    """An incident, with its deaths on record."""

    incident: Incident
    deaths: int


@dataclass(frozen=True)
class Installed:
    """The gateway's service, which starts through us, or was installed to.

    `mode` is gate or run, None where `tailflip install` did not write it. `path` is
    the file by which it starts through us, None if it no longer does.
    """

    service: str
    scope: str
    manager: str
    mode: str | None
    path: str | None

    @property
    def is_in_front(self) -> bool:
        """Say whether the next start goes through us."""
        return self.path is not None


@dataclass(frozen=True)
class Look:
    """The look at this moment; `port` is None when no installation was found.

    `parked_pid` is of a living gate that refused a start and waits for a change. `full` are
    the directories, the gateway's and ours, whose disk has no room. `problem` says why the
    installation could not be looked at, `cure` what a person does about it. `release` is OpenClaw's
    that lives or starts next, `service` a definition that starts this gateway. `maintenance` is one
    that lasts.
    """

    now_ms: int
    guard: str
    gateway: Gateway | None
    port: int | None
    supervisor: Supervisor | None
    memory: Memory
    stores: Stores | None
    installed: Installed | None = None
    parked_pid: int | None = None
    full: tuple[Path, ...] = ()
    problem: str = ""
    cure: str = ""
    release: str | None = None
    service: str | None = None
    maintenance: Maintenance | None = None


@dataclass(frozen=True)
class Record:
    """The record, newest first except for the findings.

    `start` is the last that a gate judged. `undecided` says that the last death has a verdict
    and no decision.
    """

    lives: Sequence[Life]
    actions: Sequence[Archived]
    incidents: Sequence[CountedIncident]
    breaker: Breaker
    made: MadeDecision | None
    start: JudgedStart | None = None
    undecided: bool = False


class State(StrEnum):
    """How a gateway fares, in a word.

    ok: it runs, or nobody guards it and nothing is wrong. waiting: a guard waits, and goes on by
    itself. down: it does not run, and nothing is known to start it. at-risk: an error stands.
    """

    OK = "ok"
    WAITING = "waiting"
    DOWN = "down"
    AT_RISK = "at-risk"


@dataclass(frozen=True)
class Verdict:
    """The one sentence that comes first; `step` is what a person can do, or empty.

    `since_ms` and `until_ms` are None where unknown. `warnings` counts what is no error.
    """

    state: State
    reason: str
    step: str
    since_ms: int | None = None
    until_ms: int | None = None
    warnings: int = 0


@dataclass(frozen=True)
class Situation:
    """The look and the record together, with their conclusions.

    `life` is the one that lasts, else the last. `deaths` are unwanted ends, newest first.
    `start` is the last one if it went through a gate, and `refused` says that it was refused
    and no gateway lives. `undecided` is as in `Record`. `held` says that a start waits for the
    end of another gateway. `findings` are those of this moment, and for the codes in
    `not_looked_for` those on record. `is_grave` says that the verdict is not OK.
    """

    verdict: Verdict
    look: Look
    version: str | None
    life: Life | None
    deaths: tuple[Life, ...]
    deaths_in_a_day: int
    actions: tuple[Archived, ...]
    findings: tuple[NotedFinding, ...]
    incidents: tuple[CountedIncident, ...]
    breaker: Breaker
    decision: Decision | None
    decided_ms: int | None
    next_step: str
    is_grave: bool
    start: JudgedStart | None = None
    refused: bool = False
    undecided: bool = False
    held: bool = False
    not_looked_for: tuple[str, ...] = ()


def measure_growth(samples: Sequence[Sample]) -> float | None:
    """Measure the growth of the stores, in bytes a day, since entries were last taken out.

    Args:
        samples: oldest first.

    Returns:
        None when too little time lies between the first and the last measurement.
    """
    sizes = [(each.at_ms, each.stores_bytes) for each in samples if each.stores_bytes is not None]
    start = 0
    for n in range(1, len(sizes)):
        if sizes[n][1] < sizes[n - 1][1] * _DROP:
            start = n
    if not sizes or sizes[-1][0] - sizes[start][0] < _MIN_GROWTH_MS:
        return None
    span_ms = sizes[-1][0] - sizes[start][0]
    return (sizes[-1][1] - sizes[start][1]) / span_ms * DAY_MS
