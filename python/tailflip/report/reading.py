"""Reads the state of a gateway: its record, its processes and stores, its service."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.diagnose.trend import find_trend
from tailflip.flow.outcomes import ActionKind
from tailflip.observe.gateway.liveness import read_gateway
from tailflip.observe.gateway.process import is_alive
from tailflip.observe.gateway.signs import find_definitions
from tailflip.observe.gateway.vitals import read_tree
from tailflip.observe.host.space import read_space
from tailflip.observe.installation import measure_stores, owns
from tailflip.observe.next_start import find_next_start, find_owners
from tailflip.plan.forecast import LEAST_LIMIT_BYTES, forecast
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
)
from tailflip.report.verdict import sum_up
from tailflip.stores.archive import list_actions
from tailflip.stores.heap_limit import find_limit, find_told_limit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailflip.base.state_dir import Home
    from tailflip.flow.capabilities import Capabilities
    from tailflip.flow.conditions import HeldWork
    from tailflip.flow.lives import Life
    from tailflip.flow.observed import Gateway
    from tailflip.flow.outcomes import Forecast, HeapLimit
    from tailflip.ledger.starts import JudgedStart
    from tailflip.observe.gateway.release import Release
    from tailflip.observe.installation import Installation
    from tailflip.report.observation import Observation
    from tailflip.report.status import Situation
    from tailflip.report.subject import Subject
    from tailflip.stores.archive import Archived

_LIVES = 200
_GROWTH_MS = 7 * DAY_MS


def look_around(subject: Subject, now_ms: int) -> Observation:
    """Observe without reading a store: findings that need a survey are taken from the record."""
    history, installation = subject.history, subject.installation
    if installation is None:
        return observe_quickly(None, None, history, now_ms, mistakes=subject.mistakes)
    gateway = read_gateway(installation, os.environ)
    capabilities = _find_release(subject, installation, gateway).capabilities
    limit = _find_heap_limit(subject, gateway)
    return observe_quickly(
        installation,
        gateway,
        history,
        now_ms,
        forecast=_foresee_overflow(installation, capabilities, limit),
        capabilities=capabilities,
        heap_limit=limit,
        mistakes=subject.mistakes,
    )


def read_situation(subject: Subject, seen: Observation, now_ms: int) -> Situation:
    """Read the record, look at processes and services, and sum up with what was observed."""
    history, installation = subject.history, subject.installation
    home, gateway = history.workspace.home, seen.inputs.gateway
    state_dir = Path(history.guard) if installation is None else installation.state_dir
    lives = history.lives.read(_LIVES)
    counts = history.lives.count_deaths()
    made, start = history.decisions.read_last(), history.starts.read_last()
    look = Look(
        now_ms=now_ms,
        guard=history.guard,
        gateway=gateway,
        port=installation.port if installation is not None else None,
        supervisor=home.read_supervisor(history.guard),
        memory=_read_memory(subject, gateway, lives, now_ms),
        stores=_measure_stores(subject, now_ms),
        installed=find_installed(os.environ, home, history.guard),
        parked_pid=_find_parked(start),
        full=tuple(
            space.path
            for space in seen.inputs.spaces or read_space(Path(history.guard), home.root)
            if space.is_scarce
        ),
        problem=subject.problem,
        cure=subject.cure,
        release=(
            None if installation is None else _find_release(subject, installation, gateway).text
        ),
        maintenance=history.read_maintenance(),
        service=next((each.name for each in find_definitions(state_dir, os.environ)), None),
    )
    record = Record(
        lives=lives,
        actions=_list_own_actions(subject),
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
    held = _find_held(home, record.actions, installation, now_ms)
    return sum_up(look, record, seen, held)


def _find_release(subject: Subject, installation: Installation, gateway: Gateway | None) -> Release:
    """Find the release that lives, or starts next."""
    last = subject.history.lives.recall_last()
    return find_next_start(installation, os.environ, gateway, last).release


def list_held(subject: Subject, now_ms: int) -> tuple[HeldWork, ...]:
    """List what tailflip keeps from running now, of one gateway."""
    home, actions = subject.history.workspace.home, _list_own_actions(subject)
    return _find_held(home, actions, subject.installation, now_ms)


def _find_held(
    home: Home, actions: Sequence[Archived], installation: Installation | None, now_ms: int
) -> tuple[HeldWork, ...]:
    if not any(each.action.kind == ActionKind.HOLD for each in actions):
        return ()
    from tailflip.report.held import find_held  # noqa: PLC0415 - most gateways have nothing held

    return find_held(home, actions, installation, now_ms)


def _foresee_overflow(
    installation: Installation, capabilities: Capabilities, limit: HeapLimit
) -> Forecast | None:
    """Predict the heap from the stores' sizes; None unless they will not fit, or hardly.

    Sizes alone prove no fit: a text outside Latin-1 takes twice the heap. A survey tells more.
    """
    # A database's size says little: what a gateway loads of it are its rows.
    if any(store.is_database for store in installation.stores):
        return None
    told = forecast([measure_stores(installation)], capabilities, limit, wide=False)
    # Of an unknown release the hungriest is assumed: below this, some were seen to live.
    if not told.release_known and told.heap_bytes <= LEAST_LIMIT_BYTES:
        return None
    return told if told.over or told.close else None


def _find_parked(start: JudgedStart | None) -> int | None:
    """Find the gate that refused a start and waits: its process lives."""
    if start is None or start.go or start.pid is None:
        return None
    return start.pid if is_alive(start.pid, start.pid_ticks) else None


def _read_memory(
    subject: Subject, gateway: Gateway | None, lives: tuple[Life, ...], now_ms: int
) -> Memory:
    limit = _find_heap_limit(subject, gateway)
    limit_bytes, source = limit.bytes, limit.source
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


def _find_heap_limit(subject: Subject, gateway: Gateway | None) -> HeapLimit:
    told = find_told_limit(subject.config)
    if told is not None:
        return told
    owners = find_owners(Path(subject.history.guard), gateway, os.environ)
    return find_limit(subject.config, owners, subject.history)


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
