"""The ladder only ever tightens, and bad numbers never become a policy."""

from __future__ import annotations

import itertools

import pytest
from pydantic import ValidationError

from tailflip.plan.policy import DAY_MS, HOUR_MS, PRESSURE_LADDER, Policy


def climb(policy):
    steps = [policy]
    for pressure in PRESSURE_LADDER:
        steps.append(pressure.apply(steps[-1]))
    return steps


def loss(policy):
    """Order policies by how little they keep; None is no limit."""
    return tuple(
        float("inf") if value is None else value
        for value in (
            policy.slim_idle_ms,
            policy.retention_ms,
            policy.cap_per_job,
            policy.cap_total,
        )
    )


@pytest.mark.parametrize(
    "start",
    [
        Policy(),
        Policy(retention_ms=None),
        Policy(retention_ms=0),
        Policy(retention_ms=30 * DAY_MS, cap_per_job=3, cap_total=7, slim_idle_ms=5),
        Policy(slim=False, retire=False, single_flight=False, max_lifetime_ms=None),
    ],
)
def test_each_step_keeps_no_more_than_the_last(start):
    steps = climb(start)
    for before, after in itertools.pairwise(steps):
        assert all(b >= a for b, a in zip(loss(before), loss(after), strict=True))
    end = steps[-1]
    assert (end.slim, end.retire, end.single_flight) == (
        start.slim,
        start.retire,
        start.single_flight,
    )
    assert end.max_lifetime_ms == start.max_lifetime_ms


def test_the_ladder_from_the_defaults():
    end = climb(Policy())
    assert [p.slim_idle_ms for p in end[:3]] == [None, DAY_MS, HOUR_MS]
    assert [p.retention_ms for p in end[2:6]] == [DAY_MS, DAY_MS // 2, DAY_MS // 4, HOUR_MS]
    assert [p.cap_per_job for p in end[5:9]] == [None, 50, 10, 1]
    assert [p.cap_total for p in end[8:]] == [None, 500, 50]


def test_what_the_user_turned_off_stays_off():
    end = climb(Policy(retention_ms=None, slim=False))[-1]
    assert end.retention_ms is None
    assert end.slim_idle_ms is None


@pytest.mark.parametrize(
    "bad",
    [
        {"cap_per_job": 0},
        {"cap_per_job": 4097},
        {"cap_total": 0},
        {"cap_total": 65_537},
        {"retention_ms": -1},
        {"max_lifetime_ms": -1},
        {"slim_idle_ms": -1},
        {"unknown": 1},
    ],
)
def test_bad_values_are_refused(bad):
    with pytest.raises(ValidationError):
        Policy(**bad)
