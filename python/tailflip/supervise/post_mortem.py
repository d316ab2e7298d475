"""After the end of a gateway: find out why, put it on record, decide what follows."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from tailflip.base import clock, log
from tailflip.base.units import format_bytes, format_span
from tailflip.diagnose.causes import OUT_OF_MEMORY, WANTED, choose_step
from tailflip.diagnose.loops import CRASHES, RESTARTS, find_loop, find_restarts
from tailflip.diagnose.trend import find_trend
from tailflip.flow.outcomes import Finding
from tailflip.ledger.actions import Ledger, State
from tailflip.observe.suspects import MEMORY_ELSEWHERE, find_suspects
from tailflip.supervise.breaker import decide, is_loop
from tailflip.supervise.process.handoff import consume_handoff

if TYPE_CHECKING:
    from collections.abc import Callable

    from tailflip.base.progress import Progress
    from tailflip.flow.lives import Breaker, Clues, Death, Decision, Life
    from tailflip.supervise.admission import Admission
    from tailflip.supervise.context import Guard
    from tailflip.supervise.process.guarded import Service

_HEIR_S = 10.0  # a gateway that restarts by itself holds its lock again within this time
_HEIR_LOOK_S = 0.25
# A service manager, or a terminal, that stops all of us at once reaches the gateway first.
_STOP_S, _STOP_LOOK_S = 1.0, 0.05
_SHELL_BASE = 128  # a shell tells signal n as exit 128 + n
_STOPS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})
_CURES = frozenset({"compact", "salvage", "hold"})
_LEAST_SPAN_S = 60.0  # a trend over less is noise


def examine(
    guard: Guard, service: Service, is_stopping: Callable[[], bool]
) -> tuple[Clues, bytes] | None:
    """Collect the clues and the last words of a gateway that ended; slow.

    Returns:
        None if it goes on: it started its own successor, which `service` now holds.
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
        if guard.release.capabilities.hands_off_restarts:
            pid = service.life.worker_pid or service.child.pid
            service.handed_off = consume_handoff(guard.release, pid)
    service.sweep(signal.SIGTERM)
    return service.collect()


def _await_stop(service: Service, is_stopping: Callable[[], bool]) -> None:
    """See whether an end that looks like a stop was one: then we are asked as well."""
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
        service.asked = "operator"


def record_death(guard: Guard, death: Death, clues: Clues, life: Life, tail: bytes) -> Life:
    """Put the verdict on record, and return the life as it then stands."""
    now_ms = clock.now_ms()
    incident = None
    if death.cause not in WANTED:
        incident = guard.read(lambda: guard.history.incidents.open(death, now_ms), None)
    ended = life.model_copy(
        update={
            "ended_ms": now_ms,
            "death": death,
            "exit_code": clues.exit_code,
            "signal": clues.signal,
            "peak_rss_bytes": clues.peak_rss_bytes or life.peak_rss_bytes,
            "incident": incident.id if incident is not None else None,
        }
    )
    guard.write(lambda: guard.history.lives.end(ended, tail))
    log.write(
        "info" if death.cause in WANTED else "error",
        "verdict",
        cause=death.cause,
        confidence=death.confidence,
        evidence="; ".join(death.evidence),
        next=None if death.cause in WANTED else choose_step(death.cause, death.hint, life.version),
    )
    return ended


def count_memory_deaths(breaker: Breaker, death: Death) -> int:
    """Count deaths of memory in a row, this one included; 0 if it is of another kind."""
    if death.cause not in OUT_OF_MEMORY:
        return 0
    return breaker.row + 1 if breaker.signature == death.signature else 1


def heal(
    guard: Guard, breaker: Breaker, death: Death, life: Life, on_progress: Progress | None = None
) -> Admission:
    """Look at the stores after a death, and heal them if it was memory that they can have filled.

    Otherwise what may have filled it is put on record, for `incidents why` and `check`.
    """
    row = count_memory_deaths(breaker, death)
    admission = guard.admit(died_of_memory=row, on_progress=on_progress)
    if row:
        cured = is_cured(guard, life, admission)
        finding = None if cured else _suspect(guard, life, admission)
        note(guard, MEMORY_ELSEWHERE, finding)
        if finding is not None:
            log.error("look elsewhere", why=finding.message, hint=finding.hint)
    return admission


def _suspect(guard: Guard, life: Life, admission: Admission) -> Finding | None:
    """Say what may have filled the memory of a life; None while its stores are expected to."""
    told, at = admission.before, guard.locate()
    if told is None or at is None or told.over:
        return None
    limit_bytes = guard.find_heap_limit()[0]
    died_ms = life.ended_ms or clock.now_ms()
    samples = guard.read(lambda: guard.history.samples.read(0, life_id=life.id), ())
    trend = None
    if limit_bytes is not None:
        trend = find_trend(samples, limit_bytes, now_ms=died_ms, min_span_s=_LEAST_SPAN_S)
    paths = [store.path for store in at.stores]
    suspects = find_suspects(at.state_dir, paths, died_ms=died_ms, trend=trend)
    have = "an unknown limit" if limit_bytes is None else format_bytes(limit_bytes)
    share = f"{format_bytes(told.heap_bytes)} of {have}"
    what = (
        f"the stores alone are not expected to fill it ({share})"
        if admission.stores_may_kill
        else f"the stores are not the cause ({share})"
    )
    rest = "; ".join(suspects) or "nothing else was found that is large"
    return Finding(
        MEMORY_ELSEWHERE,
        "error",
        guard.name,
        f"the gateway died of memory, and {what}; {rest}",
        (
            "look at what is named first: move a large file away, end or reset a large session; or "
            if suspects
            else ""
        )
        + "give the gateway more heap (NODE_OPTIONS=--max-old-space-size=MB)",
    )


def is_cured(guard: Guard, life: Life, admission: Admission | None) -> bool:
    """Say whether something was done since a death that may help.

    By this admission, or by one that was ended before it could be told: then the stores
    are small, and look as if nothing had ever been wrong with them.
    """
    if admission is not None and admission.cured:
        return True
    ended_ms = life.ended_ms if life.ended_ms is not None else clock.now_ms()
    actions = guard.read(Ledger(guard.home, guard.disk).read_all, ())
    return any(
        each.kind in _CURES
        and each.state in (State.COMMITTED, State.DONE)
        and each.created_ms >= ended_ms
        and guard.owns(each.store)
        for each in actions
    )


def choose_next(
    guard: Guard,
    breaker: Breaker,
    death: Death,
    life: Life,
    *,
    cured: bool,
    is_paced: bool = True,
) -> tuple[Breaker, Decision]:
    """Decide what follows a death, and put both on record; `is_paced` as for the world."""
    if cured:
        healed = life.model_copy(update={"cured": True})
        guard.write(lambda: guard.history.lives.update(healed))
    world = guard.look_at_world(cured=cured, is_paced=is_paced)
    breaker, decision = decide(breaker, death, world)
    record_decision(guard, breaker, decision, life.id)
    if death.cause in WANTED and is_loop(breaker, world.limits):
        # What was wanted once is none of our business; again and again, it is an incident.
        incident = guard.read(lambda: guard.history.incidents.open(death, world.now_ms), None)
        if incident is not None:
            told = life.model_copy(update={"cured": cured, "incident": incident.id})
            guard.write(lambda: guard.history.lives.update(told))
    _note_loops(guard, death)
    return breaker, decision


def record_decision(
    guard: Guard, breaker: Breaker, decision: Decision, life_id: str | None
) -> None:
    """Put a decision on record before it is acted on."""
    guard.write(lambda: guard.history.decisions.record(decision, breaker, life_id, clock.now_ms()))
    log.write(
        "error" if decision.alert else "info",
        "decision",
        kind=decision.kind,
        reason=decision.reason,
        waiting=decision.waiting,
    )


def note(guard: Guard, code: str, finding: Finding | None) -> None:
    """Have one finding open, or ended when it is None."""
    findings = [finding] if finding is not None else []
    guard.write(lambda: guard.history.findings.note(findings, clock.now_ms(), {code}))


def _note_loops(guard: Guard, death: Death) -> None:
    """Have the findings agree with what the last lives make: a loop of deaths, or of restarts."""
    settings = guard.config.restart
    lives = guard.read(guard.history.lives.read, ())
    loop = find_loop(lives, deaths=settings.loop_deaths, good_life_s=settings.good_life_s)
    if loop is not None and death.cause not in WANTED:
        pace = format_span(1000 * loop.period_s)
        message = f"{loop.deaths} deaths in a row by {loop.cause}, one every {pace}"
        log.error("crash loop", cause=loop.cause, deaths=loop.deaths, period=pace)
        hint = "`tailflip incidents why` tells the story"
        _note_error(guard, CRASHES, message, hint, death)
    restarts = find_restarts(lives, deaths=settings.loop_deaths, good_life_s=settings.good_life_s)
    if restarts is None:
        note(guard, RESTARTS, None)
        return
    pace = format_span(1000 * restarts.period_s)
    message = (
        f"the gateway restarts itself again and again: {restarts.deaths} times in a row, "
        f"once every {pace}"
    )
    log.error("restarts itself again and again", times=restarts.deaths, period=pace)
    hint = (
        "its own log says why: a plugin or job that changes the configuration, an update that "
        "does not end; `tailflip incidents` tells the story"
    )
    _note_error(guard, RESTARTS, message, hint, death)


def _note_error(guard: Guard, code: str, message: str, hint: str, death: Death) -> None:
    note(guard, code, Finding(code, "error", guard.name, message, hint, death.evidence))
