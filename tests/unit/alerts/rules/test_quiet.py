"""Quiet hours and the time of the digest, by the wall clock, also where it changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailflip.alerts.rules.quiet import find_last, find_loud, find_next, is_quiet, parse_quiet
from tailflip.base.errors import Usage

MINUTE, DAY = 60_000, 86_400_000


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("hours", "clock", "quiet"),
    [
        ("22:00-07:00", "21:59", False),
        ("22:00-07:00", "22:00", True),
        ("22:00-07:00", "00:00", True),
        ("22:00-07:00", "06:59", True),
        ("22:00-07:00", "07:00", False),
        ("13:00-14:30", "12:59", False),
        ("13:00-14:30", "13:00", True),
        ("13:00-14:30", "14:29", True),
        ("13:00-14:30", "14:30", False),
        ("", "03:00", False),
    ],
)
def test_a_moment_is_quiet_or_not(hours, clock, quiet):
    assert is_quiet(at(f"2026-02-02T{clock}Z"), hours) is quiet


@pytest.mark.parametrize(
    ("name", "now", "loud"),
    [
        ("Europe/Berlin", "2026-02-02T03:00:30+01:00", "2026-02-02T07:00+01:00"),
        ("Europe/Berlin", "2026-02-02T12:00:30+01:00", "2026-02-02T12:00:30+01:00"),
        ("Europe/Berlin", "2026-03-28T23:00+01:00", "2026-03-29T07:00+02:00"),  # forward at 02:00
        ("Europe/Berlin", "2026-10-24T23:00+02:00", "2026-10-25T07:00+01:00"),  # back at 03:00
        ("America/New_York", "2026-03-08T01:59:59-05:00", "2026-03-08T07:00-04:00"),
        ("Asia/Kathmandu", "2026-02-02T22:00+05:45", "2026-02-03T07:00+05:45"),
    ],
)
def test_quiet_hours_end_by_the_wall_clock(zone, name, now, loud):
    zone(name)
    assert find_loud(at(now), "22:00-07:00") == at(loud)


@pytest.mark.parametrize(
    ("now", "last", "following"),
    [
        ("2026-02-02T08:00Z", "2026-02-02T08:00Z", "2026-02-03T08:00Z"),
        ("2026-02-02T07:59:59Z", "2026-02-01T08:00Z", "2026-02-02T08:00Z"),
        ("2026-02-02T23:00Z", "2026-02-02T08:00Z", "2026-02-03T08:00Z"),
    ],
)
def test_the_last_and_the_next_time_of_a_day(now, last, following):
    assert find_last(at(now), "08:00") == at(last)
    assert find_next(at(now), "08:00") == at(following)


def test_a_time_that_a_day_leaves_out_is_the_one_after_the_gap(zone):
    zone("Europe/Berlin")
    assert find_last(at("2026-03-29T12:00+02:00"), "02:30") == at("2026-03-29T03:00+02:00")
    assert find_next(at("2026-03-29T00:00+01:00"), "02:30") == at("2026-03-29T03:00+02:00")


def test_a_time_that_a_day_has_twice_comes_first_by_the_old_clock(zone):
    zone("Europe/Berlin")
    first, second = at("2026-10-25T02:30+02:00"), at("2026-10-25T02:30+01:00")
    assert find_next(at("2026-10-25T00:00+02:00"), "02:30") == first
    assert find_last(at("2026-10-25T12:00+01:00"), "02:30") == second


YEAR = st.integers(at("2026-01-01T00:00Z"), at("2027-01-01T00:00Z"))
CLOCK = st.integers(0, 1_439).map(lambda each: f"{each // 60:02}:{each % 60:02}")


@given(now_ms=YEAR, begin=CLOCK, end=CLOCK)
@settings(max_examples=150, deadline=None)
def test_the_end_of_quiet_hours_is_the_first_loud_minute(now_ms, begin, end):
    if begin == end:
        return
    hours = f"{begin}-{end}"
    loud_ms = find_loud(now_ms, hours)
    assert not is_quiet(loud_ms, hours)
    assert now_ms <= loud_ms <= now_ms + DAY
    if loud_ms > now_ms:
        assert is_quiet(now_ms, hours)
        assert is_quiet(loud_ms - MINUTE, hours)


@given(now_ms=YEAR, clock=CLOCK)
@settings(max_examples=100, deadline=None)
def test_now_lies_between_the_last_and_the_next_time(now_ms, clock):
    last_ms, next_ms = find_last(now_ms, clock), find_next(now_ms, clock)
    assert last_ms <= now_ms < next_ms
    assert find_last(next_ms, clock) == next_ms
    assert find_next(last_ms, clock) == next_ms
    assert timedelta(milliseconds=next_ms - last_ms) == timedelta(days=1)
    local = datetime.fromtimestamp(last_ms / 1000, UTC)
    assert f"{local:%H:%M}" == clock


@pytest.mark.parametrize(
    "text", ["22:00", "22-7", "25:00-07:00", "22:60-07:00", "22:00-22:00", "x-y", "22:0-7:00"]
)
def test_what_are_no_quiet_hours(text):
    with pytest.raises(Usage):
        parse_quiet(text)
