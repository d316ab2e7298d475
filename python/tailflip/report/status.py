"""Sums up the state of a gateway at one moment, and the next step, for `status`.

A gateway may have a guard beside it (`run`, `watch`), or one before its starts (`gate`,
`preflight`) that is gone by the time a person asks. Such a guard is known from the record and
from the service's own definition.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tailflip.base.state_dir import Presence
from tailflip.base.units import format_time
from tailflip.diagnose.causes import WAITS, WANTED, choose_step
from tailflip.flow.findings import Severity
from tailflip.flow.lives import BreakerState, Decision, LifeMode, Waiting
from tailflip.ledger.starts import JudgedStart

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tailflip.base.state_dir import Supervisor
    from tailflip.flow.lives import Breaker, Incident, Life
    from tailflip.flow.observed import Gateway, Sample
    from tailflip.flow.outcomes import Trend
    from tailflip.ledger.decisions import MadeDecision
    from tailflip.ledger.findings import NotedFinding
    from tailflip.stores.archive import Archived

RETRY = "tailflip retry"
DAY_MS = 86_400_000
_MIN_GROWTH_MS = 600_000  # a shorter time says nothing about a day
_DROP = 0.95  # below this share of the last size, entries were taken out
_AT_STARTS = (LifeMode.GATE, LifeMode.PREFLIGHT)


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
class OpenIncident:
    """An incident that is not over, with the deaths on record."""

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
    the directories, the gateway's and ours, whose disk has no room.
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


@dataclass(frozen=True)
class Record:
    """The record, newest first except for the findings.

    `start` is the last that a gate judged. `undecided` says that the last death has a verdict
    and no decision. `findings` are those of this moment, and for the codes in `not_looked_for`
    those on record.
    """

    lives: Sequence[Life]
    actions: Sequence[Archived]
    findings: Sequence[NotedFinding]
    incidents: Sequence[OpenIncident]
    breaker: Breaker
    made: MadeDecision | None
    start: JudgedStart | None = None
    undecided: bool = False
    not_looked_for: tuple[str, ...] = ()


@dataclass(frozen=True)
class Situation:
    """The look and the record together, with their conclusions.

    `life` is the one that lasts, else the last. `deaths` are unwanted ends, newest first.
    `start` is the last one if it went through a gate, and `refused` says that it was refused
    and no gateway lives. `undecided` is as in `Record`. `held` says that a start waits for the
    end of another gateway. `is_grave` says that starts are not allowed, the last one was refused,
    or an incident without `ack` is open.
    """

    look: Look
    version: str | None
    life: Life | None
    deaths: tuple[Life, ...]
    deaths_in_a_day: int
    actions: tuple[Archived, ...]
    findings: tuple[NotedFinding, ...]
    incidents: tuple[OpenIncident, ...]
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


def sum_up(look: Look, record: Record) -> Situation:
    """Sum up the look and the record, and choose the next step."""
    lives = tuple(record.lives)
    deaths = tuple(life for life in lives if _is_unwanted(life))
    day_ago_ms = look.now_ms - DAY_MS
    unseen = any(each.incident.acked_ms is None for each in record.incidents)
    start = find_start(record)
    refused = _is_refused(look, start)
    return Situation(
        look=look,
        version=next((life.version for life in lives if life.version), None),
        life=next((life for life in lives if life.ended_ms is None), lives[0] if lives else None),
        deaths=deaths,
        deaths_in_a_day=sum((life.ended_ms or 0) > day_ago_ms for life in deaths),
        actions=tuple(record.actions),
        findings=tuple(record.findings),
        incidents=tuple(record.incidents),
        breaker=record.breaker,
        decision=record.made.decision if record.made else None,
        decided_ms=record.made.at_ms if record.made else None,
        next_step=choose_next_step(look, record),
        is_grave=record.breaker.state is BreakerState.OPEN or unseen or refused,
        start=start,
        refused=refused,
        undecided=record.undecided,
        held=is_held_by_other(look, record),
        not_looked_for=tuple(record.not_looked_for),
    )


def find_start(record: Record) -> JudgedStart | None:
    """Find the last start, if it went through a gate; None if `run` started it since.

    A start by an older tailflip left a life on record, and no verdict of a gate.
    """
    life, start = record.lives[0] if record.lives else None, record.start
    if life is None or (start is not None and life.started_ms <= start.at_ms):
        return start
    if life.mode in _AT_STARTS:
        return JudgedStart(at_ms=life.started_ms, mode=life.mode, go=True, life=life.id)
    return None if life.mode is LifeMode.RUN else start


def is_held_by_other(look: Look, record: Record) -> bool:
    """Say whether starts wait for the end of another gateway: `run`'s, or those of a gate."""
    if look.supervisor is not None and look.supervisor.mode is Presence.RUN:
        return record.breaker.waiting is Waiting.OTHER_INSTANCE
    start = find_start(record)
    alive = look.gateway is not None and look.gateway.alive is True
    return start is not None and not start.go and start.other_pid is not None and alive


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


def choose_next_step(look: Look, record: Record) -> str:
    """Choose the next step, tailflip's or a person's."""
    if is_held_by_other(look, record):
        return _choose_beside(look, record)
    if look.supervisor is None:
        return _choose_unguarded(look, record)
    breaker, decision = record.breaker, record.made.decision if record.made else None
    if breaker.state is BreakerState.OPEN:
        return _choose_cure(record) + _format_trial(breaker, decision)
    if breaker.state is BreakerState.HALF_OPEN:
        return "one trial start is being watched; if it lives long enough, all is well again"
    lasts = any(life.ended_ms is None for life in record.lives)
    if not lasts and decision is not None and decision.at_ms is not None:
        when = format_time(decision.at_ms)
        return f"the gateway is started at {when}, or by `{RETRY}` now: {decision.reason}"
    worst = next(
        (each for each in record.findings if each.finding.severity == Severity.ERROR), None
    )
    return (worst.finding.hint if worst is not None else "") or "nothing to do"


def _choose_beside(look: Look, record: Record) -> str:
    start = find_start(record)
    if start is None or (look.supervisor is not None and look.supervisor.mode is Presence.RUN):
        return WAITS[Waiting.OTHER_INSTANCE].next_step
    return (
        f"start it in one place only: pid {start.other_pid} lives, and `tailflip {start.mode}` "
        "lets no second one start beside it"
    )


def _choose_cure(record: Record) -> str:
    """Choose the cure of the death that opened the breaker, else the change that is waited for."""
    made = record.made
    life = next((each for each in record.lives if made and each.id == made.life_id), None)
    if life is None or life.death is None or record.breaker.waiting is Waiting.OTHER_INSTANCE:
        step = WAITS[record.breaker.waiting].next_step
        return step or "`tailflip incidents` tells what happened"
    return choose_step(life.death.cause, life.death.hint, life.version)


def _choose_unguarded(look: Look, record: Record) -> str:
    start, installed = find_start(record), look.installed
    if installed is not None and not installed.is_in_front:
        mode = f" --mode {installed.mode}" if installed.mode not in (None, "gate") else ""
        return (
            f"`tailflip install{mode} --apply`: {installed.service} no longer starts "
            "through tailflip"
        )
    if start is not None:
        return _choose_at_start(look, record, start)
    if installed is not None:
        return f"restart {installed.service}: from then on tailflip stands before each start"
    if look.gateway is not None and look.gateway.alive:
        if record.lives and record.lives[0].ended_ms is None:
            return "nothing guards it: start `tailflip run` again; it takes over what lives"
        return "nothing guards it: stop it, then `tailflip run -- openclaw gateway run`"
    return _choose_again(record)


def _choose_again(record: Record) -> str:
    if not record.lives:
        return "nothing was ever guarded here: `tailflip run -- openclaw gateway run`"
    return "nothing guards it: start `tailflip run` again; it goes on where it was"


def _choose_at_start(look: Look, record: Record, start: JudgedStart) -> str:
    if _is_refused(look, start):
        hint = start.hint or "see what is wrong with `tailflip check`"
        if look.parked_pid is not None:
            return f"the gate waits, and starts it when something has changed; {hint}"
        return f"{hint}; then start its service again"
    if look.gateway is not None and look.gateway.alive:
        return (
            "nothing to do; if it dies, its service manager starts it, and "
            f"`tailflip {start.mode}` looks before that"
        )
    before = f"its service manager starts it; `tailflip {start.mode}`"
    if record.undecided:
        return f"{before} decides about its last death before that"
    if any(life.ended_ms is None for life in record.lives[:1]):
        return f"{before} finds out before that how it ended"
    return f"{before} looks before that"


def _is_refused(look: Look, start: JudgedStart | None) -> bool:
    """Say whether the gateway is down because a gate refused its start."""
    alive = look.gateway is not None and look.gateway.alive is True
    return start is not None and not start.go and not alive


def _format_trial(breaker: Breaker, decision: Decision | None) -> str:
    at_ms = breaker.until_ms
    if at_ms is None and decision is not None:
        at_ms = decision.at_ms
    when = "" if at_ms is None else f" at {format_time(at_ms)}, or"
    return f"; one trial{when} by `{RETRY}` now"


def _is_unwanted(life: Life) -> bool:
    """Say whether the end of a life was unwanted.

    A life whose end no supervisor saw, and that left no sign of a death, ended well: the gateway
    was stopped, or restarted as planned. Any other life without a verdict could not be started.
    """
    if life.ended_ms is None:
        return False
    if life.death is None:
        return life.end_known
    return life.death.cause not in WANTED
