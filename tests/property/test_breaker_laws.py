"""Whatever a gateway dies of: never beside another, never too often, never silent for ever."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from support.breaker_worlds import NOW, make_seen, make_world
from tailflip.config.schema import RestartSettings
from tailflip.diagnose.causes import WANTED
from tailflip.flow.lives import (
    Breaker,
    BreakerState,
    Cause,
    Confidence,
    Decision,
    Moment,
    SafeMode,
    Waiting,
)
from tailflip.supervise.backoff import delay_s
from tailflip.supervise.breaker import decide, is_due, note_good_life, note_start, reconsider

DAY_MS = 86_400_000
LIMITS = RestartSettings()
WORLD = make_world(random=0.0)
FAILURES = sorted(set(Cause) - WANTED)
NIGHTS = st.lists(
    st.fixed_dictionaries(
        {
            "cause": st.sampled_from(list(Cause)),
            "random": st.floats(0, 1, exclude_max=True),
            "cured": st.booleans(),
            "other_alive": st.booleans(),
            "config_mark": st.sampled_from("ab"),
            "stores_mark": st.sampled_from("xy"),
            "pass_s": st.integers(0, 10_000),
            "good": st.booleans(),
        }
    ),
    max_size=30,
)


def death(cause):
    return make_seen(cause, confidence=Confidence.GUESS)


@given(NIGHTS)
def test_a_night_of_any_deaths(night):
    now_ms, breaker = NOW, Breaker()
    for event in night:
        world = dataclasses.replace(
            WORLD,
            now_ms=now_ms,
            **{
                name: event[name]
                for name in ("random", "cured", "other_alive", "config_mark", "stores_mark")
            },
        )
        breaker, decision = decide(breaker, death(event["cause"]), world)
        # What is stored is what is read back, so that a killed supervisor goes on as it was.
        assert Breaker.model_validate_json(breaker.model_dump_json()) == breaker
        assert Decision.model_validate_json(decision.model_dump_json()) == decision
        if decision.kind == "end":
            assert event["cause"] is Cause.ASKED_STOP
            continue
        # It ends by itself, or with the other gateway's end: never a silent end.
        assert decision.at_ms is not None or decision.waiting is Waiting.OTHER_INSTANCE
        now_ms += 1000 * event["pass_s"]
        later = dataclasses.replace(world, now_ms=now_ms)
        again = reconsider(breaker, decision, later)
        assert reconsider(breaker, again, later) == again
        if breaker.state is BreakerState.OPEN and again.kind == "start":
            assert decision.kind == "start" or now_ms >= (decision.at_ms or 0)
        if world.other_alive:
            assert not is_due(again, later)
        alone = dataclasses.replace(later, other_alive=False, now_ms=now_ms + DAY_MS)
        last = reconsider(breaker, again, alone)
        assert last.kind == "start"
        assert is_due(last, alone)
        now_ms = alone.now_ms
        breaker = note_start(breaker, Moment(at_ms=now_ms))
        assert breaker.state is not BreakerState.OPEN
        if event["good"]:
            breaker = note_good_life(breaker)


@given(st.lists(st.sampled_from(FAILURES), min_size=1, max_size=4), st.floats(0, 0.999))
def test_a_gateway_that_always_dies_at_once_is_started_few_times_a_day(causes, random):
    """Whatever the causes, one or in turns: a handful of tries, then about one an hour."""
    breaker, now_ms, starts = Breaker(), NOW, 0
    while now_ms < NOW + DAY_MS:
        cause = causes[starts % len(causes)]
        world = dataclasses.replace(WORLD, now_ms=now_ms, random=random)
        breaker, decision = decide(breaker, death(cause), world)
        assert decision.at_ms is not None
        now_ms = decision.at_ms
        breaker = note_start(breaker, Moment(at_ms=now_ms))
        starts += 1
    assert starts <= 3 * LIMITS.loop_deaths + 3 + len(SafeMode) + 24 * 3600 / (
        LIMITS.trial_cap_s * 0.8
    )


@given(
    st.fixed_dictionaries(
        {
            "first_s": st.floats(0, 3600),
            "factor": st.floats(1, 10),
            "cap_s": st.floats(0, 86_400),
            "jitter": st.floats(0, 1),
            "random": st.floats(0, 1, exclude_max=True),
        }
    ),
    st.integers(-5, 10**9),
)
def test_a_delay_stays_within_its_bounds_and_grows(settings, row):
    first_s = settings["first_s"] if settings["first_s"] >= 0.001 else 0  # a millisecond is least
    least_s = min(first_s, settings["cap_s"]) * (1 - settings["jitter"])
    chosen_s = delay_s(row, **settings)
    assert least_s * 0.999_999 <= chosen_s <= settings["cap_s"]
    assert chosen_s <= delay_s(row + 1, **settings) * 1.000_001


def test_delays_are_those_of_the_manual():
    chosen = [
        delay_s(row, first_s=1, factor=2, cap_s=300, jitter=0, random=0.7) for row in range(1, 12)
    ]
    assert chosen == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    spread = [delay_s(3, first_s=1, factor=2, cap_s=300, jitter=0.2, random=r) for r in (0, 0.5)]
    assert spread == [3.2, 4]
