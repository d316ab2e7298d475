"""What is wrong, from the record: a table for each kind of condition."""

from __future__ import annotations

from dataclasses import replace

import pytest

from support.alert_scenes import DAY, HOUR, MINUTE, SECOND
from support.incident_history import ACTION, GUARD, make_death, make_incident, make_life
from support.ledger_rows import make_finding
from tailflip.alerts.conditions import Known, find_conditions, tell_cause
from tailflip.alerts.reading import end_unseen
from tailflip.flow.alerts import AlertSettings, Urgency
from tailflip.flow.lives import Breaker, BreakerState, Cause, Waiting
from tailflip.flow.outcomes import ActionKind
from tailflip.ledger.actions import Action, Details, State
from tailflip.ledger.findings import NotedFinding
from tailflip.ledger.starts import JudgedStart

NOW = 1_770_000_000_000
SETTINGS = AlertSettings()
STORE = f"{GUARD}/agents/main/sessions/sessions.json"
JOB = "57062c12-1111-2222-3333-444455556666"


def find(known, settings=SETTINGS):
    return {each.code: each for each in find_conditions(known, settings, NOW).conditions}


def died(ago_ms, cause=Cause.V8_HEAP):
    return make_life(f"l{ago_ms}", NOW - ago_ms - 9_000, 9_000, death=make_death(cause))


def action(kind, state, ago_ms=HOUR, name=ACTION, store=STORE):
    return Action(
        id=name, kind=kind, store=store, state=state, created_ms=NOW - ago_ms,
        details=Details(temps=()),
    )  # fmt: skip


def noted(code, subject="/s", **changed):
    return NotedFinding(make_finding(subject, code, **changed), NOW - HOUR, NOW, None)


def test_nothing_is_wrong_with_what_nobody_knows():
    assert find_conditions(Known(GUARD), SETTINGS, NOW).conditions == ()


@pytest.mark.parametrize(
    ("state", "row", "title"),
    [
        (BreakerState.OPEN, 3, "crash loop"),
        (BreakerState.HALF_OPEN, 3, "crash loop"),
        (BreakerState.OPEN, 1, "gateway cannot start"),
        (BreakerState.CLOSED, 3, None),
    ],
)
def test_an_open_breaker_is_a_crash_loop(state, row, title):
    breaker = Breaker(state=state, row=row, deaths=row, waiting=Waiting.CURE)
    lives = tuple(died(each * MINUTE) for each in range(1, row + 1))
    found = find(Known(GUARD, lives, breaker, incidents=(make_incident(id="7"),)))
    loop = found.get("crash-loop")
    if title is None:
        assert loop is None
        return
    assert (loop.words.title, loop.urgency) == (title, Urgency.CRITICAL)
    assert loop.since_ms == NOW - row * MINUTE
    assert "v8-heap-oom, proven: its JavaScript heap was full" in loop.words.what
    assert loop.words.what.endswith("waiting until the stores or the configuration change")
    assert loop.words.step == "tailflip incidents why 7"


@pytest.mark.parametrize(("ago_s", "opens"), [(5, False), (119, False), (120, True), (900, True)])
def test_a_guard_that_is_gone_is_told_once_its_manager_had_time(ago_s, opens):
    known = Known(GUARD, unguarded_ms=NOW - ago_s * SECOND)
    gone = find(known)["guard-gone"]
    assert (gone.urgency, gone.opens) == (Urgency.CRITICAL, opens)
    seen = find_conditions(known, SETTINGS, NOW)
    assert seen.due_ms == (None if opens else NOW + (120 - ago_s) * SECOND)


def test_a_gateway_that_a_timer_found_gone_is_down_until_the_next_start():
    """A gate leaves nobody: its gateway once died for good, and only the heartbeat said so."""
    life = make_life("l1", NOW - DAY, mode="gate")
    gone = {"life": "l1", "ended_ms": NOW - HOUR, "death": make_death().model_dump_json()}
    found = find(Known(GUARD, end_unseen((life,), gone)))
    assert found["gateway-down"].opens
    assert found["gateway-down"].since_ms == NOW - HOUR
    assert "v8-heap-oom, proven" in found["gateway-down"].words.what
    assert find(Known(GUARD, end_unseen((life,), None))) == {}
    later = make_life("l2", NOW - MINUTE, mode="gate")
    assert "gateway-down" not in find(Known(GUARD, end_unseen((later, life), gone)))
    judged = make_life("l1", NOW - DAY, DAY - HOUR, mode="gate", end_known=False)
    assert end_unseen((judged,), gone) == (judged,), "the next start has judged it"


@pytest.mark.parametrize(
    ("start", "finding", "is_found"),
    [
        ({"go": False}, False, True),
        ({"go": True}, False, False),
        ({"go": False, "other_pid": 7}, False, False),
        (None, True, True),  # `run` notes a refusal as a finding
        (None, False, False),
    ],
)
def test_a_refused_start(start, finding, is_found):
    judged = None if start is None else JudgedStart(at_ms=NOW - 9, mode="gate", **start)
    findings = (noted("start-refused", GUARD),) if finding else ()
    found = find(Known(GUARD, (died(HOUR),), start=judged, findings=findings))
    assert ("start-refused" in found) is is_found
    if is_found:
        assert found["start-refused"].subject == ""


def test_a_refusal_on_record_is_over_once_the_gateway_answers():
    life = make_life("l", NOW - MINUTE, ready_ms=NOW - SECOND)
    known = Known(GUARD, (life,), findings=(noted("start-refused", GUARD),))
    assert find(known) == {}


@pytest.mark.parametrize(
    ("ages", "urgency"),
    [
        ([], None),
        ([DAY], None),
        ([DAY - 1], Urgency.WARNING),
        ([HOUR, 2 * HOUR], Urgency.WARNING),
        ([HOUR, 2 * HOUR, DAY + 1], Urgency.WARNING),
        ([HOUR, 2 * HOUR, 3 * HOUR], Urgency.CRITICAL),
    ],
)
def test_hangs_within_a_day(ages, urgency):
    alive = make_life("now", NOW - MINUTE, ready_ms=NOW)
    found = find(Known(GUARD, (alive, *(died(each, Cause.HANG) for each in ages))))
    hangs = found.get("gateway-hangs")
    assert (hangs and hangs.urgency) == urgency


@pytest.mark.parametrize(
    ("actions", "is_failed"),
    [
        ([("compact", "undone", HOUR)], True),
        ([("compact", "done", HOUR), ("compact", "undone", 2 * HOUR)], False),
        ([("markers", "done", HOUR), ("compact", "undone", 2 * HOUR)], True),
        ([("compact", "intended", HOUR + 1)], True),
        ([("compact", "archived", HOUR)], False),  # it may still be at work
        ([("compact", "undone", 7 * DAY)], False),  # that is no news
    ],
)
def test_a_change_that_did_not_come_to_its_end(actions, is_failed):
    rows = tuple(
        action(ActionKind(kind), State(state), ago, f"a{at}")
        for at, (kind, state, ago) in enumerate(actions)
    )
    found = find(Known(GUARD, actions=rows))
    assert ("action-failed" in found) is is_failed


def test_a_salvage_stands_until_it_is_seen_and_says_how_to_undo_it():
    found = find(Known(GUARD, actions=(action(ActionKind.SALVAGE, State.DONE),)))
    salvaged = found["salvaged"]
    assert (salvaged.subject, salvaged.is_once) == (ACTION, True)
    assert salvaged.words.undo == f"tailflip restore {ACTION} --apply"
    old = action(ActionKind.SALVAGE, State.DONE, 7 * DAY)
    assert find(Known(GUARD, actions=(old,))) == {}


def test_a_destination_fails_after_an_hour_and_that_is_when_to_look():
    known = Known(GUARD, failing=(("phone", NOW - HOUR + 1),))
    seen = find_conditions(known, SETTINGS, NOW)
    assert (seen.conditions, seen.due_ms) == ((), NOW + 1)
    (failing,) = find_conditions(known, SETTINGS, NOW + 1).conditions
    assert (failing.code, failing.subject) == ("alerts-failing", "phone")


def test_an_outage_tells_what_was_done_about_it_and_how_to_undo_it():
    breaker = Breaker(state=BreakerState.OPEN, row=3, deaths=3)
    done = (
        action(ActionKind.HOLD, State.DONE, MINUTE, "h1"),
        action(ActionKind.COMPACT, State.DONE, 2 * MINUTE, "c1"),
        action(ActionKind.COMPACT, State.UNDONE, 2 * MINUTE, "c0", "/other"),
        action(ActionKind.COMPACT, State.DONE, DAY, "old", "/old"),
        action(ActionKind.RESTORE, State.DONE, MINUTE, "r1"),
    )
    lives = (died(MINUTE), died(2 * MINUTE), died(3 * MINUTE))
    words = find(Known(GUARD, lives, breaker, actions=done))["crash-loop"].words
    assert words.done == "compacted a session store; held what was in flight at each death"
    assert words.undo == "tailflip release h1 --apply"


@pytest.mark.parametrize(
    ("code", "hint", "names", "title"),
    [
        ("job-storm", f"`openclaw cron disable {JOB}`", False, "job storm: 57062c12"),
        ("job-storm", "see", False, "job storm"),
        ("job-storm", f"`openclaw cron disable {JOB}`", True, "job storm: Anna's pills"),
        ("store-growing", f"{JOB}", False, "store grows"),
        ("store-growing", f"{JOB}", True, "store grows"),
    ],
)
def test_a_job_is_named_as_the_settings_say(code, hint, names, title):
    known = Known(GUARD, findings=(noted(code, "Anna's pills", hint=hint),))
    found = find(known, replace(SETTINGS, names=names))
    assert found[code].words.title == title


def test_of_findings_only_numbers_are_told_and_an_outage_is_judged_by_lives():
    known = Known(
        GUARD,
        findings=(
            noted("heap-close", "/s", message="12 of 13"),
            noted("store-invalid", "/s", message="/home/u/secret: broken"),
            noted("crash-loop", GUARD),
            noted("starts-stopped", GUARD),
            noted("gateway-down", GUARD),
            noted("restart-loop", GUARD),
            noted("frobnicated", "/s"),
        ),
    )
    found = find(known)
    assert set(found) == {"heap-close", "store-invalid", "restart-loop", "frobnicated"}
    assert found["heap-close"].words.what == "12 of 13"
    assert "secret" not in found["store-invalid"].words.what
    assert found["restart-loop"].subject == ""


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_can_be_told(cause):
    told = tell_cause(make_life("l", NOW, 9, death=make_death(cause)))
    assert told.startswith(f"{cause.value}, proven: ")
    assert tell_cause(make_life("l", NOW, 9)) == "it could not be started"


@pytest.mark.parametrize(
    ("severity", "urgency"), [("error", Urgency.CRITICAL), ("warning", Urgency.WARNING)]
)
def test_a_lost_header_is_urgent_where_the_release_destroys_the_transcript(severity, urgency):
    found = find(Known(GUARD, findings=(noted("transcript-headless", severity=severity),)))
    assert found["transcript-headless"].urgency is urgency
