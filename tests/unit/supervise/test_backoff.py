"""Delays between starts: they grow to a cap, chance moves them a little, none is too long."""

from __future__ import annotations

import pytest

from tailflip.config.schema import RestartSettings
from tailflip.supervise.backoff import delay_s, start_delay_s, trial_delay_s

LIMITS = RestartSettings()  # 1 s, doubled, at most 300 s; trials after 300 s, at most 3600 s


def delay(row, *, first_s=1.0, factor=2.0, cap_s=60.0, jitter=0.0, random=0.5):
    return delay_s(row, first_s=first_s, factor=factor, cap_s=cap_s, jitter=jitter, random=random)


@pytest.mark.parametrize(
    ("row", "expected"),
    [(-1, 1), (0, 1), (1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (8, 60), (100_000, 60)],
)
def test_it_doubles_up_to_the_cap(row, expected):
    assert delay(row) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("first_s", "factor", "cap_s", "row", "expected"),
    [
        (0.0, 2.0, 60.0, 50, 0.0),
        (0.0005, 2.0, 60.0, 50, 0.0),
        (5.0, 1.0, 60.0, 9_999, 5.0),
        (90.0, 2.0, 60.0, 1, 60.0),
        (1.0, 1e300, 60.0, 3, 60.0),
    ],
)
def test_odd_settings(first_s, factor, cap_s, row, expected):
    found = delay(row, first_s=first_s, factor=factor, cap_s=cap_s)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("random", "expected"), [(0.0, 3.2), (0.5, 4.0), (0.75, 4.4), (0.999_999, 4.8)]
)
def test_chance_adds_or_takes_its_share(random, expected):
    assert delay(3, jitter=0.2, random=random) == pytest.approx(expected, rel=1e-4)


def test_chance_does_not_lead_over_the_cap():
    assert delay(50, jitter=0.2, random=0.9) == 60
    assert delay(50, jitter=0.2, random=0.0) == pytest.approx(48)


def test_starts_and_trials_have_their_own_delays():
    assert [start_delay_s(LIMITS, row) for row in (1, 2, 3, 99)] == pytest.approx([1, 2, 4, 300])
    trials = [trial_delay_s(LIMITS, trial, 0.5) for trial in (1, 2, 3, 4, 5)]
    assert trials == pytest.approx([300, 600, 1200, 2400, 3600])
