"""Storms, stuck jobs and growth: what is told, from which number on, and what is not."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailflip.diagnose.findings.inputs import Inputs
from tailflip.diagnose.findings.registry import find_all
from tailflip.flow.conditions import Storm
from tailflip.flow.observed import Gateway, Job, Schedule
from tailflip.observe.records.runlog import RunLine
from tailflip.reconcile.judge.growth import (
    DAY_MS,
    HOUR_MS,
    MOST_POINTS,
    Point,
    add_point,
    find_growth,
    from_fact,
    judge_growth,
    to_fact,
)
from tailflip.reconcile.judge.storms import (
    describe,
    find_least_gap_ms,
    find_storm,
    find_storms,
)
from tailflip.reconcile.judge.stuck import find_stuck, pick_ends

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

LIVING = Gateway(True, 7, NOW - 10 * HOUR_MS, "x")


def stuck(jobs, ends=(), gateway=LIVING, at_work=()):
    found = find_stuck(jobs, pick_ends(jobs, ends), gateway, NOW, at_work)
    marks = [("job-stuck", job.enabled) for job, _ in found.marked]
    return [*marks, *(("job-overdue", False) for _ in found.overdue)]


def test_a_mark_older_than_the_run_may_take_is_stuck_long_before_two_hours():
    assert stuck([job(running=NOW - 64 * MIN)]) == []
    assert stuck([job(running=NOW - 66 * MIN)]) == [("job-stuck", True)]
    assert stuck([job(running=NOW - 16 * MIN, timeout=10 * MIN)]) == [("job-stuck", True)]
    assert stuck([job(running=NOW - 9 * HOUR_MS, timeout=0)]) == [], "may run for ever"
    assert stuck([job(running=NOW - 66 * MIN, enabled=False)]) == [("job-stuck", False)]


def test_a_batch_waits_for_all_its_runs():
    batch = [job("a", running=NOW - 66 * MIN), job("b", running=NOW - 66 * MIN)]
    assert stuck(batch) == []
    assert stuck([replace(each, running_at_ms=NOW - 126 * MIN) for each in batch]) == [
        ("job-stuck", True),
        ("job-stuck", True),
    ]
    late = [replace(each, running_at_ms=NOW - 126 * MIN) for each in batch]
    assert stuck(late, at_work={"b"}) == [], "somebody of the batch is at work"


def test_a_mark_whose_run_has_its_line_is_stuck():
    began = NOW - 20 * MIN
    line = RunLine("j", None, None, "done", began + 5, NOW - 6 * MIN)
    assert stuck([job(running=began)], [line]) == [("job-stuck", True)]
    fresh = line._replace(ended_ms=NOW - MIN)
    assert stuck([job(running=began)], [fresh]) == []
    earlier = line._replace(started_ms=began - 5)
    assert stuck([job(running=began)], [earlier]) == []


def test_a_mark_of_an_earlier_gateway_is_stuck_and_says_so():
    found = find_stuck([job(running=NOW - 11 * HOUR_MS, timeout=0)], {}, LIVING, NOW, ())
    ((_, mark),) = found.marked
    (finding,) = find_all(Inputs(now_ms=NOW, stuck=(mark,))).findings
    assert "older than the gateway" in finding.message
    assert "its run history is empty" in finding.evidence


@pytest.mark.parametrize("alive", [False, None])
def test_only_a_living_gateway_has_stuck_jobs(alive):
    gateway = Gateway(alive, None, None, "x")
    assert stuck([job(running=NOW - 9 * HOUR_MS)], gateway=gateway) == []


def test_a_job_that_was_due_while_the_scheduler_idles_is_overdue():
    late = job(due=NOW - 16 * MIN)
    assert stuck([late]) == [("job-overdue", False)]
    assert stuck([late, job("busy", running=NOW - MIN)]) == [], "a batch is running"
    assert stuck([replace(late, enabled=False)]) == []
    assert stuck([job(due=NOW - MIN)]) == []
    assert stuck([late], gateway=replace(LIVING, started_ms=NOW - MIN)) == [], "just started"


# --- growth


def points(count, *, a_day=24_000_000, start=1_000_000, jobs=True):
    step = a_day / 24
    return [
        Point(
            NOW - (count - 1 - n) * HOUR_MS,
            int(n * 10),
            int(start + n * step),
            {"big": (n * 8, int(n * step * 0.9)), "small": (n, 10)} if jobs else {},
        )
        for n in range(count)
    ]


def test_growth_is_measured_and_the_day_it_hurts_foretold():
    growth = find_growth(points(10))
    assert growth is not None
    assert growth.bytes_a_day == pytest.approx(24_000_000, rel=0.01)
    assert growth.entries_a_day == pytest.approx(240)
    assert [name for name, _, _ in growth.jobs] == ["big"]
    told = judge_growth(
        "s", growth, 10_000_000, hurts_at_bytes=250_000_000, now_ms=NOW, names={"big": "the big"}
    )
    assert told is not None
    (finding,) = find_all(Inputs(growth=(told,))).findings
    assert "24.0 MB a day; on 2027-01-25 the gateway's heap cannot load it" in finding.message
    assert "the big: 192 runs and 21.6 MB a day" in finding.evidence


@pytest.mark.parametrize(
    ("size", "hurts_at"), [(10_000_000, None), (10_000_000, 750_000_000), (300, 200)]
)
def test_what_is_far_off_or_past_is_not_foretold(size, hurts_at):
    growth = find_growth(points(10))
    assert growth is not None
    assert judge_growth("s", growth, size, hurts_at_bytes=hurts_at, now_ms=NOW, names={}) is None


def test_too_little_is_no_measurement():
    assert find_growth([]) is None
    assert find_growth(points(3)[:2]) is None
    assert find_growth(points(3)) is None, "2 h are no span"
    assert find_growth(points(4)) is not None


def test_one_odd_measurement_says_nothing():
    odd = points(12)
    odd[6] = replace(odd[6], bytes=900_000_000)
    growth = find_growth(odd)
    assert growth is not None
    assert growth.bytes_a_day == pytest.approx(24_000_000, rel=0.05)


def test_points_are_one_an_hour_bounded_and_begin_anew_after_a_compaction():
    kept = ()
    for point in points(200):
        kept = add_point(kept, point)
    assert len(kept) == MOST_POINTS
    again = replace(kept[-1], at_ms=kept[-1].at_ms + MIN)
    assert add_point(kept, again) == kept
    small = replace(kept[-1], at_ms=kept[-1].at_ms + MIN, bytes=5)
    assert add_point(kept, small) == (small,)


def test_points_survive_the_ledger_and_nonsense_is_none():
    kept = tuple(points(5))
    assert from_fact(to_fact(kept)) == kept
    for nonsense in (None, 7, [[1]], [["a", 1, 1, {}]], [[1, 1, 1, {"j": []}]]):
        assert from_fact(nonsense) == ()
