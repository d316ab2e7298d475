"""What the page shows of a situation, in words that may be shown: the value of /status.json."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.flow.late import dataclass
from tailflip.flow.lives import BreakerState
from tailflip.report.narrative import describe_cause, describe_undo, tell_death
from tailflip.report.page.charts import Mark, Series, thin
from tailflip.report.page.safe import (
    hide,
    hide_life,
    name_code,
    tell_action,
    tell_cure,
    tell_finding,
    tell_reason,
    tell_step,
)
from tailflip.report.status import DAY_MS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailflip.flow.findings import Finding
    from tailflip.ledger.history import History
    from tailflip.observe.host.space import Space
    from tailflip.report.status import Situation

_MOST_EVENTS = 20
_WEEK_MS = 7 * DAY_MS


@dataclass(frozen=True)
class Need:
    """Findings of one code; `count` is of how many things, `since_ms` of the oldest."""

    code: str
    severity: str
    count: int
    says: str
    step: str
    since_ms: int


@dataclass(frozen=True)
class Event:
    """Something that happened; `kind` is death or action, `undo` a command or None."""

    at_ms: int
    kind: str
    text: str
    undo: str | None = None


@dataclass(frozen=True)
class ShownIncident:
    """An open incident."""

    id: str
    cause: str
    says: str
    opened_ms: int
    death_count: int
    is_seen: bool


@dataclass(frozen=True)
class View:
    """How one gateway fares; sizes in bytes, moments in milliseconds, None where unknown."""

    schema_version: int
    now_ms: int
    state_dir: str
    openclaw_version: str | None
    port: int | None
    guarded_by: str | None
    state: str
    reason: str
    next_step: str
    since_ms: int | None
    until_ms: int | None
    is_alive: bool | None
    is_ready: bool
    started_ms: int | None
    rss_bytes: int | None
    heap_limit_bytes: int | None
    memory_full_ms: int | None
    store_count: int | None
    stores_bytes: int | None
    stores_bytes_per_day: float | None
    disk_free_bytes: int | None
    disk_total_bytes: int | None
    starts: str
    deaths_in_a_day: int
    needs: tuple[Need, ...]
    incidents: tuple[ShownIncident, ...]
    happened: tuple[Event, ...]
    memory: Series
    stores: Series


def make_view(situation: Situation, history: History, space: Space | None) -> View:
    """Make what is shown.

    Args:
        situation: how the gateway fares.
        history: its record, for measurements.
        space: the room on the disk of its state directory.
    """
    look, memory, stores = situation.look, situation.look.memory, situation.look.stores
    events = tuple(_list_events(situation))
    began_ms = look.now_ms - DAY_MS
    marks = tuple(Mark(each.at_ms, each.kind) for each in events if each.at_ms >= began_ms)
    samples = history.samples.read(began_ms)
    rss = [(each.at_ms, each.rss_bytes) for each in samples if each.rss_bytes is not None]
    sizes = [(each.at_ms, each.stores_bytes) for each in samples if each.stores_bytes is not None]
    if memory.rss_bytes is not None and memory.at_ms == look.now_ms:
        rss.append((look.now_ms, memory.rss_bytes))
    if stores is not None:
        sizes.append((look.now_ms, stores.size_bytes))
    limit = memory.limit_bytes
    life = situation.life if situation.life and situation.life.ended_ms is None else None
    gateway = look.gateway
    is_alive = gateway.alive if gateway is not None else None
    return View(
        schema_version=1,
        now_ms=look.now_ms,
        state_dir=look.guard,
        openclaw_version=situation.version,
        port=look.port,
        guarded_by=str(look.supervisor.mode) if look.supervisor is not None else None,
        state=situation.verdict.state.value,
        reason=tell_reason(situation),
        next_step=tell_step(situation),
        since_ms=situation.verdict.since_ms,
        until_ms=situation.verdict.until_ms,
        is_alive=is_alive,
        is_ready=bool(is_alive and life is not None and life.ready_ms is not None),
        started_ms=gateway.started_ms if gateway is not None and gateway.alive else None,
        rss_bytes=memory.rss_bytes,
        heap_limit_bytes=limit,
        memory_full_ms=memory.trend.hits_ms if memory.trend is not None else None,
        store_count=stores.count if stores is not None else None,
        stores_bytes=stores.size_bytes if stores is not None else None,
        stores_bytes_per_day=stores.bytes_per_day if stores is not None else None,
        disk_free_bytes=space.free_bytes if space is not None else None,
        disk_total_bytes=space.total_bytes if space is not None else None,
        starts=_tell_starts(situation),
        deaths_in_a_day=situation.deaths_in_a_day,
        needs=tuple(_list_needs(situation)),
        incidents=tuple(_list_incidents(situation)),
        happened=events[:_MOST_EVENTS],
        memory=Series("Memory, 24 h", began_ms, look.now_ms, thin(rss), limit, marks),
        stores=Series("Stores, 24 h", began_ms, look.now_ms, thin(sizes), None, marks),
    )


def _tell_starts(situation: Situation) -> str:
    if situation.refused:
        return "refused"
    states = {
        BreakerState.CLOSED: "allowed",
        BreakerState.OPEN: "stopped",
        BreakerState.HALF_OPEN: "one trial",
    }
    return states[situation.breaker.state]


def _list_needs(situation: Situation) -> Iterator[Need]:
    """List what is wrong, each code once, errors first."""
    by_code: dict[tuple[str, str], list[int]] = {}
    told: dict[tuple[str, str], Finding] = {}
    for each in situation.findings:
        key = (str(each.finding.severity), name_code(each.finding))
        by_code.setdefault(key, []).append(each.first_ms)
        told.setdefault(key, each.finding)
    for (severity, code), since in by_code.items():
        finding = told[severity, code]
        says, step = tell_finding(finding), tell_cure(finding)
        yield Need(code, severity, len(since), says, step, min(since))


def _list_incidents(situation: Situation) -> Iterator[ShownIncident]:
    for each in situation.incidents:
        incident = each.incident
        yield ShownIncident(
            incident.id,
            incident.cause.value,
            describe_cause(incident.cause),
            incident.opened_ms,
            each.deaths,
            incident.acked_ms is not None,
        )


def _list_events(situation: Situation) -> Iterator[Event]:
    """List deaths and actions of the last week, newest first."""
    since_ms = situation.look.now_ms - _WEEK_MS
    found = [
        Event(life.ended_ms, "death", hide(tell_death(hide_life(life))))
        for life in situation.deaths
        if life.ended_ms is not None and life.ended_ms >= since_ms
    ]
    found += [
        Event(each.action.created_ms, "action", hide(tell_action(each)), describe_undo(each))
        for each in situation.actions
        if each.action.created_ms >= since_ms
    ]
    yield from sorted(found, key=lambda event: event.at_ms, reverse=True)
