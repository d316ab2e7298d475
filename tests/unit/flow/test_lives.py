"""What a life and an order to end it say of themselves."""

from __future__ import annotations

import pytest

from tailflip.flow.lives import Asked, Life


@pytest.mark.parametrize("asked", Asked)
def test_a_guard_starts_again_after_its_own_orders_and_a_hang_is_a_death(asked):
    assert asked.is_restart is (asked in (Asked.MEMORY, Asked.RESTART_SIGNAL))


def test_what_is_the_guards_own_wish_says_so():
    """What is on record is told apart by these words."""
    own = {asked for asked in Asked if asked.startswith("tailflip: ")}
    assert own == {Asked.HANG, Asked.MEMORY, Asked.RESTART_SIGNAL}


@pytest.mark.parametrize(("ended_ms", "uptime_s"), [(None, None), (1_000, 0.0), (3_500, 2.5)])
def test_a_life_lasts_until_it_ends(ended_ms, uptime_s):
    life = Life(id="l", guard="/g", mode="run", started_ms=1_000, ended_ms=ended_ms)
    assert life.uptime_s == uptime_s
