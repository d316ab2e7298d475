"""One sentence says how the gateway fares, and `check` and `status` say the same one."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from support.incident_history import GUARD, make_death, make_incident, make_life
from support.stores import HOUR_MS, NOW_MS
from tailflip.base.state_dir import Presence, Supervisor
from tailflip.diagnose.findings.inputs import Inputs
from tailflip.flow.conditions import HeldWork
from tailflip.flow.findings import Finding, Looked
from tailflip.flow.lives import Breaker, BreakerState, Cause, Decision, Moment, Waiting
from tailflip.flow.maintenance import Maintenance
from tailflip.flow.observed import Gateway
from tailflip.flow.work import WorkKind
from tailflip.ledger.decisions import MadeDecision
from tailflip.ledger.starts import JudgedStart
from tailflip.report.observation import Observation
from tailflip.report.status import CountedIncident, Installed, Look, Memory, Record
from tailflip.report.verdict import format_verdict, sum_up

ALIVE = Gateway(alive=True, pid=4121, started_ms=NOW_MS - HOUR_MS, evidence="lock")
DEAD = Gateway(alive=False, pid=None, started_ms=None, evidence="no lock")
UNSURE = Gateway(alive=None, pid=None, started_ms=None, evidence="port taken")
RUN = Supervisor(4100, Presence.RUN, NOW_MS - HOUR_MS)
LOOK = Look(
    now_ms=NOW_MS,
    guard=GUARD,
    gateway=ALIVE,
    port=1,
    supervisor=RUN,
    memory=Memory(None, None, None, "", None),
    stores=None,
)
ALONE = replace(LOOK, supervisor=None)
DOWN = replace(ALONE, gateway=DEAD)
UNIT = Installed("gw.service", "user", "systemd", "gate", "/u/10-tailflip.conf")
EMPTY = Record(lives=(), actions=(), incidents=(), breaker=Breaker(), made=None)
LIVES = make_life("now", NOW_MS - HOUR_MS, ready_ms=NOW_MS - HOUR_MS + 9, pid=4121)
YOUNG = make_life("now", NOW_MS - 9_000, pid=4121)
DIED = make_life("dead", NOW_MS - HOUR_MS, 9_000, death=make_death())
FAULT = make_death(Cause.CONFIG).model_copy(
    update={"evidence": ("exit 78", "stderr: Config invalid", "problem at gateway.mode")}
)
BLAMED = make_life("dead", NOW_MS - HOUR_MS, 9_000, death=FAULT)
BIG = Finding("heap-forecast", "error", "/c", "the stores will not fit", "run `tailflip compact`")
SMALL = Finding("leftovers", "warning", "/c", "a lock lies around", "remove it")


def made(kind, at_ms=None, waiting=Waiting.NOTHING):
    decision = Decision(kind=kind, reason="v8-heap-oom, 3 times", at_ms=at_ms, waiting=waiting)
    return MadeDecision(NOW_MS - 60_000, "dead", decision)


def stopped(life, waiting):
    breaker = Breaker(state=BreakerState.OPEN, row=3, waiting=waiting, until_ms=NOW_MS + 300_000)
    return replace(EMPTY, lives=(life,), breaker=breaker, made=made("wait", waiting=waiting))


REFUSED = replace(
    EMPTY,
    start=JudgedStart(at_ms=NOW_MS - 60_000, mode="gate", go=False, reason="too big", hint="more"),
)
BESIDE = replace(
    EMPTY,
    start=JudgedStart(
        at_ms=NOW_MS - 60_000, mode="gate", go=False, reason="another", other_pid=4121
    ),
)
UNSEEN = CountedIncident(make_incident(id="7"), 5)
SEEN = CountedIncident(make_incident(id="7", acked_ms=1), 5)
FINE = replace(EMPTY, lives=(LIVES,))

LOOP = (
    r"WAITING: no start is allowed after 3 deaths of one kind in a row: its JavaScript heap "
    r"was full and V8 gave up; waiting until the stores or the configuration change; "
    r"since .* \(60 s ago\); until .* \(in 5 min\) at the latest"
)
CASES = [
    ("runs", LOOK, FINE, (), r"OK: the gateway runs, pid 4121; nothing is wrong; since .* \(1 h"),
    ("runs, warned", LOOK, FINE, (SMALL,), r"OK: the gateway runs, pid 4121; 1 warning; since"),
    ("runs, unguarded", ALONE, EMPTY, (), r"OK: the gateway runs, pid 4121; .* \(1 h ago\)"),
    ("nothing here", DOWN, EMPTY, (), r"OK: no gateway runs here, and nobody guards one"),
    ("not to be told", replace(ALONE, gateway=UNSURE), EMPTY, (), r"OK: whether .* cannot be told"),
    ("no lock under run", replace(LOOK, gateway=DEAD), FINE, (), r"OK: the gateway runs, pid 4121"),
    ("seen incident", LOOK, replace(FINE, incidents=(SEEN,)), (), "OK: "),
    ("will not fit", DOWN, EMPTY, (BIG,), r"AT RISK: the stores will not fit"),
    (
        "two errors",
        LOOK,
        FINE,
        (BIG, replace(BIG, message="and that")),
        r"AT RISK: the stores will not fit; and 1 more error",
    ),
    (
        "unseen incident",
        LOOK,
        replace(FINE, incidents=(UNSEEN,)),
        (),
        r"AT RISK: incident 7 is open, and nobody has seen it: 5 deaths, its JavaScript heap",
    ),
    ("not readable", replace(LOOK, problem="no such directory"), FINE, (), "AT RISK: no such dir"),
    (
        "a loop, guarded",
        replace(LOOK, gateway=DEAD),
        stopped(DIED, Waiting.CURE),
        (),
        LOOP,
    ),
    (
        "a configuration fault by its key",
        replace(LOOK, gateway=DEAD),
        stopped(BLAMED, Waiting.CONFIG_CHANGE),
        (),
        r"WAITING: .* it refused its configuration \(problem at gateway.mode\); waiting until",
    ),
    (
        "a loop, its guard gone",
        DOWN,
        stopped(DIED, Waiting.CURE),
        (),
        r"DOWN: no start is allowed after 3 deaths of one kind in a row: .*; since .*ago\)$",
    ),
    (
        "stopped, yet alive",
        ALONE,
        stopped(DIED, Waiting.CURE),
        (),
        r"AT RISK: no start is allowed after 3 deaths",
    ),
    (
        "a start is due",
        replace(LOOK, gateway=DEAD),
        replace(EMPTY, lives=(DIED,), made=made("start", NOW_MS + 8_000)),
        (),
        r"WAITING: v8-heap-oom, 3 times; since .*; until .* \(in 8 s\) at the latest",
    ),
    (
        "a start is being prepared",
        replace(LOOK, gateway=DEAD),
        replace(EMPTY, lives=(DIED,), made=made("start", NOW_MS - 1)),
        (),
        r"WAITING: a start is being prepared: v8-heap-oom",
    ),
    ("the first start", replace(LOOK, gateway=DEAD), EMPTY, (), "WAITING: the first start"),
    (
        "no answer yet",
        LOOK,
        replace(EMPTY, lives=(YOUNG,)),
        (),
        r"WAITING: the gateway was started, and has not answered yet; since .* \(9 s ago\)",
    ),
    (
        "a trial",
        LOOK,
        replace(FINE, breaker=Breaker(state=BreakerState.HALF_OPEN, row=3)),
        (),
        r"WAITING: one trial start after 3 deaths is being watched: it must live long enough",
    ),
    (
        "refused by a gate",
        DOWN,
        REFUSED,
        (),
        r"DOWN: the start was refused: too big; since .* \(60 s ago\)",
    ),
    (
        "parked gate",
        replace(DOWN, parked_pid=9),
        REFUSED,
        (),
        r"WAITING: the start was refused: too big; since",
    ),
    (
        "refused by a gate whose breaker is open",
        DOWN,
        replace(
            stopped(BLAMED, Waiting.CONFIG_CHANGE),
            start=JudgedStart(at_ms=NOW_MS, mode="gate", go=False, reason="not started: Invalid"),
        ),
        (),
        r"DOWN: the start was refused: Invalid \(problem at gateway.mode\); since",
    ),
    ("refused, yet alive", ALONE, REFUSED, (), "OK: "),
    ("held back", ALONE, BESIDE, (), r"WAITING: a start is held back until the other .*pid 4121"),
    (
        "held back by run",
        LOOK,
        replace(FINE, breaker=Breaker(waiting=Waiting.OTHER_INSTANCE)),
        (),
        r"WAITING: a start is held back until the other gateway, pid 4121, is gone",
    ),
    (
        "died, guarded at its starts",
        DOWN,
        replace(EMPTY, lives=(DIED,)),
        (),
        r"DOWN: the gateway does not run: its JavaScript heap was full and V8 gave up; since",
    ),
    ("gone unseen", DOWN, FINE, (), "DOWN: the gateway does not run, and nobody saw its end"),
    ("installed only", replace(DOWN, installed=UNIT), EMPTY, (), "DOWN: the gateway does not run"),
    (
        "watched only",
        replace(DOWN, supervisor=Supervisor(7, Presence.WATCH, NOW_MS)),
        EMPTY,
        (),
        "DOWN: the gateway does not run",
    ),
]


@pytest.mark.parametrize(
    ("look", "record", "findings", "text"), [row[1:] for row in CASES], ids=[r[0] for r in CASES]
)
def test_the_verdict_says_how_it_fares_and_since_when(look, record, findings, text):
    """`check` said "nothing is wrong" of a gateway that was down in a crash loop."""
    found = sum_up(look, record, Observation(Inputs(), Looked(findings)))
    told = format_verdict(found.verdict, NOW_MS)
    assert re.match(text, told), told
    assert found.is_grave is not told.startswith("OK")
    if found.is_grave and not look.problem:
        assert any(each.finding.severity == "error" for each in found.findings), "check sees it too"


def test_a_start_that_run_refused_waits_and_says_for_what():
    """A store that will not fit: it said "nothing to do", and the time of the next look."""
    refused = replace(
        EMPTY,
        lives=(DIED,),
        breaker=Breaker(waiting=Waiting.CURE),
        made=MadeDecision(
            NOW_MS - 9_000,
            None,
            Decision(
                kind="wait", reason="it will not fit", waiting=Waiting.CURE, at_ms=NOW_MS + 60_000
            ),
        ),
    )
    found = sum_up(replace(LOOK, gateway=DEAD), refused, Observation(Inputs(), Looked()))
    told = format_verdict(found.verdict, NOW_MS)
    assert told.startswith("WAITING: it will not fit; waiting until the stores or the config")
    assert "`tailflip check` says what fills the heap" in found.next_step


WORK = Maintenance(
    id="1",
    began_ms=NOW_MS - HOUR_MS,
    until_ms=NOW_MS + HOUR_MS,
    anchor=Moment(at_ms=NOW_MS),
    left_ms=HOUR_MS,
    reason="new disk",
)
RESTS = (
    r"WAITING: no gateway is started during a maintenance: new disk; since .* \(1 h ago\); "
    r"until .* \(in 1 h\) at the latest"
)
ENDED = replace(EMPTY, lives=(DIED,), made=made("wait", waiting=Waiting.MAINTENANCE))


@pytest.mark.parametrize(
    ("look", "maintenance", "record", "text"),
    [
        (
            replace(LOOK, gateway=DEAD),
            WORK,
            ENDED,
            RESTS,
        ),
        (LOOK, WORK, FINE, r"OK: the gateway runs, pid 4121.*"),
        (
            replace(LOOK, gateway=DEAD),
            None,
            ENDED,
            r"WAITING: v8-heap-oom, 3 times; waiting until .*",
        ),
        (
            replace(LOOK, gateway=DEAD),
            WORK.model_copy(update={"quiet_only": True}),
            ENDED,
            r"WAITING: v8-heap-oom, 3 times.*",
        ),
        (DOWN, WORK, replace(EMPTY, lives=(DIED,)), r"DOWN: the gateway does not run: .*"),
    ],
    ids=["rests", "lives", "over", "quiet only", "nobody would start it"],
)
def test_run_that_rests_waits_for_the_end_of_the_maintenance(look, maintenance, record, text):
    look = replace(look, maintenance=maintenance)
    found = sum_up(look, record, Observation(Inputs(), Looked()))
    assert re.fullmatch(text, format_verdict(found.verdict, NOW_MS))


def test_the_next_step_of_a_rest_is_its_end():
    look = replace(LOOK, gateway=DEAD, maintenance=WORK)
    found = sum_up(look, ENDED, Observation(Inputs(), Looked()))
    assert found.next_step == (
        "nothing to do: its end starts the gateway; `tailflip maintenance off` ends it now"
    )


def test_how_to_end_a_wait_is_the_next_step():
    found = sum_up(
        replace(LOOK, gateway=DEAD), stopped(DIED, Waiting.CURE), Observation(Inputs(), Looked())
    )
    assert "`tailflip check` says what fills the heap" in found.verdict.step
    assert found.next_step.endswith("; `tailflip retry` makes a trial now")
    assert [(each.finding.code, each.finding.hint) for each in found.findings] == [
        ("starts-stopped", found.next_step)
    ]


def test_a_held_job_is_a_warning_that_both_see():
    held = HeldWork(WorkKind.JOB, "j1", "nightly (j1)", "20260202T020000Z-abcdef", NOW_MS - HOUR_MS)
    found = sum_up(LOOK, FINE, Observation(Inputs(), Looked()), (held,))
    (finding,) = (each.finding for each in found.findings)
    assert (finding.code, finding.subject) == ("job-held", "nightly (j1)")
    assert "openclaw cron enable j1" in finding.hint
    assert found.verdict.warnings == 1


GONE_HEAP = Finding("memory-elsewhere", "error", "/c", "died of memory", "give it more heap")


def seen(*findings):
    return Observation(Inputs(), Looked(findings))


def test_a_loop_of_memory_says_what_is_known_and_not_to_look_again():
    """`check` told its reader to run `tailflip check`, and had the answer further down."""
    record = stopped(DIED, Waiting.CURE)
    look = replace(LOOK, gateway=DEAD)
    assert "`tailflip check` says what fills the heap" in sum_up(look, record, seen()).next_step
    told = sum_up(look, record, seen(GONE_HEAP)).next_step
    assert told.startswith("give it more heap; it is started when ")
    assert "tailflip check" not in told


def test_a_problem_with_the_configuration_comes_with_its_own_cure():
    """The next step was to start a gateway by hand, which would refuse the configuration too."""
    look = replace(DOWN, problem="openclaw.json is empty", cure="cp openclaw.json.bak back")
    verdict = sum_up(look, EMPTY, seen()).verdict
    assert (verdict.reason, verdict.step) == (look.problem, look.cure)


def test_beside_a_service_no_gateway_is_to_be_started_by_hand():
    """Two gateways would get into each other's way; the README says `install` for a service."""
    install = "`tailflip install --apply` puts tailflip before each start of gw.service"
    for look in (ALONE, DOWN):
        assert "`tailflip run -- " in sum_up(look, EMPTY, seen()).next_step
        step = sum_up(replace(look, service="gw.service"), EMPTY, seen()).next_step
        assert step.endswith(install)
        assert "tailflip run" not in step


@pytest.mark.parametrize(
    ("versions", "release", "version"),
    [
        ((), None, None),
        ((), "2026.9.6", "2026.9.6"),
        (("2026.4.14",), "2026.9.6", "2026.4.14"),
        ((None, "2026.3.28"), "2026.9.6", "2026.9.6"),
        ((None, "2026.3.28"), None, "2026.3.28"),
    ],
)
def test_the_release_is_that_which_lives_or_starts_next(versions, release, version):
    """It said "version unknown" beside a living process whose package tells it."""
    lives = tuple(
        life.model_copy(update={"version": each})
        for life, each in zip((LIVES, DIED), versions, strict=False)
    )
    record = replace(EMPTY, lives=lives)
    assert sum_up(replace(LOOK, release=release), record, seen()).version == version
