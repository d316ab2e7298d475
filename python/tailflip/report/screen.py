"""Formats the screen of `status`: up to 30 lines of 100 columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base.render import escape, format_gateway, format_table
from tailflip.base.units import format_bytes, format_count, format_counted, format_span, format_time
from tailflip.flow.lives import BreakerState, LifeMode
from tailflip.report.narrative import describe_action, describe_cause, describe_undo, tell_decision

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tailflip.flow.lives import Life
    from tailflip.ledger.starts import JudgedStart
    from tailflip.report.status import Memory, Situation, Stores
    from tailflip.stores.archive import Archived

WIDTH = 100
HEIGHT = 30
_SHOWN_DEATHS = 5
_SHOWN_ACTIONS = 3
_SHOWN_FINDINGS = 3
_SHOWN_INCIDENTS = 3
_MORE_NEXT = 2
_LABEL = 10
_UNASKED = (LifeMode.GATE, LifeMode.PREFLIGHT)  # no process of ours asks whether it answers
_HOUR_S = 3_600.0


def format_screen(situation: Situation) -> list[str]:
    """Format the lines; cut a line that is too long, except a command that a person will copy."""
    lines = [_label(name, text) for name, text in _describe(situation)]
    lines += _format_incidents(situation)
    lines += _format_deaths(situation)
    lines += _format_actions(situation)
    lines += _format_findings(situation)
    return lines


def cut(text: str, width: int = WIDTH) -> str:
    """Cut a line to a width; `text` is escaped already."""
    return text if len(text) <= width else text[: width - 1] + "…"


def _label(name: str, text: str) -> str:
    return cut(f"{name:{_LABEL}}{text}")


def _describe(situation: Situation) -> Iterator[tuple[str, str]]:
    look, life = situation.look, situation.life
    yield "guards", escape(look.guard)
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
        when = format_time(situation.decided_ms)
        told = tell_decision(situation.decision, situation.decided_ms)
        yield "last", f"{when} {escape(told)}"
    # A person acts on this line, so it is wrapped and not cut.
    first, *more = _wrap(escape(situation.next_step), WIDTH - _LABEL)
    yield "next", first
    for line in more[:_MORE_NEXT]:
        yield "", line


def _describe_touched(situation: Situation, actions: Sequence[str] | None) -> str:
    if actions is None:
        return ""
    if not actions:
        return "; nothing was changed"
    shown = {each.action.id for each in situation.actions[:_SHOWN_ACTIONS]}
    where = "below" if shown.issuperset(actions) else "in `tailflip archive list`"
    return f" after {format_counted(len(actions), 'change')}; undo {where}"


def _wrap(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines


def _describe_guard(situation: Situation) -> str:
    found, installed = situation.look.supervisor, situation.look.installed
    start = situation.start
    at_starts = f"at each start by `tailflip {escape(start.mode)}`" if start is not None else ""
    if found is not None:
        since = format_time(found.started_ms)
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
    text = f"{format_time(start.at_ms)} "
    touched = _describe_touched(situation, start.actions)
    if not start.go:
        parked = situation.look.parked_pid
        waits = f", and waits (pid {parked})" if parked is not None else ""
        text += f"refused the start{waits}{touched}: {escape(start.reason)}"
    elif start.looked:
        text += f"let it start{touched}"
    else:
        text += "could not do its work, and let it start all the same"
    return text


def _describe_life(situation: Situation, life: Life) -> str:
    look = situation.look
    if life.ended_ms is not None:
        return _describe_end(life, life.ended_ms)
    pid = life.worker_pid or life.pid
    text = f"since {format_time(life.started_ms)} ({format_span(look.now_ms - life.started_ms)})"
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


def _describe_end(life: Life, ended_ms: int) -> str:
    if life.death is not None:
        why = f": {describe_cause(life.death.cause)}"
    else:
        why = "" if life.end_known else ": nothing speaks for a death"
    if life.end_known:
        lived = format_span(ended_ms - life.started_ms)
        return f"ended {format_time(ended_ms)}, it lasted {lived}{why}"
    return f"ended before {format_time(ended_ms)}, nobody saw when{why}"


def _describe_memory(memory: Memory, now_ms: int) -> str:
    text = "not measured" if memory.rss_bytes is None else format_bytes(memory.rss_bytes)
    if memory.at_ms is not None and memory.at_ms != now_ms:
        text += f" {format_span(now_ms - memory.at_ms)} ago"
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
        return "held back until the other gateway is gone"
    dead = format_counted(breaker.row, "death")
    if breaker.row > 1:
        dead += " of one kind in a row"
    if breaker.state is BreakerState.CLOSED:
        text = f"allowed, after {dead}" if breaker.row else "allowed"
    elif breaker.state is BreakerState.HALF_OPEN:
        text = f"one trial after {dead}"
    else:
        text = f"not allowed after {dead}"
    return text


def _format_incidents(situation: Situation) -> Iterator[str]:
    for each in situation.incidents[:_SHOWN_INCIDENTS]:
        incident = each.incident
        seen = ", seen" if incident.acked_ms is not None else ""
        since = format_time(incident.opened_ms)
        yield cut(
            f"incident {escape(incident.id)} is open since {since}{seen}: "
            f"{format_counted(each.deaths, 'death')}, {incident.cause}; "
            f"`tailflip incidents why {escape(incident.id)}`"
        )


def _format_deaths(situation: Situation) -> Iterator[str]:
    if not situation.deaths:
        return
    yield f"deaths ({format_count(situation.deaths_in_a_day)} in the last 24 h)"
    rows = [_format_death(life) for life in situation.deaths[:_SHOWN_DEATHS]]
    yield from map(cut, format_table(["time", "cause", "sure", "lived"], rows, left=3).split("\n"))


def _format_death(life: Life) -> list[str]:
    when = format_time(life.ended_ms or 0)
    lived = ("" if life.end_known else "at most ") + format_span((life.uptime_s or 0.0) * 1000)
    if life.death is None:
        return [when, "not judged yet" if life.pid else "could not be started", "", lived]
    return [when, life.death.cause.value, life.death.confidence.value, lived]


def _format_actions(situation: Situation) -> Iterator[str]:
    if not situation.actions:
        return
    rows = [_format_action(each) for each in situation.actions[:_SHOWN_ACTIONS]]
    table = format_table(["action", "undo", "what"], rows, indent="", left=3)
    yield from map(cut, table.split("\n"))


def _format_action(archived: Archived) -> list[str]:
    when, what = format_time(archived.action.created_ms), escape(describe_action(archived))
    return [when, escape(describe_undo(archived) or ""), what]


def _format_findings(situation: Situation) -> Iterator[str]:
    for each in situation.findings[:_SHOWN_FINDINGS]:
        finding = each.finding
        yield cut(f"{finding.severity}: {escape(finding.message)} [{escape(finding.code)}]")
    rest = len(situation.findings) - _SHOWN_FINDINGS
    if rest > 0:
        yield f"and {format_count(rest)} more: `tailflip check`"
