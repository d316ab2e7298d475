"""Storms, stuck jobs and growth: what is told, from which number on, and what is not."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailflip.diagnose.findings.inputs import Inputs
from tailflip.diagnose.findings.registry import find_all
from tailflip.diagnose.storms import (
    describe,
    find_least_gap_ms,
    find_storm,
    find_storms,
)
from tailflip.flow.conditions import Storm
from tailflip.flow.observed import Job, Schedule
from tailflip.reconcile.judge.growth import (
    DAY_MS,
    HOUR_MS,
)

NOW = 1_800_000_000_000
MIN = 60_000


def every(gap_ms):
    return Schedule("every", every_ms=gap_ms)


def cron(expression):
    return Schedule("cron", expression=expression)


def job(name="j", *, running=None, due=None, enabled=True, timeout=60 * MIN, schedule=None):
    schedule = schedule or every(15 * MIN)
    return Job(name, "report", enabled, "isolated", schedule, timeout, 0, running, due, None, "ok")


# --- storms


def test_the_incident_is_a_storm_with_its_measured_interval():
    starts = [NOW - 25 * MIN + int(n * 25 * MIN / 2074) for n in range(2075)]
    ((_, storm),) = find_storms([[(7, at) for at in starts], [(7, starts[0])]], {7: job()})
    (finding,) = find_all(Inputs(storms=(describe(job().title, job(), storm),))).findings
    assert storm.runs == 2075
    assert finding.message == (
        "2,075 runs in 25 min, one every 0.7 s; its schedule allows one every 15 min"
    )
    assert finding.subject == "report (j)"


@pytest.mark.parametrize(
    ("gap_ms", "allowed_ms", "is_storm"),
    [
        (20_000, 15 * MIN, True),
        (20_000, None, True),
        (29_999, None, True),
        (30_000, None, False),
        (119_999, 24 * HOUR_MS, True),
        (120_000, 24 * HOUR_MS, False),
        (15 * MIN, 15 * MIN, False),
        (10_000, 10_000, False),
        (4_999, 10_000, True),
    ],
)
def test_runs_closer_than_half_of_what_is_allowed_are_a_storm(gap_ms, allowed_ms, is_storm):
    starts = [NOW + n * gap_ms for n in range(12)]
    storm, count = find_storm(starts, allowed_ms)
    assert count == 12
    assert (storm is not None) == is_storm
    if storm is not None:
        assert (storm.runs, storm.interval_ms) == (12, gap_ms)


def test_nine_tries_by_hand_are_no_storm_and_ten_are():
    assert find_storm([NOW + n * 1000 for n in range(9)], DAY_MS)[0] is None
    assert find_storm([NOW + n * 1000 for n in range(10)], DAY_MS)[0] is not None


def test_the_longest_row_counts():
    rows = [NOW - HOUR_MS + n * 1000 for n in range(15)] + [NOW + n * 100 for n in range(11)]
    worst = Storm(15, NOW - HOUR_MS, NOW - HOUR_MS + 14_000)
    assert find_storm(rows, None) == (worst, 26)


def test_of_two_places_that_tell_of_the_same_runs_the_fuller_one_counts():
    """Both hold the runs of job 5: taken together, ten runs would be a storm of twenty."""
    rows = [(5, NOW + n * 1000) for n in range(10)]
    other = [(3, NOW + n) for n in range(30)], [(9, NOW + n) for n in range(12)]
    found = list(find_storms([other[0] + rows, rows[:6] + other[1]], {}))
    assert [(job_hash, storm.runs) for job_hash, storm in found] == [(3, 30), (5, 10), (9, 12)]


@pytest.mark.parametrize(
    ("schedule", "gap_ms"),
    [
        (every(900_000), 900_000),
        (cron("*/15 * * * *"), 15 * MIN),
        (cron("0 * * * *"), HOUR_MS),
        (cron("0 9 * * 1-5"), DAY_MS),
        (cron("0 9,17 * * *"), 8 * HOUR_MS),
        (cron("0,50 * * * *"), 10 * MIN),
        (cron("* * * * *"), MIN),
        (cron("*/10 * * * * *"), 10_000),
        (cron("30 0 9 * * *"), DAY_MS),
        (cron("5-10 3 * * *"), MIN),
        (cron("@daily"), None),
        (cron("H * * * *"), MIN),
        (Schedule("at", at_ms=5), None),
        (Schedule(), None),
    ],
)
def test_the_least_distance_is_read_off_a_schedule(schedule, gap_ms):
    assert find_least_gap_ms(schedule) == gap_ms


fields = st.lists(st.integers(0, 23), min_size=1, max_size=4, unique=True)


@given(fields, fields)
def test_no_two_slots_are_closer_than_the_least_distance(minutes, hours):
    gap = find_least_gap_ms(
        cron(f"{','.join(map(str, minutes))} {','.join(map(str, hours))} * * *")
    )
    slots = sorted((h * 60 + m) * MIN for h in hours for m in minutes)
    slots.append(slots[0] + DAY_MS)
    assert gap is not None
    assert gap <= min(b - a for a, b in pairwise(slots))


# --- stuck


# --- growth
