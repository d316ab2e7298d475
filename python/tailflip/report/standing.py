"""How a guarded gateway stands, from its record and what runs now: pure functions.

What `status` and `check` conclude about starts, waits and ends is concluded here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base.state_dir import Presence
from tailflip.base.units import format_counted
from tailflip.diagnose.causes import CAUSES, WAITS, WANTED
from tailflip.diagnose.findings.inputs import Inputs
from tailflip.flow.conditions import RefusedStart, Stand, Standstill, UnseenIncident
from tailflip.flow.lives import GOOD_LIFE_MS, BreakerState, DecisionKind, LifeMode, Waiting
from tailflip.ledger.starts import JudgedStart

if TYPE_CHECKING:
    from tailflip.flow.conditions import HeldWork
    from tailflip.flow.lives import Decision, Life
    from tailflip.report.status import CountedIncident, Look, Record

# How `diagnose.deaths` words what a gateway blamed for its refusal.
_BLAME = ("problem at ", "variable ")
_AT_STARTS = (LifeMode.GATE, LifeMode.PREFLIGHT)


def list_conditions(
    look: Look, record: Record, step: str, held_works: tuple[HeldWork, ...]
) -> Inputs:
    """List what the record says is wrong, as inputs of findings.

    Args:
        look: what runs now.
        record: what the guards wrote.
        step: what a person does about a standstill.
        held_works: jobs and sessions that tailflip keeps from running.
    """
    found = find_standstill(look, record, step)
    is_refused_now = found is not None and found.kind is Stand.REFUSED
    refused = (RefusedStart(look.guard, found.reason, step),) if found and is_refused_now else None
    return Inputs(
        standstills=() if found is None else (found,),
        # A refusal by `run` stands on record as a finding; this look knows only those of a gate.
        refused_starts=refused,
        unseen_incidents=tuple(
            UnseenIncident(
                look.guard,
                each.incident.id,
                CAUSES[each.incident.cause].words,
                each.deaths,
                each.incident.opened_ms,
            )
            for each in record.incidents
            if each.incident.acked_ms is None and not _is_cured(each, look, record)
        ),
        held_works=held_works,
    )


def _is_cured(counted: CountedIncident, look: Look, record: Record) -> bool:
    """Say whether one death was cured, and the gateway answers since: it needs nobody.

    The incident stays open until the gateway has lived well. A second death calls for a person.
    """
    newest, *older = record.lives or (None,)
    died = next((each for each in older if each and each.incident == counted.incident.id), None)
    if newest is None or died is None or not died.cured or counted.deaths != 1:
        return False
    # Behind a gate nobody asks whether it answers: its age tells.
    is_old = look.now_ms - newest.started_ms > GOOD_LIFE_MS
    is_up = newest.ready_ms is not None or (newest.mode in _AT_STARTS and is_old)
    is_alive = look.gateway is not None and look.gateway.alive is True
    return newest.ended_ms is None and is_up and is_alive


def find_standstill(look: Look, record: Record, step: str) -> Standstill | None:
    """Find out why a guarded gateway does not run; None if it does, or nobody guards it."""
    start = find_start(record)
    if is_resting(look, record):
        return _rest(look, step)
    if is_held_by_other(look, record):
        return _wait_for_other(look, record, step)
    if start is not None and is_refused(look, start):
        return _refuse(look, record, start, step)
    if record.breaker.state is BreakerState.OPEN:
        return _stop(look, record, step)
    if is_under_run(look):
        return _wait_under_run(look, record, step)
    return _find_down(look, record, step)


def is_resting(look: Look, record: Record) -> bool:
    """Say whether `run` starts no gateway because a person works on it."""
    is_alive = look.gateway is not None and look.gateway.alive is True
    lasts = is_alive or any(life.ended_ms is None for life in record.lives)
    on = look.maintenance
    return on is not None and on.is_hands_off and is_under_run(look) and not lasts


def _rest(look: Look, step: str) -> Standstill:
    on, told = look.maintenance, "no gateway is started during a maintenance"
    if on is None:
        return Standstill(Stand.WAITS, look.guard, told, step, ends_itself=True)
    return Standstill(
        Stand.WAITS,
        look.guard,
        f"{told}: {on.reason}" if on.reason else told,
        step,
        since_ms=on.began_ms,
        until_ms=on.until_ms,
        ends_itself=True,
    )


def _wait_for_other(look: Look, record: Record, step: str) -> Standstill:
    start = find_start(record)
    since_ms = record.made.at_ms if record.made is not None else None
    pid = look.gateway.pid if look.gateway is not None else None
    if start is not None and not is_under_run(look):
        since_ms, pid = start.at_ms, start.other_pid
    who = "the other gateway" if pid is None else f"the other gateway, pid {pid},"
    reason = f"a start is held back until {who} is gone"
    return Standstill(Stand.WAITS, look.guard, reason, step, since_ms=since_ms, ends_itself=True)


def _refuse(look: Look, record: Record, start: JudgedStart, step: str) -> Standstill:
    """Tell a refusal by a gate; one by an open breaker names what the last death blamed."""
    reason = f"the start was refused: {start.reason.removeprefix('not started: ')}"
    life = find_judged(record) if record.breaker.state is BreakerState.OPEN else None
    evidence = life.death.evidence if life is not None and life.death is not None else ()
    return Standstill(
        Stand.REFUSED,
        look.guard,
        reason if life is None else reason + tell_blame(life),
        step,
        evidence,
        since_ms=start.at_ms,
        ends_itself=look.parked_pid is not None,
    )


def _stop(look: Look, record: Record, step: str) -> Standstill:
    """Tell an open breaker: the deaths that opened it, and what is waited for."""
    life = find_judged(record)
    breaker, decision = record.breaker, find_decision(record)
    many = format_counted(breaker.row, "death")
    told = f"no start is allowed after {many}" + (" of one kind in a row" * (breaker.row > 1))
    if life is not None and life.death is not None:
        told += f": {CAUSES[life.death.cause].words}{tell_blame(life)}"
    until = WAITS[breaker.waiting].until
    if until and is_under_run(look):
        told += f"; waiting until {until}"
    until_ms = breaker.until_ms
    if until_ms is None and decision is not None:
        until_ms = decision.at_ms
    return Standstill(
        Stand.STOPPED,
        look.guard,
        told,
        step,
        life.death.evidence if life is not None and life.death is not None else (),
        since_ms=record.made.at_ms if record.made is not None else None,
        until_ms=until_ms if is_under_run(look) else None,
        ends_itself=is_under_run(look),
    )


def _wait_under_run(look: Look, record: Record, step: str) -> Standstill | None:
    """Tell what `run` waits for; the life that lasts on record is its own child's."""

    def wait(reason: str, since_ms: int | None, until_ms: int | None = None) -> Standstill:
        return Standstill(
            Stand.WAITS, look.guard, reason, step,
            since_ms=since_ms, until_ms=until_ms, ends_itself=True,
        )  # fmt: skip

    life = next((each for each in record.lives if each.ended_ms is None), None)
    if life is None:
        decision, made = find_decision(record), record.made
        if decision is None or made is None:
            since_ms = look.supervisor.started_ms if look.supervisor is not None else None
            return wait("the first start is being prepared", since_ms)
        if decision.kind is DecisionKind.START and (decision.at_ms or 0) <= look.now_ms:
            return wait(f"a start is being prepared: {decision.reason}", made.at_ms)
        until = WAITS[decision.waiting].until
        words = f"{decision.reason}; waiting until {until}" if until else decision.reason
        told = decision.reason if until and until in decision.reason else words
        return wait(told, made.at_ms, decision.at_ms)
    if life.mode is LifeMode.RUN and life.ready_ms is None:
        return wait("the gateway was started, and has not answered yet", life.started_ms)
    if record.breaker.state is BreakerState.HALF_OPEN:
        many = format_counted(record.breaker.row, "death")
        told = f"one trial start after {many} is being watched: it must live long enough"
        if life.safe is not None:
            told = f"after {many} it runs {life.safe.words}, as a safe start, which ends by itself"
        return wait(told, life.started_ms)
    return None


def _find_down(look: Look, record: Record, step: str) -> Standstill | None:
    """Tell a gateway that somebody guards or guarded, and that does not run."""
    installed = look.installed
    is_guarded = bool(
        record.lives
        or look.supervisor is not None
        or (installed is not None and installed.is_in_front)
    )
    if not is_guarded or look.gateway is None or look.gateway.alive is not False:
        return None
    life = record.lives[0] if record.lives else None
    if life is None:
        return Standstill(Stand.DOWN, look.guard, "the gateway does not run", step)
    if life.ended_ms is None:
        told = "the gateway does not run, and nobody saw its end"
        return Standstill(Stand.DOWN, look.guard, told, step)
    if life.death is None:
        told = (
            "it ended" if life.end_known else "nobody saw its end, and nothing speaks for a death"
        )
        return Standstill(
            Stand.DOWN, look.guard, f"the gateway does not run: {told}", step, (), life.ended_ms
        )
    told = f"the gateway does not run: {CAUSES[life.death.cause].words}{tell_blame(life)}"
    return Standstill(Stand.DOWN, look.guard, told, step, life.death.evidence, life.ended_ms)


def tell_blame(life: Life) -> str:
    """Tell the keys and variables that a refusal blamed: `(problem at gateway.mode)`."""
    if life.death is None:
        return ""
    blamed = [each for each in life.death.evidence if each.startswith(_BLAME)]
    return f" ({', '.join(blamed)})" if blamed else ""


def find_decision(record: Record) -> Decision | None:
    """Find the last decision."""
    return record.made.decision if record.made is not None else None


def find_judged(record: Record) -> Life | None:
    """Find the life whose end led to the last decision."""
    made = record.made
    return next((each for each in record.lives if made and each.id == made.life_id), None)


def is_under_run(look: Look) -> bool:
    """Say whether `tailflip run` is the gateway's parent now."""
    return look.supervisor is not None and look.supervisor.mode is Presence.RUN


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
    if is_under_run(look):
        return record.breaker.waiting is Waiting.OTHER_INSTANCE
    start = find_start(record)
    alive = look.gateway is not None and look.gateway.alive is True
    return start is not None and not start.go and start.other_pid is not None and alive


def is_refused(look: Look, start: JudgedStart | None) -> bool:
    """Say whether the gateway is down because a gate refused its start."""
    alive = look.gateway is not None and look.gateway.alive is True
    return start is not None and not start.go and not alive


def is_unwanted(life: Life) -> bool:
    """Say whether the end of a life was unwanted.

    A life whose end no supervisor saw, and that left no sign of a death, ended well: the gateway
    was stopped, or restarted as planned. Any other life without a verdict could not be started.
    """
    if life.ended_ms is None:
        return False
    if life.death is None:
        return life.end_known
    return life.death.cause not in WANTED
