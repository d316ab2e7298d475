"""Room on a disk: which pace foretells that it will be full, and which does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailflip.observe.host.space import Space
from tailflip.reconcile.judge.room import MOST_POINTS, add_point, from_fact, judge_room, to_fact

NOW, HOUR_MS, GB = 1_800_000_000_000, 3_600_000, 10**9


def disk(free_gb):
    return Space(Path("/s"), 1, int(free_gb * GB), 100 * GB)


def record(frees_gb):
    """One measurement an hour, the last one now."""
    points = ()
    for n, free in enumerate(frees_gb):
        points = add_point(points, disk(free), NOW - (len(frees_gb) - 1 - n) * HOUR_MS)
    return points


def judge(frees_gb):
    return judge_room(record(frees_gb), disk(frees_gb[-1]), NOW)


def test_a_steady_loss_is_foretold_with_its_day():
    told = judge([40 - n * 0.25 for n in range(49)])  # 6 GB a day, 28 GB left
    assert told is not None
    assert told.bytes_a_day == pytest.approx(6 * GB)
    assert told.free_bytes == 28 * GB
    assert told.full_ms - NOW == pytest.approx(28 / 6 * 24 * HOUR_MS)
    assert told.span_ms == 48 * HOUR_MS


@pytest.mark.parametrize(
    "frees_gb",
    [
        [40 - n * 0.25 for n in range(24)],  # less than a day
        [40 - n * 0.15 for n in range(49)],  # 33 GB for nine days more
        [40.0] * 49,
        [30 + n * 0.05 for n in range(49)],
        [40.0] * 40 + [10.0] * 9,  # one large download
        [40 - n * 0.5 for n in range(49)] + [50.0],  # somebody made room
        [40.0],
    ],
)
def test_what_is_no_pace_is_not_foretold(frees_gb):
    assert judge(frees_gb) is None


def test_there_is_one_measurement_an_hour_for_three_days():
    points = record([50.0] * 200)
    assert len(points) == MOST_POINTS
    assert add_point(points, disk(49), NOW + HOUR_MS - 1) == points
    assert add_point(points, disk(49), NOW + HOUR_MS)[-1] == (NOW + HOUR_MS, 49 * GB)
    assert add_point(points, disk(60), NOW + 1) == ((NOW + 1, 60 * GB),)


def test_the_record_is_read_back_and_nonsense_counts_as_none():
    points = record([50.0, 49.0])
    assert from_fact(to_fact(points)) == points
    for nonsense in (None, 3, [[1]], [["a", "b"]], {"a": 1}):
        assert from_fact(nonsense) == ()
