"""The post-mortem of a gateway: find out why it ended, put that on record, decide."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from tailflip.base import clock, log
from tailflip.base.log import Level
from tailflip.base.units import format_span, format_time
from tailflip.diagnose.causes import CAUSES, OF_WORK, OUT_OF_MEMORY, WANTED, choose_step
from tailflip.diagnose.findings.inputs import Inputs
from tailflip.diagnose.killers import list_suspects
from tailflip.diagnose.loops import find_loop, find_restarts
from tailflip.diagnose.trend import find_trend
from tailflip.flow.conditions import GatewayLoop, MemoryDeath
from tailflip.flow.lives import Asked, DecisionKind, Waiting
from tailflip.flow.outcomes import ActionKind
from tailflip.ledger.actions import State
from tailflip.observe.suspects import find_suspects
from tailflip.supervise.breaker import decide, is_loop
from tailflip.supervise.elapsed import read_end
from tailflip.supervise.found_damage import look_into
from tailflip.supervise.noted import note
from tailflip.supervise.preparation import prepare_start
from tailflip.supervise.process.handoff import consume_handoff

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from tailflip.base.progress import Progress
    from tailflip.flow.lives import Breaker, Clues, Death, Decision, Life
    from tailflip.flow.work import Work
    from tailflip.supervise.admission import Admission
    from tailflip.supervise.context import GuardedGateway
    from tailflip.supervise.process.guarded import Service
    from tailflip.supervise.world import World

_HEIR_S = 10.0  # a gateway that restarts by itself holds its lock again within this time
_HEIR_LOOK_S = 0.25
# A service manager or a terminal that stops all processes may reach the gateway first.
_STOP_S, _STOP_LOOK_S = 1.0, 0.05
_SHELL_BASE = 128  # a shell tells signal n as exit 128 + n
_STOPS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})
_CURES = frozenset({ActionKind.COMPACT, ActionKind.SALVAGE, ActionKind.HOLD})
_HOLDS = frozenset({ActionKind.HOLD})
_DECIDED = {
    DecisionKind.START: "the gateway will be started",
    DecisionKind.WAIT: "waiting before the next start",
    DecisionKind.END: "tailflip will end",
}
_LEAST_SPAN_S = 60.0  # a trend over less is noise


def log_end(service: Service) -> None:
    """Log how a gateway ended."""
    ended = service.ended
    is_in_order = service.asked or (ended and ended.exit_code == 0)
    log.write(
        Level.INFO if is_in_order else Level.ERROR,
        "gateway ended",
        pid=service.child.pid,
        exit=ended.exit_code if ended else None,
        signal=_name(ended.signal) if ended else None,
        uptime_s=round(service.uptime_s, 1),
    )


def _name(number: int | None) -> str | None:
    try:
        return None if number is None else signal.Signals(number).name
    except ValueError:
        return str(number)


def choose_exit_code(life: Life) -> int:
    """Choose our own exit code after a wanted end: the gateway's, or 0 after a SIGTERM."""
    if life.signal in (signal.SIGTERM, signal.SIGINT):
        return 0
    return life.exit_code or 0 if life.signal is None else _SHELL_BASE + life.signal


def examine(
    gateway: GuardedGateway, service: Service, is_stopping: Callable[[], bool]
) -> tuple[Clues, bytes] | None:
    """Collect the clues and the last words of a gateway that ended; slow.

    Returns:
        None if the gateway goes on: it started its own successor, which `service` now holds.
    """
    ended_well = service.ended is not None and service.ended.exit_code == 0
    _await_stop(service, is_stopping)
    if ended_well and service.asked is None:
        until_s = clock.monotonic_s() + _HEIR_S
        while service.has_heirs() and clock.monotonic_s() < until_s and not is_stopping():
            if service.take_over_heir():
                service.ended = None
                return None
            clock.sleep_s(_HEIR_LOOK_S)
        if gateway.release.capabilities.hands_off_restarts:
            pid = service.life.worker_pid or service.child.pid
            service.handed_off = consume_handoff(gateway.release, pid)
    service.sweep(signal.SIGTERM)
    clues, tail = service.collect()
    return look_into(gateway, clues), tail


def _await_stop(service: Service, is_stopping: Callable[[], bool]) -> None:
    """Find out whether an end that looks like a stop was one: then we are asked to stop too."""
    ended = service.ended
    if service.asked is not None or ended is None:
        return
    looks_asked = (
        ended.exit_code == 0
        or ended.signal in _STOPS
        or (ended.exit_code is not None and ended.exit_code - _SHELL_BASE in _STOPS)
    )
    until_s = clock.monotonic_s() + (_STOP_S if looks_asked else 0)
    while not is_stopping() and clock.monotonic_s() < until_s:
        clock.sleep_s(_STOP_LOOK_S)
    if is_stopping():
        service.asked = Asked.OPERATOR


def record_death(
    gateway: GuardedGateway, death: Death, clues: Clues, life: Life, tail: bytes
) -> Life:
    """Put the verdict on record with what was in flight, and return the updated life."""
    now_ms = clock.now_ms()
    in_flight = _look_in_flight(gateway, life) if death.cause in OF_WORK else None
    ended = life.model_copy(
        update={
            **read_end(life),
            "death": death,
            "exit_code": clues.exit_code,
            "signal": clues.signal,
            "peak_rss_bytes": clues.peak_rss_bytes or life.peak_rss_bytes,
            "in_flight": in_flight,
        }
    )
    if death.cause in WANTED:
        gateway.record.end_life(ended, tail)
    else:
        ended = gateway.record.end_in_incident(ended, death, now_ms, tail)
    log.write(
        Level.INFO if death.cause in WANTED else Level.ERROR,
        f"the gateway {'ended' if death.cause in WANTED else 'died'}: {CAUSES[death.cause].words}",
        cause=death.cause,
        confidence=death.confidence,
        evidence="; ".join(death.evidence),
        in_flight=", ".join(each.words for each in in_flight or ()) or None,
        next=None if death.cause in WANTED else choose_step(death.cause, death.hint, life.version),
    )
    return ended


def _look_in_flight(gateway: GuardedGateway, life: Life) -> tuple[Work, ...] | None:
    """Look what a dead gateway was at: its next start tidies that up."""
    from tailflip.stores.in_flight import read_in_flight  # noqa: PLC0415 - most ends are clean

    installation = gateway.locate()
    if installation is None or gateway.find_other(installation) is not None:
        return None
    return read_in_flight(installation, life)


def may_be_killed_by_work(gateway: GuardedGateway) -> bool:
    """Say whether a session or job was in flight at each of the last deaths in a row."""
    suspects = list_suspects(
        gateway.record.read_lives(),
        deaths=gateway.config.reconcile.hold_deaths,
        good_life_s=gateway.config.restart.good_life_s,
    )
    return gateway.config.reconcile.enabled and bool(suspects)


def count_memory_deaths(breaker: Breaker, death: Death) -> int:
    """Count deaths of memory in a row, this one included; 0 after a death of another kind."""
    if death.cause not in OUT_OF_MEMORY:
        return 0
    return breaker.row + 1 if breaker.signature == death.signature else 1


def heal(
    gateway: GuardedGateway,
    breaker: Breaker,
    death: Death,
    life: Life,
    on_progress: Progress | None = None,
) -> Admission:
    """Look at the stores after a death, and heal them if they can have filled the memory.

    Otherwise the suspects are put on record, for `incidents why` and `check`.
    """
    row = count_memory_deaths(breaker, death)
    admission = prepare_start(gateway, died_of_memory=row, on_progress=on_progress)
    if row:
        cured = life.cured or is_cured(gateway, life, admission)
        death_elsewhere = None if cured else _suspect(gateway, life, admission)
        seen = () if death_elsewhere is None else (death_elsewhere,)
        for finding in note(gateway, Inputs(memory_deaths=seen)):
            log.error("the stores are not the cause", why=finding.message, hint=finding.hint)
    return admission


def _suspect(gateway: GuardedGateway, life: Life, admission: Admission) -> MemoryDeath | None:
    """Gather the suspects for a life's memory; None while its stores are expected to fill it."""
    told, at = admission.before, gateway.locate()
    if told is None or at is None or told.over:
        return None
    limit_bytes = gateway.find_heap_limit().bytes
    died_ms = life.ended_ms or clock.now_ms()
    samples = gateway.record.read_samples(life.id)
    trend = None
    if limit_bytes is not None:
        trend = find_trend(samples, limit_bytes, now_ms=died_ms, min_span_s=_LEAST_SPAN_S)
    paths = [store.path for store in at.stores]
    suspects = find_suspects(at.state_dir, paths, died_ms=died_ms, trend=trend)
    return MemoryDeath(
        gateway.name, told.heap_bytes, limit_bytes, admission.stores_may_kill, suspects
    )


def is_cured(gateway: GuardedGateway, life: Life, admission: Admission | None) -> bool:
    """Say whether a cure was made since a death.

    By this admission, or by one that was killed before it could report: then the stores
    are small, and show no trace of the fault.
    """
    if admission is not None and admission.cured:
        return True
    return _was_done_since(gateway, life, _CURES)


def is_held(gateway: GuardedGateway, life: Life) -> bool:
    """Say whether what was in flight at the last deaths is held since the last of them."""
    return _was_done_since(gateway, life, _HOLDS)


def _was_done_since(gateway: GuardedGateway, life: Life, kinds: Collection[ActionKind]) -> bool:
    ended_ms = life.ended_ms if life.ended_ms is not None else clock.now_ms()
    return any(
        each.kind in kinds
        and each.state in (State.COMMITTED, State.DONE)
        and each.created_ms >= ended_ms
        and gateway.owns(each.store)
        for each in gateway.record.read_actions()
    )


def choose_next(
    gateway: GuardedGateway,
    breaker: Breaker,
    death: Death,
    life: Life,
    world: World,
) -> tuple[Breaker, Decision]:
    """Decide what follows a death in this world, and put both on record."""
    if world.cured:
        healed = life.model_copy(update={"cured": True})
        gateway.record.update_life(healed)
    breaker, decision = decide(breaker, death, world)
    record_decision(gateway, breaker, decision, life.id)
    is_counted = breaker.signature == death.signature
    if death.cause in WANTED and is_counted and is_loop(breaker, world.limits):
        # What was wanted once is none of our business; again and again, it is an incident.
        incident = gateway.record.open_incident(death, world.now_ms)
        if incident is not None:
            told = life.model_copy(update={"cured": world.cured, "incident": incident.id})
            gateway.record.update_life(told)
    _note_loops(gateway, death)
    return breaker, decision


def record_decision(
    gateway: GuardedGateway, breaker: Breaker, decision: Decision, life_id: str | None
) -> None:
    """Put a decision on record before it is acted on."""
    gateway.record.record_decision(decision, breaker, life_id)
    log.write(
        Level.ERROR if decision.alert else Level.INFO,
        _DECIDED[decision.kind],
        reason=decision.reason,
        waiting=None if decision.waiting is Waiting.NOTHING else decision.waiting,
        until=None if decision.at_ms is None else format_time(decision.at_ms),
    )


def _note_loops(gateway: GuardedGateway, death: Death) -> None:
    """Have the findings agree with what the last lives make: a loop of deaths, or of restarts.

    A loop of deaths stands until a good life: a death of another kind does not end it.
    """
    settings = gateway.config.restart
    lives = gateway.record.read_lives()
    loop = find_loop(lives, deaths=settings.loop_deaths, good_life_s=settings.good_life_s)
    if loop is not None and death.cause not in WANTED:
        pace = format_span(1000 * loop.period_s)
        log.error(
            "crash loop: the gateway dies of one cause again and again",
            cause=loop.cause,
            deaths=loop.deaths,
            every=pace,
        )
        note(gateway, Inputs(crash_loops=(GatewayLoop(gateway.name, loop, death.evidence),)))
    restarts = find_restarts(lives, deaths=settings.loop_deaths, good_life_s=settings.good_life_s)
    if restarts is None:
        note(gateway, Inputs(restart_loops=()))
        return
    pace = format_span(1000 * restarts.period_s)
    log.error("the gateway restarts itself again and again", restarts=restarts.deaths, every=pace)
    note(gateway, Inputs(restart_loops=(GatewayLoop(gateway.name, restarts, death.evidence),)))
