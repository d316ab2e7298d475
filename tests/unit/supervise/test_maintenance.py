"""A guard in virtual time, through a maintenance: it rests, and nothing makes that longer."""

from __future__ import annotations

from contextlib import suppress

import pytest

from support.simulated_guard import End, Over, make_guarded, simulated
from tailflip.base.moments import read_moment
from tailflip.flow.lives import Clues, Waiting
from tailflip.flow.maintenance import MaintenanceEnd
from tailflip.supervise.states import Event, Phase

HOUR_S = 3_600.0
DAY_S = 24 * HOUR_S
WEEK_S = 7 * DAY_S
CRASH = Clues(exit_code=1, guarded=True)
FOR_EVER = End(1e9, Clues(exit_code=0))


def guard(script, until_s, *, after_s, length_s, wake=True):
    """Guard for a while; a maintenance begins after so long. Returns the starts, and the world."""
    with simulated(script, until_s) as world:
        run = make_guarded(world)
        began_s = world.sky.now_s

        def begin():
            run.gateway.history.maintenances.begin(int(length_s * 1000), read_moment())
            if wake:
                run.handle(Event.MAINTENANCE_DUE)

        run.loop.at("test", after_s, begin)
        with suppress(Over):
            run.handle(Event.BEGUN)
            while run.exit_code is None:
                run.loop.step()
        table = run.gateway.history.maintenances
        standing = run.gateway.history.decisions.read_standing()
        starts = [each - began_s for each in world.starts_s]
        return starts, run.phase, table.read(), standing


@pytest.mark.parametrize("wake", [True, False])
def test_a_death_in_it_is_followed_by_a_start_at_its_end(wake):
    """Whether the guard was woken or not: it looks into the ledger before it acts."""
    script = [End(1800, CRASH), FOR_EVER]
    starts, phase, [past], _ = guard(script, 2 * HOUR_S, after_s=60, length_s=HOUR_S, wake=wake)
    first, second = starts
    assert first < 1
    assert 60 + HOUR_S <= second < 60 + HOUR_S + 5
    assert phase is Phase.RUNNING
    assert past.end is MaintenanceEnd.TIME


def test_until_then_it_rests_and_says_so():
    starts, phase, [lasting], standing = guard(
        [End(1800, CRASH), FOR_EVER], 0.9 * HOUR_S, after_s=60, length_s=HOUR_S
    )
    assert (len(starts), phase, lasting.end) == (1, Phase.RESTING, None)
    assert standing.waiting is Waiting.MAINTENANCE


@pytest.mark.parametrize("jump_s", [-WEEK_S, -HOUR_S, HOUR_S, WEEK_S])
def test_a_wall_clock_that_jumps_makes_it_neither_longer_nor_shorter(jump_s):
    script = [End(1800, CRASH, clock_s=jump_s), FOR_EVER]
    starts, *_ = guard(script, 3 * HOUR_S, after_s=60, length_s=HOUR_S)
    assert 60 + HOUR_S <= starts[1] < 60 + HOUR_S + 5


def test_a_day_is_the_most_whatever_was_asked():
    starts, *_ = guard([End(1800, CRASH), FOR_EVER], 3 * DAY_S, after_s=60, length_s=WEEK_S)
    assert 60 + DAY_S <= starts[1] < 60 + DAY_S + 5


def test_deaths_in_it_count_for_no_loop():
    """Somebody who works on a gateway lets it die ten times: that says nothing of its health."""
    script = [End(30, CRASH)] * 2 + [End(1800, CRASH), FOR_EVER]
    starts, phase, _, standing = guard(script, 3 * HOUR_S, after_s=100, length_s=HOUR_S)
    assert len(starts) == 4
    assert phase is Phase.RUNNING
    assert standing is None
