"""A year of a guard, in virtual time: whatever ends, however fast, and whatever the clock does.

Never more than 12 starts in 10 minutes, and no end of the guard that nobody asked for.
"""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.simulated_guard import End, guard_until_over, simulated
from tailflip.config.load import Config
from tailflip.diagnose.deaths import classify
from tailflip.flow.lives import Asked, Cause, Clues
from tailflip.supervise import waiting as module

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
PACES_S = (0.0, 0.1, 2.0, 10.0, 30.0, 45.0, 6 * MINUTE, 3 * HOUR, 3 * DAY)
HEAP = "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory"
ENDS = {
    "heap": Clues(signal=6, stderr_tail=HEAP),
    "cgroup": Clues(signal=9, oom_kills=1),
    "kernel": Clues(signal=9, stderr_tail="kernel: Out of memory: Killed process 1"),
    "oomd": Clues(signal=9, oomd=True),
    "config": Clues(exit_code=78, stderr_tail="Config invalid"),
    "migration": Clues(exit_code=78, stderr_tail="startup migrations did not complete cleanly"),
    "tasks": Clues(
        exit_code=1,
        stderr_tail="Gateway failed to start: Task registry restore failed: memory limit",
    ),
    "newer": Clues(exit_code=78, stderr_tail="gateway requires a newer OpenClaw build"),
    "lease": Clues(
        exit_code=1, stderr_tail="OpenClaw startup migrations are already running; wait"
    ),
    "twin": Clues(exit_code=1, stderr_tail="Gateway failed to start: gateway already running"),
    "port": Clues(exit_code=1, stderr_tail="Error: listen EADDRINUSE"),
    "lock": Clues(
        exit_code=1, stderr_tail="Gateway failed to start: failed to acquire gateway lock"
    ),
    "crash": Clues(signal=11, stderr_tail="boom"),
    "hang": Clues(exit_code=0, asked=Asked.HANG),
    "ahead": Clues(exit_code=0, asked=Asked.MEMORY),
    "update": Clues(exit_code=75),
    "parked": Clues(exit_code=79),
    "restart": Clues(exit_code=0, stderr_tail="restart mode: full process restart"),
    "hand-off": Clues(exit_code=0, handed_off=True),
    "exit 0": Clues(exit_code=0),
    "refused with 0": Clues(exit_code=0, stderr_tail="Gateway failed to start: NoState."),
    "sigterm": Clues(signal=15),
    "sigterm obeyed": Clues(exit_code=0, stderr_tail="[gateway] signal SIGTERM received"),
    "sigint": Clues(signal=2),
    "sighup": Clues(signal=1),
    "sigquit": Clues(signal=3),
    "exit 1": Clues(exit_code=1),
    **{
        name: Clues(exit_code=1, stderr_tail=f"[openclaw] Uncaught exception: {said}\n")
        for name, said in {
            "native memory": "Error: spawn ENOMEM",
            "module": "Error [ERR_MODULE_NOT_FOUND]: Cannot find module '/x/dist/a.js'",
            "damaged": "Error: database disk image is malformed",
            "address": "Error: listen EADDRNOTAVAIL: address not available 100.64.0.7:18789",
            "disk": "Error: ENOSPC: no space left on device, write",
            "watches": "Error: ENOSPC: System limit for number of file watchers reached",
            "files": "Error: EMFILE: too many open files, open '/x'",
            "permission": "Error: EACCES: permission denied, open '/x'",
            "too large": "RangeError: Invalid string length",
        }.items()
    },
    "nobody saw": Clues(),
}
YEAR_S = 365 * DAY


@pytest.fixture
def coarse(monkeypatch):
    """Look less often while waiting: a year has six million looks of five seconds."""
    monkeypatch.setattr(module, "_RECONSIDER_S", 600.0)
    monkeypatch.setattr(module, "_DELAY_LOOK_S", 600.0)


def most_in_ten_minutes(starts_s):
    """The most starts that any ten minutes saw."""
    most, first = 0, 0
    for last, at_s in enumerate(starts_s):
        while at_s - starts_s[first] > 600:
            first += 1
        most = max(most, last - first + 1)
    return most


def test_every_class_of_end_is_among_them():
    found = {classify(clues).cause for clues in ENDS.values()}
    assert found == set(Cause)  # of a stop that is proven, there is none


def test_a_year_over_every_end_at_every_pace(coarse):
    """Each combination has its share of the year; no share ends the guard."""
    pairs = list(itertools.product(ENDS.values(), PACES_S))
    share_s = YEAR_S / len(pairs)

    def script():
        for number in itertools.count():
            at = int((world.sky.now_s - 1000) // share_s)
            clues, pace_s = pairs[min(at, len(pairs) - 1)]
            # Cures that do not help, configurations that are written at each start.
            yield End(pace_s, clues, cured=number % 3 == 0, edited=number % 5 == 0)

    with simulated((), YEAR_S) as world:
        world.script = script()
        assert guard_until_over(world) is None
        assert most_in_ten_minutes(world.starts_s) <= 12
        assert len(world.starts_s) > len(pairs)
        # It is never given up: no day goes by without a start but for lives that last.
        gaps = [b - a for a, b in itertools.pairwise(world.starts_s)]
        assert max(gaps) <= max(PACES_S) + DAY


LIVES = st.builds(
    End,
    st.sampled_from(PACES_S),
    st.sampled_from(list(ENDS.values())),
    clock_s=st.sampled_from([0, 0, 0, -365 * DAY, -3 * HOUR, -60, 60, 3 * HOUR, 365 * DAY]),
    cured=st.booleans(),
    edited=st.booleans(),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(LIVES, min_size=1, max_size=30), st.sampled_from([0.0, 1.0]), st.integers(1, 100))
def test_any_mixture_with_any_clock(lives, first_delay_s, loop_deaths):
    """Also with settings that ask for no delay at all."""
    config = Config.model_validate(
        {"restart": {"first_delay_s": first_delay_s, "loop_deaths": loop_deaths}}
    )
    with simulated(itertools.cycle(lives), 2 * HOUR) as world:
        assert guard_until_over(world, config) is None
        assert most_in_ten_minutes(world.starts_s) <= 12
        assert world.starts_s


@settings(max_examples=30, deadline=None)
@given(st.lists(LIVES, min_size=1, max_size=10), st.lists(st.integers(1, 900), max_size=20))
def test_a_guard_that_is_killed_again_and_again_goes_on_at_the_same_pace(lives, kills_s):
    """Its successor resumes what was decided, by the clock that nobody set meanwhile."""
    with simulated(itertools.cycle(lives), 0) as world:
        for length_s in (*kills_s, 4 * HOUR):
            world.sky.until_s = world.sky.now_s + length_s
            assert guard_until_over(world) is None
            world.sky.wall_ms -= 86_400_000  # and a power cut took a day
        assert most_in_ten_minutes(world.starts_s) <= 12


@pytest.mark.parametrize("jump_s", [-365 * DAY, -3 * HOUR, -1, 0, 1, 3 * HOUR, 365 * DAY])
@pytest.mark.parametrize("name", ["exit 1", "config", "update", "heap"])
def test_no_wait_is_longer_than_it_was_decided_while_the_clock_is_set(name, jump_s):
    """Set back by a year during the wait: it was never started again."""
    lives = [End(0.1, ENDS[name]), End(3 * DAY, ENDS[name])]
    with simulated(lives, 2 * HOUR) as world:
        world.sky.until_s = world.sky.now_s + 2
        assert guard_until_over(world) is None
        first = world.supervisor.decision
        world.sky.wall_ms += int(1000 * jump_s)
        world.sky.until_s = world.sky.now_s + 2 * HOUR
        if len(world.starts_s) < 2:
            while len(world.starts_s) < 2:
                world.supervisor.loop.step()
            waited_s = world.starts_s[1] - world.starts_s[0]
            assert waited_s * 1000 <= first.at_ms - first.made.at_ms + 6_000


def test_a_stop_that_was_asked_for_ends_it():
    with simulated([End(5.0, Clues(exit_code=0, asked=Asked.OPERATOR))], DAY) as world:
        assert guard_until_over(world) == 0
        assert len(world.starts_s) == 1
