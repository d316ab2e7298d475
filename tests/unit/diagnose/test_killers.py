"""The work that was in flight at each of the last deaths is named, and nothing else is."""

from __future__ import annotations

import pytest

from tailflip.diagnose.causes import OF_WORK, WANTED
from tailflip.diagnose.killers import list_suspects, pick
from tailflip.flow.lives import Cause, Confidence, Death, Life
from tailflip.flow.work import Work, WorkKind

NOW = 1_800_000_000_000
MIN = 60_000
GOOD_S = 600.0


def session(key, job=None):
    return Work(kind=WorkKind.SESSION, key=key, job=job)


def job(key):
    return Work(kind=WorkKind.JOB, key=key)


S, T, J, K = session("agent:main:main"), session("agent:main:x:~1"), job("nightly"), job("hourly")
DIED = Cause.UNKNOWN


def died(*works, cause=DIED, minutes=1, seen=True):
    return (works if seen else None, cause, minutes)


def make_lives(*deaths):
    """Lives that died, the newest first as they are given, each an hour before the next."""
    lives = []
    for number, (works, cause, minutes) in enumerate(deaths):
        end = NOW - number * 60 * MIN
        death = Death(cause=cause, signature=cause, confidence=Confidence.PROVEN, evidence=())
        lives.append(
            Life(
                id=str(number),
                guard="g",
                mode="run",
                started_ms=end - minutes * MIN,
                ended_ms=end,
                death=death,
                in_flight=works,
            )
        )
    return lives


def find(deaths, held_ms=None):
    lives = make_lives(*deaths)
    found = pick(list_suspects(lives, deaths=3, good_life_s=GOOD_S, held_ms=held_ms))
    return None if found is None else (found.work.key, found.deaths)


@pytest.mark.parametrize(
    ("deaths", "named"),
    [
        pytest.param([], None, id="nothing died"),
        pytest.param([died(S)] * 2, None, id="two deaths are too few"),
        pytest.param([died(S)] * 3, (S.key, 3), id="a session at three"),
        pytest.param([died(J)] * 3, (J.key, 3), id="a job at three"),
        pytest.param([died(S)] * 5, (S.key, 5), id="all of a longer row count"),
        pytest.param([died(S), died(T), died(J)], None, id="another one each time"),
        pytest.param([died(S), died(S), died(T), died(S)], None, id="the row is broken"),
        pytest.param([died(S, T), died(S), died(S, J)], (S.key, 3), id="others come and go"),
        pytest.param([died(S, J)] * 3, None, id="two each time: which one, nobody can tell"),
        pytest.param([died(J, K)] * 4, None, id="two jobs each time"),
        pytest.param([died(), died(S), died(S), died(S)], None, id="the last died before any turn"),
        pytest.param([died(S), died(), died(S), died(S)], None, id="nothing in flight at one"),
        pytest.param(
            [died(cause=Cause.V8_HEAP)] * 3, None, id="out of memory at boot, before any turn"
        ),
        pytest.param([died(S), died(seen=False), died(S)], None, id="nobody could look at one"),
        pytest.param(
            [died(S, cause=Cause.V8_HEAP), died(S, cause=Cause.HANG), died(S)],
            (S.key, 3),
            id="it may kill in several ways",
        ),
        pytest.param(
            [died(S), died(S, cause=Cause.CONFIG), died(S), died(S)],
            None,
            id="a refused configuration is no work's doing",
        ),
        pytest.param(
            [died(S), died(cause=Cause.PLANNED_RESTART), died(S), died(S)],
            (S.key, 3),
            id="a wanted end neither counts nor breaks",
        ),
        pytest.param(
            [died(cause=Cause.ASKED_STOP, minutes=90), *[died(S)] * 3, *[died(J)] * 3],
            None,
            id="the last life was good",
        ),
        pytest.param(
            [died(cause=Cause.ASKED_STOP), *[died(S)] * 3], (S.key, 3), id="stopped in the loop"
        ),
        pytest.param(
            [died(S), died(cause=Cause.PLANNED_RESTART, minutes=90), died(S), died(S)],
            None,
            id="a good life that was ended breaks a session's row",
        ),
        pytest.param(
            [died(J), died(cause=Cause.PLANNED_RESTART, minutes=90), died(J), died(J)],
            (J.key, 3),
            id="and not a job's",
        ),
        pytest.param(
            [died(S), died(S, minutes=90), died(S)],
            None,
            id="a long life shows that the resume did no harm",
        ),
        pytest.param(
            [died(S), died(S), died(S, minutes=90)],
            (S.key, 3),
            id="the first of the row may have lived long",
        ),
        pytest.param(
            [died(J, minutes=600)] * 3, (J.key, 3), id="a job of every night kills every night"
        ),
        pytest.param(
            [died(J, session(S.key, job=J.key))] * 3,
            (J.key, 3),
            id="the turn of a job in the main session is the job's",
        ),
        pytest.param(
            [died(S), died(S), died(J, session(S.key, job=J.key))],
            (S.key, 3),
            id="a job began the turn, and it is resumed without it",
        ),
    ],
)
def test_what_was_in_flight_at_each_death_is_named(deaths, named):
    assert find(deaths) == named


def test_deaths_before_a_hold_were_that_holds_due():
    """Else a session that a person released would be held again at its first death."""
    deaths = [died(S)] * 5
    assert find(deaths, {S.name: NOW - 3 * 60 * MIN}) == (S.key, 3)
    assert find(deaths, {S.name: NOW - 2 * 60 * MIN}) is None
    assert find(deaths, {J.name: NOW}) == (S.key, 5), "a hold of another work says nothing"


def test_a_life_that_lasts_is_passed_over():
    living = Life(id="new", guard="g", mode="run", started_ms=NOW)
    lives = [living, *make_lives(*[died(S)] * 3)]
    (found,) = list_suspects(lives, deaths=3, good_life_s=GOOD_S)
    assert found.work == S


def test_a_long_start_makes_no_long_life():
    """On a busy host a start took 134 s and the resume 46 s more: no good life by either."""
    lives = [
        life.model_copy(update={"ready_ms": life.started_ms + 15 * MIN})
        for life in make_lives(*[died(S, minutes=20)] * 3)
    ]
    assert [each.deaths for each in list_suspects(lives, deaths=3, good_life_s=GOOD_S)] == [3]


def test_several_are_all_suspected():
    lives = make_lives(*[died(S, J)] * 3)
    assert [each.work for each in list_suspects(lives, deaths=3, good_life_s=GOOD_S)] == [S, J]


def test_no_cause_is_both_wanted_and_of_a_work():
    assert not WANTED & OF_WORK
    assert {Cause.CONFIG, Cause.PORT_IN_USE, Cause.DISK_FULL, Cause.OTHER_INSTANCE}.isdisjoint(
        OF_WORK
    )
