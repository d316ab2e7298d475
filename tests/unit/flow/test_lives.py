"""What a life and an order to end it say of themselves."""

from __future__ import annotations

import pytest

from tailflip.flow.lives import Asked, Life


@pytest.mark.parametrize("asked", Asked)
def test_a_guard_starts_again_after_its_own_orders_and_a_hang_is_a_death(asked):
    orders = (Asked.MEMORY, Asked.RESTART_SIGNAL, Asked.SAFE_OVER)
    assert asked.is_restart is (asked in orders)


def test_what_is_the_guards_own_wish_says_so():
    """What is on record is told apart by these words."""
    own = {asked for asked in Asked if asked.startswith("tailflip: ")}
    assert own == {Asked.HANG, Asked.MEMORY, Asked.RESTART_SIGNAL, Asked.SAFE_OVER}


@pytest.mark.parametrize(("ended_ms", "uptime_s"), [(None, None), (1_000, 0.0), (3_500, 2.5)])
def test_a_life_lasts_until_it_ends(ended_ms, uptime_s):
    life = Life(id="l", guard="/g", mode="run", started_ms=1_000, ended_ms=ended_ms)
    assert life.uptime_s == uptime_s


DAY = 86_400_000


@pytest.mark.parametrize("jump_ms", [-3 * 3_600_000, 40 * DAY])
def test_a_clock_that_was_set_changes_no_length(jump_ms):
    """ "The gateway died after -10775.9 s", and "first answer after 40 d"."""
    life = Life(
        id="a",
        guard="/g",
        mode="run",
        started_ms=10 * DAY,
        started_mono_ms=5_000,
        ready_ms=10 * DAY + jump_ms,
        ready_mono_ms=9_000,
        ended_ms=10 * DAY + jump_ms,
        ended_mono_ms=29_000,
    )
    assert (life.ready_after_ms, life.uptime_s) == (4_000, 24.0)


def test_without_the_clock_of_the_boot_no_length_is_below_nothing():
    life = Life(id="a", guard="/g", mode="run", started_ms=10 * DAY, ready_ms=9 * DAY, ended_ms=DAY)
    assert (life.ready_after_ms, life.uptime_s) == (0, 0.0)
