"""What `status` concludes, and the screen it draws: everything fits, and nothing hostile acts."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from support.incident_history import GUARD, MB, make_archived, make_death, make_incident, make_life
from support.stores import HOUR_MS, NOW_MS
from tailflip.base.state_dir import Presence, Supervisor
from tailflip.diagnose.findings.inputs import Inputs
from tailflip.flow.findings import Code, Finding, Looked
from tailflip.flow.lives import Breaker, BreakerState, Cause, Decision, Waiting
from tailflip.flow.observed import Gateway, Sample
from tailflip.flow.outcomes import Trend
from tailflip.ledger.decisions import MadeDecision
from tailflip.ledger.starts import JudgedStart
from tailflip.report.observation import Observation
from tailflip.report.screen import HEIGHT, WIDTH, format_screen
from tailflip.report.standing import find_start
from tailflip.report.status import (
    CountedIncident,
    Installed,
    Look,
    Memory,
    Record,
    Situation,
    Stores,
    measure_growth,
)
from tailflip.report.verdict import sum_up as sum_up_seen

ALIVE = Gateway(alive=True, pid=4121, started_ms=NOW_MS - HOUR_MS, evidence="lock /tmp/l")
DEAD = Gateway(alive=False, pid=None, started_ms=None, evidence="no lock")
LOOK = Look(
    now_ms=NOW_MS,
    guard=GUARD,
    gateway=ALIVE,
    port=18789,
    supervisor=Supervisor(4100, Presence.RUN, NOW_MS - HOUR_MS),
    memory=Memory(310 * MB, NOW_MS, 2_300 * MB, "asked node", None),
    stores=Stores(2, 9 * MB, None),
)
ALONE = replace(LOOK, supervisor=None)
LIFE = make_life(
    "now", NOW_MS - HOUR_MS, ready_ms=NOW_MS - HOUR_MS + 43_000, pid=1, worker_pid=4121
)
EMPTY = Record(lives=(), actions=(), incidents=(), breaker=Breaker(), made=None)
FINE = replace(EMPTY, lives=(LIFE,))
OPEN = Breaker(state=BreakerState.OPEN, row=3, waiting=Waiting.CURE, until_ms=NOW_MS + HOUR_MS)
BIG = Finding("heap-forecast", "error", "/c", "it needs 4.3 GB", "run `tailflip compact`")


def sum_up(look: Look, record: Record, *findings: Finding) -> Situation:
    return sum_up_seen(look, record, Observation(Inputs(), Looked(findings)))


def draw(situation: Situation) -> str:
    """The screen with its wrapped lines joined."""
    return re.sub(r"\n +", " ", "\n".join(format_screen(situation)))


def make_open(**known: object) -> CountedIncident:
    return CountedIncident(make_incident(id="7", **known), 5)


def made(kind: str = "start", **known: object) -> MadeDecision:
    return MadeDecision(NOW_MS, None, Decision(kind=kind, reason="because", **known))


def wait_for(waiting: Waiting) -> Record:
    return replace(EMPTY, breaker=Breaker(state=BreakerState.OPEN, row=3, waiting=waiting))


NEXT = [
    ("all is well", LOOK, FINE, "nothing to do"),
    (
        "a cure is awaited",
        LOOK,
        replace(EMPTY, breaker=OPEN),
        "what fills the heap.*; `tailflip retry` makes a trial now",
    ),
    ("a change is awaited", LOOK, wait_for(Waiting.CONFIG_CHANGE), "correct the configuration"),
    ("another gateway", LOOK, wait_for(Waiting.OTHER_INSTANCE), "stop the other gateway"),
    ("open without a reason", LOOK, wait_for(Waiting.TIME), "tailflip incidents"),
    (
        "a trial runs",
        LOOK,
        replace(EMPTY, breaker=Breaker(state=BreakerState.HALF_OPEN)),
        "one trial start",
    ),
    (
        "a start is due",
        LOOK,
        replace(EMPTY, made=made(at_ms=NOW_MS)),
        "it is started at .*; `tailflip retry` starts it now",
    ),
    ("it started since", LOOK, replace(FINE, made=made(at_ms=NOW_MS)), "nothing to do"),
    ("unguarded", ALONE, EMPTY, "nothing guards it: stop it"),
    ("never guarded", replace(ALONE, gateway=DEAD), EMPTY, "nothing was ever guarded here"),
    ("guarded before", replace(ALONE, gateway=DEAD), FINE, "start `tailflip run` again"),
    (
        "gate looks",
        ALONE,
        replace(EMPTY, lives=(make_life("g", 1, mode="gate"),)),
        "if it dies and is started again, `tailflip gate` looks before that",
    ),
    (
        "gate looks, in a service",
        replace(ALONE, service="gw.service"),
        replace(EMPTY, lives=(make_life("g", 1, mode="gate"),)),
        "if it dies, its service manager starts it, and `tailflip gate` looks before that",
    ),
]


GATE = make_life("g", NOW_MS - HOUR_MS, mode="gate")
REFUSED = JudgedStart(at_ms=NOW_MS, mode="gate", go=False, reason="too big", hint="give it more")
ENDED = make_life("g", NOW_MS - HOUR_MS, 1, mode="gate", end_known=False)
DOWN = replace(ALONE, gateway=DEAD)
UNIT = Installed("gw.service", "user", "systemd", "gate", "/u/10-tailflip.conf")
NEXT += [
    ("gate, alive", ALONE, replace(EMPTY, lives=(GATE,)), "nothing to do; if it dies"),
    ("gate, gone", DOWN, replace(EMPTY, lives=(GATE,)), "finds out before that how it ended"),
    # No service is known: it said "its service manager starts it" of a gate in a script.
    ("gate, in a script", DOWN, replace(EMPTY, lives=(GATE,)), "^start it again, as before; "),
    (
        "gate, in a service",
        replace(DOWN, service="gw.service"),
        replace(EMPTY, lives=(GATE,)),
        "^its service manager starts it; ",
    ),
    ("gate, stopped", DOWN, replace(EMPTY, lives=(ENDED,)), "`tailflip gate` looks before that"),
    (
        "gate, undecided",
        DOWN,
        replace(EMPTY, lives=(ENDED,), undecided=True),
        "decides about its last death before that",
    ),
    ("gate, refused", DOWN, replace(EMPTY, start=REFUSED), "give it more; then start it again"),
    (
        "gate, parked",
        replace(DOWN, parked_pid=9),
        replace(EMPTY, start=REFUSED),
        "when something has changed; give it more",
    ),
    ("refused, yet alive", ALONE, replace(EMPTY, start=REFUSED), "nothing to do; if it dies"),
    ("installed just now", replace(DOWN, installed=UNIT), EMPTY, "restart gw.service"),
    (
        "taken out since",
        replace(DOWN, installed=replace(UNIT, path=None)),
        replace(EMPTY, lives=(GATE,)),
        "`tailflip install --apply`: gw.service no longer starts through tailflip",
    ),
    ("run was killed", ALONE, FINE, "start `tailflip run` again; it takes over what lives"),
]


@pytest.mark.parametrize(
    ("look", "record", "text"), [row[1:] for row in NEXT], ids=[row[0] for row in NEXT]
)
def test_the_next_step_follows_from_what_is(look, record, text):
    assert re.search(text, sum_up(look, record).next_step)


GUARDED = [
    (LOOK, FINE, "by `tailflip run`, pid 4100, since 2026-02-02 01:40:00Z"),
    (ALONE, FINE, "by nobody now"),
    (ALONE, replace(EMPTY, lives=(GATE,)), "at each start by `tailflip gate`, by nobody in betw"),
    (
        replace(ALONE, installed=UNIT),
        replace(EMPTY, lives=(GATE,)),
        "at each start by `tailflip gate` in gw.service, by nobody in between",
    ),
    (replace(ALONE, installed=UNIT), EMPTY, "by nobody now; from the next start of gw.service on"),
    (
        replace(ALONE, installed=replace(UNIT, path=None)),
        replace(EMPTY, lives=(GATE,)),
        "by nobody now: gw.service no longer starts through tailflip",
    ),
    (
        replace(LOOK, supervisor=Supervisor(7, Presence.WATCH, NOW_MS)),
        replace(EMPTY, lives=(GATE,)),
        "by `tailflip watch`, pid 7, since 2026-02-02 02:40:00Z (now); at each start by `tail",
    ),
]


@pytest.mark.parametrize(("look", "record", "text"), GUARDED)
def test_who_guards_is_read_from_what_is_there(look, record, text):
    assert f"\nguarded   {text}" in draw(sum_up(look, record))


def test_the_last_start_through_a_gate_is_the_one_that_counts():
    ran = make_life("r", NOW_MS - 1)
    before = REFUSED.model_copy(update={"at_ms": NOW_MS - HOUR_MS})
    assert find_start(replace(EMPTY, start=before, lives=(ran, GATE))) is None
    assert find_start(replace(EMPTY, start=REFUSED, lives=(ran, GATE))) is REFUSED
    found = find_start(replace(EMPTY, start=before, lives=(make_life("g", NOW_MS, mode="gate"),)))
    assert (found.go, found.at_ms, found.actions) == (True, NOW_MS, None)
    assert find_start(replace(EMPTY, lives=(ran,))) is None


GRAVE = [
    (replace(FINE, start=REFUSED), False),
    (FINE, False),
    (replace(FINE, breaker=OPEN), True),
    (replace(FINE, breaker=Breaker(state=BreakerState.HALF_OPEN)), True),
    (EMPTY, True),
    (replace(FINE, incidents=(make_open(),)), True),
    (replace(FINE, incidents=(make_open(acked_ms=1),)), False),
]


@pytest.mark.parametrize(("record", "grave"), GRAVE)
def test_it_is_grave_when_starts_stop_or_nobody_has_seen_an_incident(record, grave):
    assert sum_up(LOOK, record).is_grave is grave


def test_an_error_that_stands_is_grave_and_its_cure_is_next():
    found = sum_up(LOOK, FINE, BIG)
    assert (found.is_grave, found.next_step) == (True, "run `tailflip compact`")


def test_a_refused_start_is_grave_while_no_gateway_lives():
    assert sum_up(DOWN, replace(EMPTY, start=REFUSED)).is_grave
    assert sum_up(replace(DOWN, gateway=None), replace(EMPTY, start=REFUSED)).is_grave


def test_wanted_ends_are_no_deaths_and_unjudged_ones_are():
    lives = [
        make_life("asked", NOW_MS - 9, 1, death=make_death(Cause.ASKED_STOP)),
        make_life("unjudged", NOW_MS - 10, 1),
        make_life("old", NOW_MS - 25 * HOUR_MS, 1, death=make_death()),
    ]
    found = sum_up(LOOK, replace(EMPTY, lives=lives))
    assert [life.id for life in found.deaths] == ["unjudged", "old"]
    assert found.deaths_in_a_day == 1
    assert found.life is lives[0]
    assert sum_up(LOOK, replace(EMPTY, lives=[*lives, LIFE])).life is LIFE


def make_samples(*sizes: tuple[float, int | None]) -> list[Sample]:
    return [Sample(NOW_MS + int(hours * HOUR_MS), None, size) for hours, size in sizes]


@pytest.mark.parametrize(
    ("samples", "per_day"),
    [
        ((), None),
        (((0, 100),), None),
        (((0, 100), (0.1, 200)), None),
        (((0, 100), (12, 150)), 100),
        (((0, None), (0, 100), (12, None), (24, 110)), 10),
        (((0, 100), (24, 200), (25, 20), (49, 50)), 30),
        (((0, 100), (24, 99)), -1),
        (((0, 100), (24, 20)), None),
    ],
)
def test_growth_is_measured_since_something_was_taken_out(samples, per_day):
    assert measure_growth(make_samples(*samples)) == (
        None if per_day is None else pytest.approx(per_day)
    )


def test_a_healthy_gateway_on_the_screen():
    trend = Trend(
        bytes_per_s=1_000.0, span_s=3_600, limit_bytes=2_300 * MB, hits_ms=NOW_MS + 48 * HOUR_MS
    )
    look = replace(
        LOOK, memory=replace(LOOK.memory, trend=trend), stores=Stores(2, 9 * MB, 1.2 * MB)
    )
    assert "\n".join(format_screen(sum_up(look, FINE))) == (
        """\
OK: the gateway runs, pid 4121; since 2026-02-02 01:40:00Z (1 h ago); a quick
  look found nothing wrong, `tailflip check` takes a full look
next      nothing to do
guards    /home/u/.openclaw
gateway   OpenClaw 2026.4.14, port 18789, running (lock /tmp/l)
guarded   by `tailflip run`, pid 4100, since 2026-02-02 01:40:00Z (1 h ago)
life      since 2026-02-02 01:40:00Z (1 h ago), pid 4121, first answer after
          43 s
memory    310.0 MB, heap limit 2.3 GB (asked node); grows 3.6 MB an hour, full
          in 2 d
stores    9.0 MB in 2; grow 1.2 MB a day
starts    allowed"""
    )


def make_worst(text: str, many: int) -> Record:
    """As much of everything as there can be, all of it named by `text`."""
    lives = [make_life(f"{n}{text}", n, 5, death=make_death()) for n in range(many)]
    return Record(
        lives=lives,
        actions=[make_archived(NOW_MS, text)] * many,
        incidents=[make_open(signature=text)] * many,
        breaker=Breaker(row=10**9),
        made=MadeDecision(NOW_MS, None, Decision(kind="start", reason=text)),
        start=JudgedStart(
            at_ms=NOW_MS, mode="gate", go=False, reason=text, hint=text, actions=(text,) * many
        ),
    )


@pytest.mark.parametrize("text", ["x" * 4_000, "words " * 900, "\x1b[2J\r\n\u202e\udc9b" * 300])
def test_the_screen_is_small_and_safe_whatever_is_on_record(text):
    memory = Memory(1, 1, 1, text, None)
    look = replace(LOOK, guard=text, memory=memory, gateway=replace(ALIVE, evidence=text))
    bad = Finding("code" + text, "error", text, text, "do " + text)
    lines = format_screen(sum_up(look, make_worst(text, 50), *[bad] * 50))
    assert len(lines) <= HEIGHT
    assert max(map(len, lines)) <= WIDTH
    assert all(line.isprintable() for line in lines)


def test_an_undo_command_is_never_cut():
    lines = format_screen(sum_up(LOOK, make_worst("x" * 400, 3)))
    undo = f"tailflip restore {make_archived(NOW_MS).action.id} --apply"
    assert sum(undo in line for line in lines) == 1
    lines = format_screen(sum_up(LOOK, make_worst("x", 3)), height=30)
    assert sum(undo in line for line in lines) == 3


def test_what_is_not_known_is_said_to_be_unknown():
    look = replace(
        LOOK, gateway=None, port=None, stores=None, memory=Memory(None, None, None, "", None)
    )
    screen = "\n".join(format_screen(sum_up(look, EMPTY)))
    assert "version unknown, not found" in screen
    assert "none on record" in screen
    assert "not measured" in screen


def test_memory_that_was_measured_before_says_when():
    look = replace(LOOK, memory=Memory(5 * MB, NOW_MS - HOUR_MS, None, "", None))
    assert any("5.0 MB 1 h ago" in line for line in format_screen(sum_up(look, FINE)))


def test_a_start_held_back_for_another_gateway_is_one_story():
    """It said "starts allowed", and that it waits until directory and port are free."""
    start = JudgedStart(
        at_ms=NOW_MS, mode="gate", go=False, reason="another gateway, pid 4121", other_pid=4121
    )
    situation = sum_up(ALONE, replace(EMPTY, start=start))
    screen = "\n".join(format_screen(situation))
    assert "starts    held back until the state directory and its port are free" in screen
    assert "refused the start" in screen
    assert "pid 4121 lives" in situation.next_step
    gone = sum_up(replace(ALONE, gateway=DEAD), replace(EMPTY, start=start))
    assert (gone.held, gone.refused) == (False, True)


def test_what_run_waits_for_is_what_status_says():
    waiting = Breaker(waiting=Waiting.OTHER_INSTANCE)
    situation = sum_up(LOOK, replace(EMPTY, breaker=waiting))
    assert "held back until the state directory and its port are free" in "\n".join(
        format_screen(situation)
    )
    assert situation.next_step.startswith("stop the other gateway")


NIGHT = make_open(opened_ms=NOW_MS - HOUR_MS)
DIED = make_life("d", NOW_MS - 2 * HOUR_MS, 5_000, death=make_death(), incident="7", cured=True)
ANSWERS = make_life("l", NOW_MS - 60_000, ready_ms=NOW_MS - 50_000)


@pytest.mark.parametrize(
    ("lives", "deaths", "is_ok"),
    [
        ((ANSWERS, DIED), 1, True),
        ((ANSWERS, DIED.model_copy(update={"cured": False})), 1, False),
        ((ANSWERS, DIED), 2, False),
        ((ANSWERS.model_copy(update={"ready_ms": None}), DIED), 1, False),
        ((DIED,), 1, False),
        ((GATE, DIED), 1, True),
        ((GATE.model_copy(update={"started_ms": NOW_MS - 9_000}), DIED), 1, False),
    ],
    ids=["cured", "not cured", "again", "no answer yet", "dead", "gate", "gate just now"],
)
def test_one_death_that_was_cured_calls_for_nobody_once_the_gateway_answers(lives, deaths, is_ok):
    record = replace(EMPTY, lives=lives, incidents=(replace(NIGHT, deaths=deaths),))
    situation = sum_up(LOOK, record)
    codes = {each.finding.code for each in situation.findings}
    assert (Code.INCIDENT_OPEN not in codes) is is_ok
    assert "incident 7 is open" in draw(situation), "it is told until it is over"


def test_of_an_end_that_nobody_saw_no_length_is_invented():
    unseen = DIED.model_copy(update={"end_known": False})
    told = draw(sum_up(LOOK, replace(EMPTY, lives=(unseen,))))
    assert "(proven), found then; it lived at most 5 s" in told
    unseen = unseen.model_copy(update={"begin_known": False})
    told = draw(sum_up(LOOK, replace(EMPTY, lives=(unseen,))))
    assert "(proven), found then; the time is not known" in told
