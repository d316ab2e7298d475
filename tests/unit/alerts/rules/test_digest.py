"""The daily digest: when, to whom, and what."""

from __future__ import annotations

from datetime import datetime

import pytest

from support.alert_rows import make_alert, make_notice
from support.alert_scenes import DAY, HOUR
from support.incident_history import GUARD, make_death, make_life
from tailflip.alerts.conditions import Known
from tailflip.alerts.rules.digest import digest
from tailflip.alerts.rules.moments import Around
from tailflip.alerts.rules.told import Told
from tailflip.flow.alerts import AlertSettings, Destination, Urgency
from tailflip.flow.lives import Cause
from tailflip.flow.outcomes import ActionKind
from tailflip.ledger.actions import Action, Details, State

EIGHT = int(datetime.fromisoformat("2026-02-02T08:00:00Z").timestamp() * 1000)
CRITICAL, WARNING, NOTICE = Urgency
PHONE = Destination("phone")
NOTHING = Known(GUARD)


def write(
    known=NOTHING, *, alerts=(), to=PHONE, told=(), since_ms=EIGHT - DAY, now_ms=EIGHT, **sets
):
    around = Around(AlertSettings(**sets), None, now_ms)
    return digest(known, alerts, to, Told(tuple(told)), since_ms=since_ms, around=around)


@pytest.mark.parametrize(
    ("since_ms", "now_ms", "sets", "until_ms", "due_ms"),
    [
        (EIGHT - DAY, EIGHT - 1, {}, None, EIGHT),
        (EIGHT - DAY, EIGHT, {}, EIGHT, EIGHT + DAY),
        (EIGHT - DAY, EIGHT + HOUR, {}, EIGHT + HOUR, EIGHT + DAY),  # the host was off
        (EIGHT, EIGHT + HOUR, {}, None, EIGHT + DAY),
        (None, EIGHT + HOUR, {}, EIGHT + HOUR, EIGHT + DAY),
        (EIGHT - DAY + HOUR, EIGHT, {"digest": "09:00"}, None, EIGHT + HOUR),
        (EIGHT - DAY, EIGHT, {"quiet": "22:00-10:00"}, None, EIGHT + 2 * HOUR),
        (EIGHT - DAY, EIGHT, {"digest": ""}, None, None),
    ],
)
def test_when_it_is_due(since_ms, now_ms, sets, until_ms, due_ms):
    made = write(since_ms=since_ms, now_ms=now_ms, **sets)
    assert (made.lines, made.until_ms, made.due_ms) == ((), until_ms, due_ms)


@pytest.mark.parametrize(
    ("to", "has"),
    [
        (Destination("a", CRITICAL), False),
        (Destination("a", WARNING), True),
        (Destination("a", NOTICE), True),
        (Destination("a", WARNING, after_ms=1), False),
    ],
)
def test_who_has_one(to, has):
    gone = make_alert(1, EIGHT - HOUR, closed_ms=EIGHT - 1)
    assert bool(write(alerts=[gone], to=to).lines) is has


def life(ago_ms, cause=None):
    started_ms = EIGHT - ago_ms
    if cause is None:
        return make_life(f"l{ago_ms}", started_ms)
    return make_life(f"l{ago_ms}", started_ms, 9, death=make_death(cause))


def test_deaths_by_cause():
    deaths = (
        life(HOUR, Cause.V8_HEAP),
        life(2 * HOUR, Cause.HANG),
        life(3 * HOUR, Cause.V8_HEAP),
        life(4 * HOUR, Cause.ASKED_STOP),
        life(2 * DAY, Cause.V8_HEAP),
    )
    told = "3 deaths of the gateway, {}: v8-heap-oom 2, hang 1"
    assert write(Known(GUARD, (life(0), *deaths))).lines == (told.format("started again"),)
    assert write(Known(GUARD, deaths)).lines == (told.format("not healed"),)


def test_what_was_healed():
    def action(kind, state=State.DONE, ago_ms=HOUR):
        return Action(
            id="a", kind=kind, store="/s", state=state, created_ms=EIGHT - ago_ms,
            details=Details(temps=()),
        )  # fmt: skip

    actions = (
        action(ActionKind.COMPACT),
        action(ActionKind.COMPACT),
        action(ActionKind.TASKS),
        action(ActionKind.RESTORE),
        action(ActionKind.COMPACT, State.UNDONE),
        action(ActionKind.MARKERS, ago_ms=DAY),
    )
    told = "healed: 2 compactions, 1 end of tasks (`tailflip archive list`)"
    assert write(Known(GUARD, actions=actions)).lines == (told,)


@pytest.mark.parametrize(
    ("known", "told", "line"),
    [
        ({"closed_ms": EIGHT - 1}, [], "came and went: job storm"),
        ({"closed_ms": EIGHT - 1, "maintained": True}, [],
         "came and went during maintenance: job storm"),
        ({"closed_ms": EIGHT - DAY}, [], None),
        ({}, [], None),  # it stands
        ({"closed_ms": EIGHT - 1}, [make_notice(EIGHT - 5)], None),  # it was told
        ({"closed_ms": EIGHT - 1, "urgency": NOTICE}, [], None),
    ],
)  # fmt: skip
def test_what_came_and_went_untold(known, told, line):
    alert = make_alert(1, EIGHT - HOUR, **known)
    assert write(alerts=[alert], told=told).lines == ((line,) if line else ())


def test_what_stands_and_needs_nobody_at_once():
    alerts = [
        make_alert(at, code=code, urgency=NOTICE)
        for at, code in enumerate(["leftovers", "leftovers", "runs-stuck"])
    ]
    assert write(alerts=alerts).lines == ()
    wants_all = Destination("mail", NOTICE)
    told = "stands: left files (2), runs stuck (`tailflip check`)"
    assert write(alerts=alerts, to=wants_all).lines == (told,)
