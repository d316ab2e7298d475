"""`tailflip status`: how the guarded gateway fares, on one screen; exit code 1 if it is grave."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tailflip.base import clock
from tailflip.base.errors import TailflipError, Usage
from tailflip.base.openclaw_units import parse_size_bytes
from tailflip.base.render import escape, format_error, to_json
from tailflip.cli.options import AsJson, Profile, StateDir  # noqa: TC001 - typer reads them
from tailflip.diagnose.trend import find_trend
from tailflip.observe.gateway.liveness import read_gateway
from tailflip.observe.gateway.process import is_alive
from tailflip.observe.gateway.vitals import read_tree
from tailflip.observe.host.space import read_space
from tailflip.report.installed import find_installed
from tailflip.report.screen import format_screen
from tailflip.report.status import (
    DAY_MS,
    Look,
    Memory,
    OpenIncident,
    Record,
    Stores,
    measure_growth,
    sum_up,
)
from tailflip.report.subject import Subject, find_subject
from tailflip.stores.archive import list_actions
from tailflip.supervise.admission import measure_stores
from tailflip.supervise.context import is_own

if TYPE_CHECKING:
    from tailflip.flow.lives import Life
    from tailflip.flow.observed import Gateway
    from tailflip.ledger.starts import JudgedStart
    from tailflip.report.status import Situation
    from tailflip.stores.archive import Archived

_EVERY_S = 2.0
_CLEAR = "\x1b[H\x1b[2J"
_LIVES = 200
_GROWTH_MS = 7 * DAY_MS
_HEAP_FACT = "heap-limit"  # put there by whoever guards: asking node again would cost its start


def status(
    *,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it again every 2 s, until Ctrl-C.")
    ] = False,
    state_dir: StateDir = None,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Say how the guarded gateway fares and what comes next; changes nothing.

    Exit code 1 if it may not start, or if an incident is open that nobody took note of.
    """
    if watch and as_json:
        raise Usage("give either --watch or --json", hint="ask with --json as often as you like")
    situation = _look(state_dir, profile, as_json=as_json)
    if watch:
        situation = _watch(situation, state_dir, profile)
    if situation.is_grave:
        raise typer.Exit(1)


def _watch(situation: Situation, state_dir: Path | None, profile: str | None) -> Situation:
    """Look until somebody says stop, which is no failure; return what was seen last."""
    try:
        while True:
            clock.sleep_s(_EVERY_S)
            try:
                situation = _look(state_dir, profile, clear=sys.stdout.isatty())
            except TailflipError as e:
                # The next look may find the ledger free, or the configuration whole again.
                print(format_error(e), file=sys.stderr)
    except KeyboardInterrupt:
        return situation


def _look(
    state_dir: Path | None, profile: str | None, *, as_json: bool = False, clear: bool = False
) -> Situation:
    subject = find_subject(state_dir, profile)
    situation = read_situation(subject, clock.now_ms())
    if as_json:
        print(to_json(situation))
        return situation
    # In one write: a screen that is cleared first flickers.
    screen = "\n".join(format_screen(situation))
    print((_CLEAR if clear else "") + screen, flush=True)
    for note in subject.notes:
        print(f"note: {escape(note)}", file=sys.stderr)
    return situation


def read_situation(subject: Subject, now_ms: int) -> Situation:
    """Read the record, look at processes and stores, and put it together."""
    history, installation = subject.history, subject.installation
    gateway = read_gateway(installation, os.environ) if installation is not None else None
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
            for space in read_space(Path(history.guard), history.workspace.home.root)
            if space.is_scarce
        ),
    )
    record = Record(
        lives=lives,
        actions=_list_own_actions(subject),
        findings=history.findings.read(),
        incidents=tuple(
            OpenIncident(each, counts.get(each.id, 0))
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
    fact = subject.history.facts.get(_HEAP_FACT)
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
    """List what was done to this gateway's stores, newest first."""
    history, installation = subject.history, subject.installation
    return tuple(
        each
        for each in list_actions(history.workspace.home, history.workspace.disk)
        if is_own(each.action.store, history.guard, installation)
    )
