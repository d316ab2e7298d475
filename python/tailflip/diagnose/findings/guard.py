"""Findings of a guard about a gateway's lives: loops, memory, refused starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base.units import format_bytes, format_counted, format_span, format_time
from tailflip.diagnose.findings.entry import Entry, Found, Stands
from tailflip.flow.conditions import Stand
from tailflip.flow.findings import Code, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailflip.flow.conditions import (
        GatewayLoop,
        MemoryDeath,
        MemoryTrend,
        RefusedStart,
        SafeStart,
        Standstill,
        UnseenIncident,
    )


def _find_crash_loop(crash_loops: tuple[GatewayLoop, ...]) -> Iterator[Found]:
    for each in crash_loops:
        loop = each.loop
        pace = format_span(1000 * loop.period_s)
        message = (
            f"{format_counted(loop.deaths, 'death')} in a row by {loop.cause}, one every {pace}"
        )
        yield Found(each.guard, message, each.evidence)


def _find_restart_loop(restart_loops: tuple[GatewayLoop, ...]) -> Iterator[Found]:
    for each in restart_loops:
        pace = format_span(1000 * each.loop.period_s)
        times = format_counted(each.loop.deaths, "time")
        yield Found(
            each.guard,
            f"the gateway restarts itself again and again: {times} in a row, once every {pace}",
            each.evidence,
        )


def _find_memory_elsewhere(memory_deaths: tuple[MemoryDeath, ...]) -> Iterator[Found]:
    for death in memory_deaths:
        limit_bytes = death.limit_bytes
        have = "an unknown limit" if limit_bytes is None else format_bytes(limit_bytes)
        share = f"{format_bytes(death.heap_bytes)} of {have}"
        what = (
            f"the stores alone are not expected to fill it ({share})"
            if death.stores_may_kill
            else f"the stores are not the cause ({share})"
        )
        rest = "; ".join(death.suspects) or "nothing else was found that is large"
        yield Found(
            death.guard,
            f"the gateway died of memory, and {what}; {rest}",
            hint=_LOOK_ELSEWHERE if death.suspects else _MORE_HEAP,
        )


def _find_refused_start(refused_starts: tuple[RefusedStart, ...]) -> Iterator[Found]:
    for refused in refused_starts:
        yield Found(refused.guard, refused.reason, hint=refused.hint)


def _find_safe_start(safe_starts: tuple[SafeStart, ...]) -> Iterator[Found]:
    for each in safe_starts:
        many = format_counted(each.deaths, "death")
        yield Found(
            each.guard,
            f"after {many} in a row the gateway was started {each.words}: a safe start, which "
            "ends by itself",
        )


def _find_stopped(standstills: tuple[Standstill, ...]) -> Iterator[Found]:
    return _tell(standstills, Stand.STOPPED)


def _find_waiting(standstills: tuple[Standstill, ...]) -> Iterator[Found]:
    return _tell(standstills, Stand.WAITS)


def _find_down(standstills: tuple[Standstill, ...]) -> Iterator[Found]:
    return _tell(standstills, Stand.DOWN)


def _tell(standstills: tuple[Standstill, ...], kind: Stand) -> Iterator[Found]:
    for each in standstills:
        if each.kind is kind:
            times = []
            if each.since_ms is not None:
                times.append(f"since {format_time(each.since_ms)}")
            if each.until_ms is not None:
                times.append(f"until {format_time(each.until_ms)} at the latest")
            yield Found(each.guard, each.reason, (*times, *each.evidence), each.hint)


def _find_unseen(unseen_incidents: tuple[UnseenIncident, ...]) -> Iterator[Found]:
    for each in unseen_incidents:
        yield Found(
            each.guard,
            f"incident {each.incident} is open, and nobody has seen it: "
            f"{format_counted(each.deaths, 'death')}, {each.words}",
            (f"since {format_time(each.opened_ms)}",),
            f"`tailflip incidents why {each.incident}` tells the story; "
            f"`tailflip incidents ack {each.incident}` notes that you have seen it",
        )


def _find_memory_trend(memory_trends: tuple[MemoryTrend, ...]) -> Iterator[Found]:
    for each in memory_trends:
        trend = each.trend
        yield Found(
            each.guard,
            f"memory grows by {format_bytes(int(trend.bytes_per_s * 3600))} an hour and reaches "
            f"{format_bytes(trend.limit_bytes)} in about {format_span(each.ahead_ms)}",
            (f"measured over {format_span(int(trend.span_s * 1000))}",),
        )


def _find_wrong_settings(mistakes: tuple[str, ...]) -> Iterator[Found]:
    for text in mistakes:
        place, _, rest = text.partition(": ")
        yield Found(place, f"a mistake in tailflip's own settings: {rest or text}")


_MORE_HEAP = "give the gateway more heap (NODE_OPTIONS=--max-old-space-size=MB)"
_LOOK_ELSEWHERE = (
    "look at what is named first: move a large file away, end or reset a large session. "
    f"Or {_MORE_HEAP}"
)
ENTRIES = (
    Entry(
        Code.CRASH_LOOP,
        Severity.ERROR,
        _find_crash_loop,
        doc="The gateway died of the same cause again and again.",
        hint="`tailflip incidents why` tells the story",
        ends_with_good_life=True,
    ),
    Entry(
        Code.RESTART_LOOP,
        Severity.ERROR,
        _find_restart_loop,
        doc="The gateway restarts itself by its own wish, without a rest in between.",
        hint=(
            "its own log says why: a plugin or job that changes the configuration, an update that "
            "does not end; `tailflip incidents` tells the story"
        ),
    ),
    Entry(
        Code.MEMORY_ELSEWHERE,
        Severity.ERROR,
        _find_memory_elsewhere,
        doc="The gateway died of memory, and its session stores are not what filled it.",
        hint=_LOOK_ELSEWHERE,
        stands=Stands.MEMORY_INCIDENT,
        ends_with_good_life=True,
    ),
    Entry(
        Code.START_REFUSED,
        Severity.ERROR,
        _find_refused_start,
        doc="A guard did not let the gateway start: it was expected to die, or to lose data.",
        hint="see what is wrong with `tailflip check`",
        stands=Stands.GUARDED,
    ),
    Entry(
        Code.SAFE_START,
        Severity.WARNING,
        _find_safe_start,
        doc="A gateway that died again and again was started without its cron jobs or channels.",
        hint=(
            "nothing to do: it is started as usual now and then, and stays so once it lives; "
            "`tailflip incidents why` tells what kills it"
        ),
        stands=Stands.GUARDED,
        ends_with_good_life=True,
    ),
    Entry(
        Code.STARTS_STOPPED,
        Severity.ERROR,
        _find_stopped,
        doc="The breaker is open: after deaths of one kind in a row, no start is allowed.",
        hint="`tailflip incidents why` tells what happened",
    ),
    Entry(
        Code.START_WAITS,
        Severity.ERROR,
        _find_waiting,
        doc="The gateway does not run yet: its guard waits for a time or a change.",
        hint="`tailflip status` says for what it waits",
    ),
    Entry(
        Code.GATEWAY_DOWN,
        Severity.ERROR,
        _find_down,
        doc="The gateway is guarded, does not run, and nothing is known to start it.",
        hint="start its service again",
    ),
    Entry(
        Code.INCIDENT_OPEN,
        Severity.ERROR,
        _find_unseen,
        doc="The gateway died, has not lived well since, and nobody took note of it.",
        hint="`tailflip incidents why` tells the story",
    ),
    Entry(
        Code.MEMORY_TREND,
        Severity.WARNING,
        _find_memory_trend,
        doc="The memory of the living gateway grows, and reaches its limit soon.",
        hint="restart the gateway at a quiet moment, or set memory.restart_ahead = true",
        stands=Stands.GUARDED,
    ),
    Entry(
        Code.SETTINGS_WRONG,
        Severity.ERROR,
        _find_wrong_settings,
        doc="The settings of tailflip itself have a mistake: the gateway starts with the last good "
        "ones, else without the wrong ones.",
        hint=(
            "correct it: `tailflip config check` tells when all is right, and the gateway's next "
            "start takes it"
        ),
    ),
)
