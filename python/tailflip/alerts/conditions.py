"""What is wrong with one gateway, from what the ledger holds: pure functions."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from tailflip.alerts.outage import Outage, find_outage, is_failure
from tailflip.alerts.table import (
    ACTION_FAILED,
    FAILING,
    GUARD_GONE,
    HANGS,
    MILD_AS_WARNING,
    OUTAGE,
    SALVAGED,
    find_row,
)
from tailflip.base.units import format_counted, format_span
from tailflip.diagnose.causes import CAUSES, WAITS
from tailflip.flow.alerts import Urgency, Words
from tailflip.flow.findings import Code, Severity
from tailflip.flow.late import dataclass
from tailflip.flow.lives import GOOD_LIFE_MS, BreakerState
from tailflip.flow.outcomes import KIND_WORDS, ActionKind
from tailflip.ledger.actions import HALF_DONE, State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailflip.flow.alerts import AlertSettings
    from tailflip.flow.lives import Breaker, Incident, Life
    from tailflip.ledger.actions import Action
    from tailflip.ledger.findings import NotedFinding
    from tailflip.ledger.starts import JudgedStart

_DAY_MS, _HOUR_MS = 86_400_000, 3_600_000
_MANY_HANGS = 3
_RECENT_MS = 7 * _DAY_MS  # an older action is no news, as after an upgrade of tailflip
_HALF_DONE_MS = _HOUR_MS  # what takes longer was killed
_FAILING_MS = _HOUR_MS
_JOBS = frozenset({Code.JOB_STORM, Code.JOB_RAPID, Code.JOB_STUCK, Code.JOB_OVERDUE, Code.JOB_HELD})
_JOB_ID = re.compile(r"\b([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_MOST_NAME = 40


@dataclass(frozen=True)
class Known:
    """What the ledger holds about one gateway; rows are newest first.

    Attributes:
        guard: the real path of its state directory.
        lives: the last ones.
        breaker: None where there never was a decision.
        start: the last one that a gate judged.
        incidents: the last ones.
        findings: those that stand.
        actions: on this gateway's stores and ledgers.
        failing: the destinations that have heard nothing for a while, and since when.
        unguarded_ms: since when its guard is gone, which did not end as it should.
    """

    guard: str
    lives: tuple[Life, ...] = ()
    breaker: Breaker | None = None
    start: JudgedStart | None = None
    incidents: tuple[Incident, ...] = ()
    findings: tuple[NotedFinding, ...] = ()
    actions: tuple[Action, ...] = ()
    failing: tuple[tuple[str, int], ...] = ()
    unguarded_ms: int | None = None


@dataclass(frozen=True)
class Condition:
    """One thing that is wrong now.

    `opens` False: an open alert of it stays open, and none is opened. `is_once`: it is told once
    and stands until a person takes note of it.
    """

    code: str
    subject: str
    urgency: Urgency
    since_ms: int
    words: Words
    opens: bool = True
    is_once: bool = False


@dataclass(frozen=True)
class Seen:
    """The conditions of one moment.

    `up_ms` is since when the gateway answers; `due_ms` when one of them begins if nothing changes.
    """

    conditions: tuple[Condition, ...]
    up_ms: int | None = None
    due_ms: int | None = None


def find_conditions(known: Known, settings: AlertSettings, now_ms: int) -> Seen:
    """Find everything that is wrong; of two with the same code and subject the first counts."""
    outage = find_outage(known.lives, known.start, settings, now_ms)
    found: dict[tuple[str, str], Condition] = {}
    for each in (
        *_find_outages(known, outage, now_ms),
        *_find_unguarded(known, settings, now_ms),
        *_find_hangs(known, now_ms),
        *_find_actions(known, now_ms),
        *_find_failing(known, now_ms),
        *_find_findings(known, settings, outage),
    ):
        found.setdefault((each.code, each.subject), each)
    silences = (since_ms + _FAILING_MS for _, since_ms in known.failing)
    begins = (outage.due_ms, _find_unguarded_due(known, settings), *silences)
    later = [each for each in begins if each is not None and each > now_ms]
    return Seen(tuple(found.values()), outage.up_ms, min(later, default=None))


def tell_cause(life: Life) -> str:
    """Tell why a life ended: `v8-heap-oom, proven: its JavaScript heap was full`."""
    if life.death is None:
        return "it could not be started"
    death = life.death
    return f"{death.cause.value}, {death.confidence.value}: {CAUSES[death.cause].words}"


# --- the gateway is down ---------------------------------------------------------------------


def _find_outages(known: Known, outage: Outage, now_ms: int) -> Iterator[Condition]:
    for each in (
        *_find_loop(known, outage),
        *_find_refusal(known, outage),
        *_find_down(outage, now_ms),
    ):
        yield replace(each, words=_add_done(each, known))


def _find_loop(known: Known, outage: Outage) -> Iterator[Condition]:
    breaker = known.breaker
    if breaker is None or breaker.state is BreakerState.CLOSED:
        return
    many = max(breaker.row, breaker.deaths)
    last = next((each for each in known.lives if is_failure(each)), None)
    why = "" if last is None else f"; {tell_cause(last)}"
    until = WAITS[breaker.waiting].until
    words = Words(
        "crash loop" if many > 1 else "gateway cannot start",
        f"{format_counted(many, 'death')}{' in a row' * (many > 1)}{why}",
        step=_tell_story(known),
    )
    if until:
        words = replace(words, what=f"{words.what}; waiting until {until}")
    failed = [each.ended_ms for each in known.lives[:many] if each.ended_ms and is_failure(each)]
    since_ms = min([*failed, *([outage.since_ms] if outage.since_ms else [])], default=0)
    yield Condition(Code.CRASH_LOOP, "", Urgency.CRITICAL, since_ms, words)


def _find_refusal(known: Known, outage: Outage) -> Iterator[Condition]:
    start, newest = known.start, known.lives[0] if known.lives else None
    if start is None or start.go or start.other_pid is not None or outage.since_ms is None:
        return
    if newest is None or start.at_ms >= newest.started_ms:
        yield _make(Code.START_REFUSED, "", start.at_ms)


def _find_down(outage: Outage, now_ms: int) -> Iterator[Condition]:
    if not outage.is_kept:
        return
    since_ms = now_ms if outage.since_ms is None else outage.since_ms
    why = f"; {tell_cause(outage.deaths[0])}" if outage.deaths else ""
    words = Words(
        find_row(Code.GATEWAY_DOWN).title,
        f"no good answer for {format_span(now_ms - since_ms)}{why}",
        step=find_row(Code.GATEWAY_DOWN).step,
    )
    yield Condition(Code.GATEWAY_DOWN, "", Urgency.CRITICAL, since_ms, words, opens=outage.is_told)


def _find_unguarded_due(known: Known, settings: AlertSettings) -> int | None:
    if known.unguarded_ms is None:
        return None
    return known.unguarded_ms + int(1000 * settings.down_after_s)


def _find_unguarded(known: Known, settings: AlertSettings, now_ms: int) -> Iterator[Condition]:
    """Tell of a guard that is gone, unless its service manager starts it again soon."""
    due_ms = _find_unguarded_due(known, settings)
    if known.unguarded_ms is not None and due_ms is not None:
        made = _make(GUARD_GONE, "", known.unguarded_ms)
        yield replace(made, opens=now_ms >= due_ms)


def _tell_story(known: Known) -> str:
    story = find_row(Code.CRASH_LOOP).step
    number = next((each.id for each in known.incidents if each.closed_ms is None), None)
    return story if number is None else f"{story} {number}"


def _add_done(condition: Condition, known: Known) -> Words:
    """Tell what tailflip did since shortly before it began, and how to undo the last of it."""
    done = [
        each
        for each in known.actions
        if each.state in (State.COMMITTED, State.DONE)
        and each.created_ms >= condition.since_ms - GOOD_LIFE_MS
        and not each.took_nothing
    ]
    if not done:
        return condition.words
    told = "; ".join(dict.fromkeys(KIND_WORDS[each.kind].did for each in reversed(done)))
    return replace(condition.words, done=told, undo=done[0].undo or "")


# --- what the record says else ---------------------------------------------------------------


def _find_hangs(known: Known, now_ms: int) -> Iterator[Condition]:
    hung = [
        each.ended_ms
        for each in known.lives
        if each.death is not None
        and CAUSES[each.death.cause].of_silence
        and each.ended_ms is not None
        and now_ms - each.ended_ms < _DAY_MS
    ]
    if hung:
        many = len(hung)
        urgency = Urgency.CRITICAL if many >= _MANY_HANGS else Urgency.WARNING
        made = _make(HANGS, "", min(hung))
        what = f"{made.words.what}: {format_counted(many, 'time')} within 24 h"
        yield replace(made, urgency=urgency, words=replace(made.words, what=what))


def _find_actions(known: Known, now_ms: int) -> Iterator[Condition]:
    last: set[tuple[str, str]] = set()
    for action in known.actions:
        is_recent = now_ms - action.created_ms < _RECENT_MS
        is_newest = (action.kind, action.store) not in last
        last.add((action.kind, action.store))
        if is_recent and is_newest and _has_failed(action, now_ms):
            made = _make(ACTION_FAILED, f"{action.kind}: {action.store}", action.created_ms)
            what = f"a {KIND_WORDS[action.kind].noun} did not come to its end ({action.id})"
            yield replace(made, words=replace(made.words, what=what))
        done = action.state in (State.COMMITTED, State.DONE)
        if is_recent and done and action.kind is ActionKind.SALVAGE:
            made = _make(SALVAGED, action.id, action.created_ms)
            words = replace(
                made.words, step=f"tailflip archive show {action.id}", undo=action.undo or ""
            )
            yield replace(made, words=words, is_once=True)


def _has_failed(action: Action, now_ms: int) -> bool:
    if action.state is State.UNDONE:
        return True
    return action.state in HALF_DONE and now_ms - action.created_ms > _HALF_DONE_MS


def _find_failing(known: Known, now_ms: int) -> Iterator[Condition]:
    for name, since_ms in known.failing:
        if now_ms - since_ms >= _FAILING_MS:
            made = _make(FAILING, name, since_ms)
            what = f"{name} has received no message since then"
            yield replace(made, words=replace(made.words, what=what))


def _find_findings(known: Known, settings: AlertSettings, outage: Outage) -> Iterator[Condition]:
    for noted in known.findings:
        finding, row = noted.finding, find_row(noted.finding.code)
        subject = "" if finding.subject == known.guard else finding.subject
        if finding.code in OUTAGE and finding.code != Code.RESTART_LOOP:
            # The record of lives says more, and says when it is over.
            if finding.code == Code.START_REFUSED and outage.up_ms is None:
                yield _make(finding.code, "", noted.first_ms)
            continue
        made = _make(finding.code, subject, noted.first_ms)
        what = finding.message if row.has_numbers else row.what
        title = f"{row.title}{_name_job(noted, settings)}"
        urgency = made.urgency
        if finding.code in MILD_AS_WARNING and finding.severity == Severity.WARNING:
            urgency = Urgency.WARNING
        yield replace(made, urgency=urgency, words=replace(made.words, title=title, what=what))


def _name_job(noted: NotedFinding, settings: AlertSettings) -> str:
    """Name a job by the first part of its id; by its name if that is wanted."""
    if noted.finding.code not in _JOBS:
        return ""
    if settings.names:
        return f": {noted.finding.subject[:_MOST_NAME]}"
    found = _JOB_ID.search(noted.finding.hint)
    return f": {found[1]}" if found else ""


def _make(code: str, subject: str, since_ms: int) -> Condition:
    row = find_row(code)
    words = Words(row.title, row.what, step=row.step)
    return Condition(str(code), subject, row.urgency, since_ms, words)
