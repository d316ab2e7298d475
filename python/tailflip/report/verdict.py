"""Sums up a situation, and says in one sentence how the gateway fares: pure functions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tailflip.base.units import format_counted, format_moment
from tailflip.diagnose.findings.registry import find_all, merge
from tailflip.flow.conditions import Stand
from tailflip.flow.findings import Severity
from tailflip.report.next_step import choose_cure_of, choose_next_step
from tailflip.report.standing import (
    find_decision,
    find_start,
    is_held_by_other,
    is_refused,
    is_under_run,
    is_unwanted,
    list_conditions,
)
from tailflip.report.status import DAY_MS, Situation, State, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailflip.flow.conditions import HeldWork, Standstill
    from tailflip.flow.lives import Life
    from tailflip.ledger.findings import NotedFinding
    from tailflip.report.observation import Observation
    from tailflip.report.status import Look, Record

NOTHING = "nothing to do"
WORDS = {
    State.OK: "OK",
    State.WAITING: "WAITING",
    State.DOWN: "DOWN",
    State.AT_RISK: "AT RISK",
}


def sum_up(
    look: Look, record: Record, seen: Observation, held_works: tuple[HeldWork, ...] = ()
) -> Situation:
    """Sum up the look, the record and what was observed, with the verdict and the next step.

    Args:
        look: what runs now.
        record: what the guards wrote.
        seen: the observation of `check` or of `status`; the record's conditions are added.
        held_works: jobs and sessions that tailflip keeps from running.
    """
    step = choose_next_step(look, record, seen.looked.findings)
    conditions = list_conditions(look, record, step, held_works)
    looked = merge(seen.looked, find_all(conditions))
    findings = replace(seen, looked=looked).date_findings(look.now_ms)
    standstill = next(iter(conditions.standstills or ()), None)
    verdict = judge(look, record, findings, standstill, step)
    lives = tuple(record.lives)
    deaths = tuple(life for life in lives if is_unwanted(life))
    day_ago_ms = look.now_ms - DAY_MS
    start = find_start(record)
    return Situation(
        verdict=verdict,
        look=look,
        version=_find_version(look, lives),
        life=next((life for life in lives if life.ended_ms is None), lives[0] if lives else None),
        deaths=deaths,
        deaths_in_a_day=sum((life.ended_ms or 0) > day_ago_ms for life in deaths),
        actions=tuple(record.actions),
        findings=findings,
        incidents=tuple(record.incidents),
        breaker=record.breaker,
        decision=find_decision(record),
        decided_ms=record.made.at_ms if record.made else None,
        next_step=verdict.step or step or NOTHING,
        is_grave=verdict.state is not State.OK,
        start=start,
        refused=is_refused(look, start),
        undecided=record.undecided,
        held=is_held_by_other(look, record),
        not_looked_for=looked.not_looked_for,
    )


def _find_version(look: Look, lives: Sequence[Life]) -> str | None:
    """Find the release that lives, else the one that starts next, else the last on record."""
    living = next((life.version for life in lives[:1] if life.ended_ms is None), None)
    last = next((life.version for life in lives if life.version), None)
    return living or look.release or last


def judge(
    look: Look,
    record: Record,
    findings: Sequence[NotedFinding],
    standstill: Standstill | None,
    step: str,
) -> Verdict:
    """Say how the gateway fares: a standstill first, then the gravest error, else all is well."""
    errors = [each for each in findings if each.finding.severity == Severity.ERROR]
    warnings = len(findings) - len(errors)
    if standstill is not None:
        is_alive = look.gateway is not None and look.gateway.alive is True
        state = State.WAITING if standstill.ends_itself else State.DOWN
        if is_alive and standstill.kind is Stand.STOPPED:
            state = State.AT_RISK
        return Verdict(
            state, standstill.reason, standstill.hint,
            standstill.since_ms, standstill.until_ms, warnings,
        )  # fmt: skip
    if look.problem:
        return Verdict(State.AT_RISK, look.problem, look.cure or step, warnings=warnings)
    if errors:
        first = errors[0]
        reason = first.finding.message
        if len(errors) > 1:
            reason += f"; and {format_counted(len(errors) - 1, 'more error')}"
        since_ms = first.first_ms if first.first_ms < look.now_ms else None
        cure = choose_cure_of([each.finding for each in errors])
        return Verdict(State.AT_RISK, reason, cure, since_ms, None, warnings)
    reason, since_ms = _tell_well(look, record)
    return Verdict(State.OK, reason, "", since_ms, None, warnings)


def format_verdict(verdict: Verdict, now_ms: int, *, is_quick: bool = False) -> str:
    """Write the first line of `status` and `check`; the caller escapes it.

    Args:
        verdict: how the gateway fares.
        now_ms: wall clock.
        is_quick: the stores and the history of jobs were not read, so nothing may be said of them.
    """
    text = f"{WORDS[verdict.state]}: {verdict.reason}"
    if verdict.warnings and verdict.state is State.OK:
        text += f"; {format_counted(verdict.warnings, 'warning')}"
    elif verdict.state is State.OK and not is_quick:
        text += "; nothing is wrong"
    if verdict.since_ms is not None:
        text += f"; since {format_moment(verdict.since_ms, now_ms)}"
    if verdict.until_ms is not None:
        text += f"; until {format_moment(verdict.until_ms, now_ms)} at the latest"
    if verdict.state is State.OK and is_quick:
        found = "" if verdict.warnings else "a quick look found nothing wrong, "
        text += f"; {found}`tailflip check` takes a full look"
    return text


def _tell_well(look: Look, record: Record) -> tuple[str, int | None]:
    gateway = look.gateway
    life = next((each for each in record.lives if each.ended_ms is None), None)
    since_ms = life.started_ms if life is not None else None
    if gateway is not None and gateway.alive:
        pid = f", pid {gateway.pid}" if gateway.pid is not None else ""
        return f"the gateway runs{pid}", since_ms or gateway.started_ms
    if is_under_run(look) and life is not None:
        own = life.worker_pid or life.pid
        return "the gateway runs" + (f", pid {own}" if own is not None else ""), since_ms
    if gateway is not None and gateway.alive is None:
        return "whether the gateway runs cannot be told", None
    return "no gateway runs here, and nobody guards one", None
