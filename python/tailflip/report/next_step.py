"""Chooses the next step, tailflip's or a person's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base.units import format_moment
from tailflip.diagnose.causes import CAUSES, HEAP_LOOK, WAITS, choose_step
from tailflip.flow.findings import Code, Severity
from tailflip.flow.lives import BreakerState, DecisionKind, Waiting
from tailflip.report.standing import (
    find_decision,
    find_judged,
    find_start,
    is_held_by_other,
    is_refused,
    is_resting,
    is_under_run,
)
from tailflip.report.status import RETRY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailflip.flow.findings import Finding
    from tailflip.ledger.starts import JudgedStart
    from tailflip.report.status import Look, Record


_OF_MEMORY = (Code.MEMORY_ELSEWHERE, Code.HEAP_FORECAST)
_END_OF_MAINTENANCE = "`tailflip maintenance off` ends it now"
_ON_TRIAL = "one trial start is being watched; if it lives long enough, all is well again"
_SAFE = "nothing to do; `tailflip incidents why` tells what kills it as usual"


def choose_next_step(look: Look, record: Record, findings: Sequence[Finding] = ()) -> str:
    """Choose the step that the guards and the record ask for; empty if all goes by itself.

    Args:
        look: what runs now.
        record: what the guards wrote.
        findings: what is known to be wrong.
    """
    if is_resting(look, record) or is_held_by_other(look, record):
        return _choose_held(look, record)
    if look.supervisor is None:
        return _choose_unguarded(look, record)
    breaker, decision = record.breaker, find_decision(record)
    lasts = any(life.ended_ms is None for life in record.lives)
    waits = not lasts and decision is not None and decision.kind is DecisionKind.WAIT
    if breaker.state is BreakerState.OPEN or waits:
        return f"{_choose_cure(record, findings)}; `{RETRY}` makes a trial now"
    if breaker.state is BreakerState.HALF_OPEN:
        return _ON_TRIAL if breaker.safe is None else _SAFE
    if not lasts and decision is not None and decision.at_ms is not None:
        when = format_moment(decision.at_ms, look.now_ms)
        return f"nothing to do: it is started at {when}; `{RETRY}` starts it now"
    return ""


def choose_cure_of(findings: Sequence[Finding]) -> str:
    """Choose the next step for the gravest finding; empty where no error stands."""
    worst = next((each for each in findings if each.severity == Severity.ERROR), None)
    return "" if worst is None else worst.hint


def _choose_held(look: Look, record: Record) -> str:
    if is_resting(look, record):
        return f"nothing to do: its end starts the gateway; {_END_OF_MAINTENANCE}"
    start = find_start(record)
    if start is None or is_under_run(look):
        return WAITS[Waiting.OTHER_INSTANCE].next_step
    return (
        f"start it in one place only: pid {start.other_pid} lives, and `tailflip {start.mode}` "
        "lets no second one start beside it"
    )


def _choose_cure(record: Record, findings: Sequence[Finding]) -> str:
    """Choose the cure of the death that opened the breaker, else the change that is waited for."""
    life = find_judged(record)
    if life is None or life.death is None or record.breaker.waiting is Waiting.OTHER_INSTANCE:
        step = WAITS[record.breaker.waiting].next_step
        return step or "`tailflip incidents` tells what happened"
    step = choose_step(life.death.cause, life.death.hint, life.version)
    known = next((each.hint for code in _OF_MEMORY for each in findings if each.code == code), "")
    step = step.replace(HEAP_LOOK, known) if known else step
    if not life.in_flight or CAUSES[life.death.cause].is_explained:
        return step
    names = ", ".join(each.words for each in life.in_flight)
    return f"it was at {names} when it died: `tailflip check` says what is held, or why not; {step}"


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
    return _choose_guard(look, record)


def _choose_guard(look: Look, record: Record) -> str:
    """Choose a guard where none is; beside a service, `run` by hand would be one too many."""
    if look.problem:
        return "correct that, then look again with `tailflip check`"
    is_alive = look.gateway is not None and bool(look.gateway.alive)
    if record.lives and (not is_alive or record.lives[0].ended_ms is None):
        after = "takes over what lives" if is_alive else "goes on where it was"
        return f"nothing guards it: start `tailflip run` again; it {after}"
    said = "nothing guards it" if is_alive else "nothing was ever guarded here"
    if look.service is not None:
        puts = f"puts tailflip before each start of {look.service}"
        return f"{said}: `tailflip install --apply` {puts}"
    start = "`tailflip run -- openclaw gateway run`"
    return f"{said}: {'stop it, then ' if is_alive else ''}{start}"


def _choose_at_start(look: Look, record: Record, start: JudgedStart) -> str:
    has_service = look.service is not None or look.installed is not None
    if is_refused(look, start):
        hint = start.hint or "see what is wrong with `tailflip check`"
        if look.parked_pid is not None:
            return f"the gate waits, and starts it when something has changed; {hint}"
        return f"{hint}; then start {'its service' if has_service else 'it'} again"
    if look.gateway is not None and look.gateway.alive:
        again = ", its service manager starts it, and" if has_service else " and is started again,"
        return f"nothing to do; if it dies{again} `tailflip {start.mode}` looks before that"
    again = "its service manager starts it" if has_service else "start it again, as before"
    before = f"{again}; `tailflip {start.mode}`"
    if record.undecided:
        return f"{before} decides about its last death before that"
    if any(life.ended_ms is None for life in record.lives[:1]):
        return f"{before} finds out before that how it ended"
    return f"{before} looks before that"
