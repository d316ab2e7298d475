"""Loops look the same at every pace."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from support.breaker_worlds import make_row
from tailflip.diagnose.causes import WANTED
from tailflip.diagnose.loops import find_loop
from tailflip.flow.lives import Cause

CAUSES = st.sampled_from([Cause.V8_HEAP, Cause.HANG, Cause.UNKNOWN, *sorted(WANTED)])


def make_lives(ends, scale=1):
    row = [(length_ms * scale, cause) for length_ms, cause in ends]
    return make_row(row, pause_ms=1000 * scale)


# No life is 8 times as long as another: there, an hour is an hour at every pace.
EVEN = st.lists(st.tuples(st.integers(10_000, 70_000), CAUSES), max_size=20)
ANY = st.lists(st.tuples(st.integers(0, 10**9), CAUSES), max_size=20)


@given(EVEN, st.integers(1, 10_000), st.integers(1, 5))
def test_a_loop_that_turns_slower_is_the_same_loop(ends, scale, deaths):
    fast = find_loop(make_lives(ends), deaths=deaths, good_life_s=180)
    slow = find_loop(make_lives(ends, scale), deaths=deaths, good_life_s=180)
    assert (fast is None) == (slow is None)
    if fast is not None and slow is not None:
        assert (fast.deaths, fast.signature) == (slow.deaths, slow.signature)
        assert abs(slow.period_s - fast.period_s * scale) <= 1e-6 * slow.period_s


@given(ANY, st.integers(1, 5))
def test_a_loop_is_made_of_the_newest_deaths_of_one_kind(ends, deaths):
    lives = make_lives(ends)
    loop = find_loop(lives, deaths=deaths, good_life_s=180)
    failed = [life for life in lives if life.death.cause not in WANTED]
    if loop is None:
        return
    assert loop.deaths >= deaths
    row = failed[-loop.deaths :]
    assert {life.death.signature for life in row} == {loop.signature}
    assert (loop.first_ms, loop.last_ms) == (row[0].ended_ms, row[-1].ended_ms)
    assert loop.period_s >= 0


@given(ANY, st.lists(st.sampled_from(sorted(WANTED)), max_size=5))
def test_wanted_ends_change_nothing(ends, wanted):
    lives = make_lives(ends)
    more = [
        life.model_copy(
            update={
                "id": f"w{number}",
                "death": life.death.model_copy(update={"cause": cause, "signature": str(cause)}),
            }
        )
        for number, (life, cause) in enumerate(zip(lives, wanted, strict=False))
    ]
    alone = find_loop(lives, deaths=3, good_life_s=180)
    assert find_loop([*lives, *more], deaths=3, good_life_s=180) == alone
