"""Reads the state of a gateway: its record, its processes and stores, its service."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.base.openclaw_units import parse_size_bytes
from tailflip.diagnose.trend import find_trend
from tailflip.ledger.facts import HEAP_LIMIT_FACT
from tailflip.observe.gateway.liveness import read_gateway
from tailflip.observe.gateway.process import is_alive
from tailflip.observe.gateway.vitals import read_tree
from tailflip.observe.host.space import read_space
from tailflip.observe.installation import measure_stores, owns
from tailflip.report.installed import find_installed
from tailflip.report.observation import observe_quickly
from tailflip.report.status import (
    DAY_MS,
    CountedIncident,
    Look,
    Memory,
    Record,
    Stores,
    measure_growth,
    sum_up,
)
from tailflip.stores.archive import list_actions

if TYPE_CHECKING:
    from tailflip.flow.lives import Life
    from tailflip.flow.observed import Gateway
    from tailflip.ledger.starts import JudgedStart
    from tailflip.report.status import Situation
    from tailflip.report.subject import Subject
    from tailflip.stores.archive import Archived

_LIVES = 200
_GROWTH_MS = 7 * DAY_MS


def read_situation(subject: Subject, now_ms: int) -> Situation:
    """Read the record, look at processes and stores, and sum up.

    No store is read: findings that need a survey are taken from the record.
    """
    history, installation = subject.history, subject.installation
    gateway = read_gateway(installation, os.environ) if installation is not None else None
    seen = observe_quickly(installation, gateway, history, now_ms)
    lives = history.lives.read(_LIVES)
    counts = history.lives.count_deaths()
    made, start = history.decisions.read_last(), history.starts.read_last()
    look = Look(
        now_ms=now_ms,
        guard=history.guard,
        gateway=gateway,
        port=installation.port if installation is not None else None,
        supervisor=history.workspace.home.read_supervisor(history.guard),
        memory=_read_memory(subject, gateway, lives, now_ms),
        stores=_measure_stores(subject, now_ms),
        installed=find_installed(os.environ, history.workspace.home, history.guard),
        parked_pid=_find_parked(start),
        full=tuple(
            space.path
            for space in seen.inputs.spaces
            or read_space(Path(history.guard), history.workspace.home.root)
            if space.is_scarce
        ),
    )
    record = Record(
        lives=lives,
        actions=_list_own_actions(subject),
        findings=seen.date_findings(now_ms),
        not_looked_for=seen.looked.not_looked_for,
        incidents=tuple(
            CountedIncident(each, counts.get(each.id, 0))
            for each in history.incidents.read()
            if each.closed_ms is None
        ),
        breaker=history.decisions.read_breaker(),
        made=made,
        start=start,
        undecided=bool(lives) and history.decisions.is_undecided(lives[0]),
    )
    return sum_up(look, record)


def _find_parked(start: JudgedStart | None) -> int | None:
    """Find the gate that refused a start and waits: its process lives."""
    if start is None or start.go or start.pid is None:
        return None
    return start.pid if is_alive(start.pid, start.pid_ticks) else None


def _read_memory(
    subject: Subject, gateway: Gateway | None, lives: tuple[Life, ...], now_ms: int
) -> Memory:
    limit_bytes, source = _read_heap_limit(subject)
    life = next((each for each in lives if each.ended_ms is None), None)
    samples = subject.history.samples.read(life.started_ms, life_id=life.id) if life else ()
    trend = find_trend(samples, limit_bytes, now_ms=now_ms) if limit_bytes and samples else None
    pid = gateway.pid if gateway is not None and gateway.alive else None
    vitals = read_tree(pid) if pid is not None else None
    if vitals is not None and vitals.rss_bytes:
        return Memory(vitals.rss_bytes, now_ms, limit_bytes, source, trend)
    last = next((each for each in reversed(samples) if each.rss_bytes is not None), None)
    if last is None:
        return Memory(None, None, limit_bytes, source, trend)
    return Memory(last.rss_bytes, last.at_ms, limit_bytes, source, trend)


def _read_heap_limit(subject: Subject) -> tuple[int | None, str]:
    given = subject.config.gateway.heap_limit
    if given is not None:
        return parse_size_bytes(given), "gateway.heap_limit"
    fact = subject.history.facts.get(HEAP_LIMIT_FACT)
    if isinstance(fact, dict) and type(fact.get("limit_bytes")) is int:
        return fact["limit_bytes"], str(fact.get("source"))
    return None, "not known yet"


def _measure_stores(subject: Subject, now_ms: int) -> Stores | None:
    if subject.installation is None:
        return None
    samples = subject.history.samples.read(now_ms - _GROWTH_MS)
    return Stores(
        len(subject.installation.stores),
        measure_stores(subject.installation),
        measure_growth(samples),
    )


def _list_own_actions(subject: Subject) -> tuple[Archived, ...]:
    """List the actions on this gateway's stores, newest first."""
    history, installation = subject.history, subject.installation
    return tuple(
        each
        for each in list_actions(history.workspace)
        if owns(each.action.store, history.guard, installation)
    )
