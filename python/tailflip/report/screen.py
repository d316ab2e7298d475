"""Formats the screen of `status`: the verdict first, then what fits 24 lines of 80 columns."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tailflip.base.layout import fit
from tailflip.base.render import escape, format_gateway, format_maintenance
from tailflip.base.units import (
    format_ago,
    format_bytes,
    format_count,
    format_counted,
    format_moment,
    format_span,
)
from tailflip.flow.findings import Code
from tailflip.flow.lives import BreakerState, LifeMode
from tailflip.report.narrative import describe_action, describe_cause, describe_undo, tell_decision
from tailflip.report.verdict import format_verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tailflip.flow.lives import Life
    from tailflip.flow.maintenance import Maintenance
    from tailflip.ledger.starts import JudgedStart
    from tailflip.report.status import Memory, Situation, Stores
    from tailflip.stores.archive import Archived

WIDTH = 80
HEIGHT = 23  # the prompt has the last line
_SHOWN_DEATHS = 5
_SHOWN_ACTIONS = 3
_SHOWN_FINDINGS = 3
_SHOWN_INCIDENTS = 2
# The verdict and the next step are what a person acts on: hostile texts alone are longer.
_MOST_LINES, _MOST_OF_VERDICT = 3, 4
_LABEL = 10
_UNASKED = (LifeMode.GATE, LifeMode.PREFLIGHT)  # no process of ours asks whether it answers
_HOUR_S = 3_600.0
# The verdict says these, or the lines below it.
_TOLD = frozenset(
    {
        Code.START_REFUSED,
        Code.STARTS_STOPPED,
        Code.START_WAITS,
        Code.GATEWAY_DOWN,
        Code.INCIDENT_OPEN,
    }
)


def format_screen(
    situation: Situation, width: int | None = WIDTH, height: int = HEIGHT
) -> list[str]:
    """Format the lines: the verdict and the present state, then as much of the past as fits."""
    now_ms = situation.look.now_ms
    if width is not None and width < WIDTH:
        height = height * WIDTH // width  # a narrow screen is longer: the same text must fit
    lines = _fit(
        escape(format_verdict(situation.verdict, now_ms, is_quick=True)), width, _MOST_OF_VERDICT
    )
    step = f"{'next':{_LABEL}}{escape(situation.next_step)}"
    lines += _fit(step, width, _MOST_OF_VERDICT)
    present = ([f"{name:{_LABEL}}{text}"] for name, text in _describe(situation))
    first, *older = [*_format_actions(situation)] or [[]]
    blocks = (
        present,
        [first],  # the undo of what was done last is worth a place on any screen
        _format_incidents(situation),
        _format_findings(situation),
        older,
        _format_deaths(situation),
    )
    for block in blocks:
        for item in block:
            fitted = [line for text in item for line in _fit(text, width, _MOST_LINES)]
            if len(lines) + len(fitted) > height:
                break
            lines += fitted
    return lines


def _fit(text: str, width: int | None, most: int) -> list[str]:
    """Wrap an escaped text; one of more lines than `most` ends in `...`."""
    lines = fit(text, width)
    if width is not None and len(lines) > most:
        last = lines[most - 1][: width - 4]
        lines = [*lines[: most - 1], (last.rpartition(" ")[0].rstrip() or last) + " ..."]
    return lines


def _describe(situation: Situation) -> Iterator[tuple[str, str]]:
    look, life = situation.look, situation.life
    yield "guards", escape(look.guard)
    if look.maintenance is not None:
        yield "work", _describe_maintenance(look.maintenance, look.now_ms)
    version = f"OpenClaw {escape(situation.version)}" if situation.version else "version unknown"
    port = f", port {look.port}" if look.port is not None else ""
    gateway = format_gateway(look.gateway) if look.gateway is not None else "not found"
    yield "gateway", f"{version}{port}, {gateway}"
    yield "guarded", _describe_guard(situation)
    if situation.start is not None:
        yield situation.start.mode, _describe_start(situation, situation.start)
    yield "life", _describe_life(situation, life) if life is not None else "none on record"
    yield "memory", _describe_memory(look.memory, look.now_ms)
    if look.stores is not None:
        yield "stores", _describe_stores(look.stores)
    if look.full:
        yield "disk", f"full: nothing can be saved in {escape(', '.join(map(str, look.full)))}"
    yield "starts", _describe_breaker(situation)
    if situation.undecided:
        yield "last", "a death was judged, and nothing decided: tailflip was ended in between"
    elif situation.decision is not None and situation.decided_ms is not None:
        when = format_moment(situation.decided_ms, look.now_ms)
        told = tell_decision(situation.decision, situation.decided_ms)
        yield "last", f"{when} {escape(told)}"


def _describe_maintenance(on: Maintenance, now_ms: int) -> str:
    by = f", by {escape(on.by)}" if on.by else ""
    left = format_ago(on.until_ms, now_ms)
    return f"{escape(format_maintenance(on))}{by}; it ends {left}"


def _describe_touched(actions: Sequence[str] | None) -> str:
    if actions is None:
        return ""
    if not actions:
        return "; nothing was changed"
    changes = format_counted(len(actions), "change")
    return f" after {changes}; `tailflip archive list` has the undo"


def _describe_guard(situation: Situation) -> str:
    found, installed = situation.look.supervisor, situation.look.installed
    start = situation.start
    at_starts = f"at each start by `tailflip {escape(start.mode)}`" if start is not None else ""
    if found is not None:
        since = format_moment(found.started_ms, situation.look.now_ms)
        beside = f"by `tailflip {escape(found.mode)}`, pid {found.pid}, since {since}"
        return f"{beside}; {at_starts}" if at_starts else beside
    if installed is not None and not installed.is_in_front:
        return f"by nobody now: {escape(installed.service)} no longer starts through tailflip"
    if start is not None:
        where = f" in {escape(installed.service)}" if installed is not None else ""
        return f"{at_starts}{where}, by nobody in between"
    if installed is not None:
        return f"by nobody now; from the next start of {escape(installed.service)} on by tailflip"
    return "by nobody now"


def _describe_start(situation: Situation, start: JudgedStart) -> str:
    """Describe a gate's verdict on the last start, its actions, and where their undo is."""
    text = f"{format_moment(start.at_ms, situation.look.now_ms)} "
    touched = _describe_touched(start.actions)
    if not start.go:
        parked = situation.look.parked_pid
        waits = f", and waits (pid {parked})" if parked is not None else ""
        text += f"refused the start{waits}{touched}"
    elif start.looked:
        text += f"let it start{touched}"
    else:
        text += "could not do its work, and let it start all the same"
    return text


def _describe_life(situation: Situation, life: Life) -> str:
    look = situation.look
    if life.ended_ms is not None:
        return _describe_end(life, life.ended_ms, look.now_ms)
    pid = life.worker_pid or life.pid
    text = f"since {format_moment(life.started_ms, look.now_ms)}"
    text += f", pid {pid}" if pid is not None else ""
    # Under a guard, a gateway without lock and port may be starting.
    is_gone = look.gateway is not None and look.gateway.alive is False
    if is_gone and look.supervisor is None:
        return f"{text}: it is gone, and its end not judged yet"
    if life.mode in _UNASKED:
        return text
    if life.ready_ms is None:
        return f"{text}, has not answered yet"
    return f"{text}, first answer after {format_span(life.ready_after_ms or 0)}"


def _describe_end(life: Life, ended_ms: int, now_ms: int) -> str:
    if life.death is not None:
        why = f": {describe_cause(life.death.cause)}"
    else:
        why = "" if life.end_known else ": nothing speaks for a death"
    if life.end_known:
        lived = format_span(ended_ms - life.started_ms)
        return f"ended {format_moment(ended_ms, now_ms)}, it lasted {lived}{why}"
    return f"ended before {format_moment(ended_ms, now_ms)}, nobody saw when{why}"


def _describe_memory(memory: Memory, now_ms: int) -> str:
    text = "not measured" if memory.rss_bytes is None else format_bytes(memory.rss_bytes)
    if memory.at_ms is not None and memory.at_ms != now_ms:
        text += f" {format_ago(memory.at_ms, now_ms)}"
    if memory.limit_bytes is not None:
        text += f", heap limit {format_bytes(memory.limit_bytes)} ({escape(memory.limit_source)})"
    if memory.trend is not None:
        pace = format_bytes(int(memory.trend.bytes_per_s * _HOUR_S))
        left = format_span(max(0, memory.trend.hits_ms - now_ms))
        text += f"; grows {pace} an hour, full in {left}"
    return text


def _describe_stores(stores: Stores) -> str:
    text = f"{format_bytes(stores.size_bytes)} in {format_count(stores.count)}"
    if stores.bytes_per_day is None:
        return text
    pace = format_bytes(int(abs(stores.bytes_per_day)))
    return f"{text}; {'grow' if stores.bytes_per_day >= 0 else 'shrink'} {pace} a day"


def _describe_breaker(situation: Situation) -> str:
    breaker = situation.breaker
    if situation.refused:
        return "not allowed: the last one was refused"
    if situation.held:
        return "held back until the state directory and its port are free"
    dead = format_counted(breaker.row, "death")
    if breaker.row > 1:
        dead += " of one kind in a row"
    if breaker.state is BreakerState.CLOSED:
        text = f"allowed, after {dead}" if breaker.row else "allowed"
    elif breaker.state is BreakerState.HALF_OPEN:
        safe = "" if breaker.safe is None else f" {breaker.safe.words}"
        text = f"one trial{safe} after {dead}"
    else:
        text = f"not allowed after {dead}"
    return text


def _format_incidents(situation: Situation) -> Iterator[list[str]]:
    for each in situation.incidents[:_SHOWN_INCIDENTS]:
        incident = each.incident
        seen = ", seen" if incident.acked_ms is not None else ""
        since = format_moment(incident.opened_ms, situation.look.now_ms)
        told = f"incident {escape(incident.id)} is open since {since}{seen}: "
        told += f"{format_counted(each.deaths, 'death')}, {incident.cause}; "
        yield [f"{told}`tailflip incidents why {escape(incident.id)}`"]


def _format_findings(situation: Situation) -> Iterator[list[str]]:
    """Tell the findings that the verdict, and the lines above, have not told."""
    verdict = situation.verdict
    told = [
        each.finding
        for each in situation.findings
        if each.finding.code not in _TOLD and each.finding.message != verdict.reason
    ]
    counts = Counter(
        f"{finding.severity}: {escape(finding.message)} [{escape(finding.code)}]"
        for finding in told
    )
    for text, count in [*counts.items()][:_SHOWN_FINDINGS]:
        yield [f"{text}, {format_counted(count, 'time')}" if count > 1 else text]
    rest = len(counts) - _SHOWN_FINDINGS
    if rest > 0:
        yield [f"and {format_counted(rest, 'more finding')}: `tailflip check`"]


def _format_actions(situation: Situation) -> Iterator[list[str]]:
    for each in situation.actions[:_SHOWN_ACTIONS]:
        yield _format_action(each, situation.look.now_ms)


def _format_action(archived: Archived, now_ms: int) -> list[str]:
    when = format_moment(archived.action.created_ms, now_ms)
    lines = [f"done {when}: {escape(describe_action(archived))}"]
    undo = describe_undo(archived)
    return [*lines, f"  undo: {escape(undo)}"] if undo else lines


def _format_deaths(situation: Situation) -> Iterator[list[str]]:
    if situation.deaths:
        yield [f"deaths ({format_count(situation.deaths_in_a_day)} in the last 24 h)"]
    for life in situation.deaths[:_SHOWN_DEATHS]:
        yield [_format_death(life, situation.look.now_ms)]


def _format_death(life: Life, now_ms: int) -> str:
    when = format_moment(life.ended_ms or 0, now_ms)
    if life.death is None:
        return f"  {when} {'not judged yet' if life.pid else 'could not be started'}"
    told = f"  {when} {life.death.cause} ({life.death.confidence})"
    if life.end_known:
        return f"{told} after {format_span((life.uptime_s or 0.0) * 1000)}"
    if life.uptime_s is None:
        return f"{told}, found then; the time is not known"
    return f"{told}, found then; it lived at most {format_span(life.uptime_s * 1000)}"
