"""Growth of a store: what is told of it, from which number on, and what is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tailflip.diagnose.findings.inputs import Inputs
from tailflip.diagnose.findings.registry import find_all
from tailflip.reconcile.judge.growth import (
    HOUR_MS,
    MOST_POINTS,
    Point,
    add_point,
    find_growth,
    from_fact,
    judge_growth,
    to_fact,
)

NOW = 1_800_000_000_000

MIN = 60_000


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
