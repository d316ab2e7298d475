"""A crash loop is known by its deaths, not by its pace."""

from __future__ import annotations

import random

import pytest

from support.breaker_worlds import NOW, make_row
from tailflip.diagnose.loops import find_loop, find_restarts
from tailflip.flow.lives import Cause, Life

MINUTE, HOUR, DAY = 60, 3600, 86_400
HEAP = Cause.V8_HEAP


def make_lives(*ends, pause_s=5):
    """Lives, newest first, from (seconds, cause) pairs told oldest first."""
    row = [(int(1000 * length_s), cause) for length_s, cause in ends]
    return make_row(row, pause_ms=int(1000 * pause_s))[::-1]


def find(lives, deaths=3, good_life_s=180):
    return find_loop(lives, deaths=deaths, good_life_s=good_life_s)


@pytest.mark.parametrize("length_s", [0.2, 45, 90, 6 * MINUTE, 3 * HOUR, 3 * DAY])
def test_a_loop_of_any_pace_is_found(length_s):
    loop = find(make_lives(*[(length_s, HEAP)] * 5))
    assert loop is not None
    assert (loop.cause, loop.signature, loop.deaths) == (HEAP, "v8-heap-oom", 5)
    assert loop.period_s == pytest.approx(length_s + 5)
    assert loop.first_ms == NOW + int(1000 * length_s)
    assert loop.last_ms == loop.first_ms + round(4000 * (length_s + 5))


def test_the_incidents_five_deaths_are_a_loop():
    lives = make_lives(*[(length_s, HEAP) for length_s in (18.9, 57.3, 60.4, 62.4, 54.5)])
    assert find(lives).deaths == 5


@pytest.mark.parametrize(
    ("ends", "deaths"),
    [
        ([], None),
        ([(45, HEAP)] * 2, None),
        ([(45, HEAP)] * 3, 3),
        ([(45, HEAP), (45, Cause.HANG), (45, HEAP), (45, HEAP)], None),
        ([(45, Cause.HANG)] * 9 + [(45, HEAP)] * 3, 3),
        ([(45, HEAP)] * 9 + [(45, Cause.HANG)], None),
        # wanted ends between deaths
        ([(45, HEAP), (9, Cause.ASKED_STOP), (45, HEAP), (9, Cause.UPDATE), (45, HEAP)], 3),
        ([(45, HEAP)] * 3 + [(9, Cause.ASKED_STOP)], 3),
        ([(45, Cause.ASKED_STOP)] * 5, None),
        ([(45, Cause.PLANNED_RESTART)] * 5, None),
        # an odd life breaks the row, its own death with it
        ([(45, HEAP)] * 9 + [(2 * HOUR, HEAP)], None),
        ([(2 * HOUR, HEAP), (45, HEAP), (45, HEAP)], None),
        ([(45, HEAP)] * 3 + [(2 * HOUR, HEAP)] + [(45, HEAP)] * 3, 3),
        # but not: 8 times as long at most, an hour at most, or several of them
        ([(900, HEAP), (900, HEAP), (7000, HEAP)], 3),
        ([(900, HEAP), (900, HEAP), (7200, HEAP)], 3),
        ([(900, HEAP), (900, HEAP), (7201, HEAP)], None),
        ([(45, HEAP), (45, HEAP), (HOUR, HEAP)], 3),
        ([(45, HEAP), (45, HEAP), (HOUR + 1, HEAP)], None),
        ([(45, HEAP)] * 40 + [(3 * DAY, HEAP)] * 3, 43),
        ([(3 * DAY, HEAP)] * 3 + [(45, HEAP)] * 3, 3),
    ],
)
def test_what_makes_and_breaks_a_row(ends, deaths):
    loop = find(make_lives(*ends))
    assert (loop.deaths if loop else None) == deaths


def test_the_period_is_that_at_which_the_loop_turns_now():
    lives = make_lives(*[(45, HEAP)] * 40, *[(3 * DAY, HEAP)] * 5)
    assert find(lives).period_s == 3 * DAY + 5


def test_the_order_in_which_lives_are_told_does_not_matter():
    lives = make_lives((45, Cause.HANG), *[(45, HEAP)] * 4)
    shuffled = random.Random(7).sample(lives, len(lives))
    assert find(shuffled) == find(lives) == find(lives[::-1])


def test_a_life_that_still_lasts_is_left_out():
    lives = make_lives(*[(45, HEAP)] * 3)
    alive = Life(id="now", guard="g", mode="run", started_ms=NOW * 2)
    assert find([alive, *lives]).deaths == 3


def test_a_death_found_in_the_morning_does_not_count_as_a_long_life():
    """It died at 23:01 a minute after its start; the next gate saw it at 8:00."""
    lives = make_lives((60, HEAP), (60, HEAP), (9 * HOUR, HEAP))
    assert find(lives) is None
    assert find([lives[0].model_copy(update={"end_known": False}), *lives[1:]]).deaths == 3


def test_a_good_life_longer_than_an_hour_may_be_asked_for():
    lives = make_lives((60, HEAP), (60, HEAP), (2 * HOUR, HEAP))
    assert find(lives) is None
    assert find(lives, good_life_s=3 * HOUR).deaths == 3


def test_one_death_may_be_called_a_loop():
    loop = find(make_lives((45, HEAP)), deaths=1)
    assert (loop.deaths, loop.period_s) == (1, 45)


@pytest.mark.parametrize(
    ("ends", "times"),
    [
        ([(10, Cause.PLANNED_RESTART)] * 2, None),
        ([(10, Cause.PLANNED_RESTART)] * 3, 3),
        # Good lives, every three to six minutes, for hours.
        ([(240, Cause.PLANNED_RESTART)] * 5, None),
        ([(240, Cause.PLANNED_RESTART)] * 6, 6),
        ([(300, Cause.UPDATE)] * 6, 6),
        # A rest ends it, and so does any other end.
        ([(240, Cause.PLANNED_RESTART)] * 5 + [(7200, Cause.PLANNED_RESTART)], None),
        ([(10, Cause.PLANNED_RESTART)] * 3 + [(10, Cause.HANG)], None),
        ([(10, Cause.HANG)] + [(10, Cause.PLANNED_RESTART)] * 4, 4),
        ([], None),
    ],
)
def test_a_gateway_that_restarts_itself_again_and_again_is_in_a_loop(ends, times):
    row = make_row([(length_s * 1000, cause) for length_s, cause in ends], pause_ms=2000)
    lives = [life.model_copy(update={"ready_ms": life.started_ms + 1}) for life in row]
    found = find_restarts(lives, deaths=3, good_life_s=180)
    assert (found.deaths if found else None) == times
    if found:
        assert found.period_s == ends[-1][0] + 2
