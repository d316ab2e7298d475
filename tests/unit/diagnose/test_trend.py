"""Memory that leaks is told from memory that merely breathes."""

from __future__ import annotations

import math
import random
import time

import pytest

from tailflip.diagnose.trend import find_trend
from tailflip.flow.observed import Sample

NOW = 1_800_000_000_000
MB = 1_000_000
LIMIT = 2300 * MB


def watch(level, *, span_s=3600, every_s=15):
    """Samples up to now; `level` says how much memory at how many seconds after the first."""
    return [
        Sample(NOW - span_s * 1000 + at_s * 1000, int(level(at_s)), 1000)
        for at_s in range(0, span_s + 1, every_s)
    ]


def saw(at_s, height=300 * MB, period_s=97):
    return height * (at_s % period_s) / period_s


def noise(at_s, height=40 * MB):
    return random.Random(at_s).uniform(-height, height)


SHAPES = {
    "flat": lambda _: 900 * MB,
    "noise": lambda s: 900 * MB + noise(s),
    "saw": lambda s: 700 * MB + saw(s),
    "slow saw": lambda s: 700 * MB + saw(s, period_s=1100),
    "falls": lambda s: 1500 * MB - s * 0.1 * MB,
    "one step": lambda s: (600 if s < 1800 else 900) * MB,
    "warms up, then still": lambda s: 900 * MB - 500 * MB * math.exp(-s / 300),
    "start-up, then flat": lambda s: min(900, 300 + 10 * s) * MB,
    "spike": lambda s: (2200 if 1700 < s < 1900 else 800) * MB,
    "crawls": lambda s: 900 * MB + s * 1000,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_no_trend_where_memory_does_not_grow(shape):
    assert find_trend(watch(SHAPES[shape]), LIMIT, now_ms=NOW) is None


@pytest.mark.parametrize("pace", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("shape", ["flat", "noise", "saw"])
def test_a_leak_under_any_breath_is_found_with_its_time(shape, pace):
    """It says when the teeth of the saw reach the limit: within a sixth of the time left."""
    samples = watch(lambda s: SHAPES[shape](s) + s * pace * MB)
    trend = find_trend(samples, LIMIT, now_ms=NOW)
    assert trend is not None
    assert trend.bytes_per_s == pytest.approx(pace * MB, rel=0.15)
    assert (trend.span_s, trend.limit_bytes) == (3600, LIMIT)
    top = {"flat": 900, "noise": 930, "saw": 1000}[shape]
    left_s = (LIMIT - (top + 3600 * pace) * MB) / (pace * MB)
    assert (trend.hits_ms - NOW) / 1000 == pytest.approx(left_s, rel=0.17)


def test_a_leak_of_days_seen_by_sparse_samples_is_found():
    """389 MB to 14.7 GB in four days, as users reported it; a sample an hour."""
    samples = watch(lambda s: 389 * MB + s * 0.0414 * MB, span_s=86_400, every_s=3600)
    trend = find_trend(samples, 14_700 * MB, now_ms=NOW)
    assert trend is not None
    assert (trend.hits_ms - NOW) / 86_400_000 == pytest.approx(3, rel=0.05)


def test_too_short_or_too_few_is_no_trend():
    leak = watch(lambda s: 500 * MB + s * MB)
    young = [sample for sample in leak if sample.at_ms > NOW - 590_000]
    assert find_trend(young, LIMIT, now_ms=NOW) is None
    assert find_trend(young, LIMIT, now_ms=NOW, min_span_s=300) is not None
    assert find_trend(leak[::60], LIMIT, now_ms=NOW) is None
    assert find_trend([], LIMIT, now_ms=NOW) is None


def test_memory_at_its_limit_hits_it_now():
    trend = find_trend(watch(lambda s: 2000 * MB + s * MB), LIMIT, now_ms=NOW)
    assert trend is not None
    assert trend.hits_ms == NOW


def test_samples_without_memory_or_from_the_future_say_nothing():
    leak = watch(lambda s: 500 * MB + s * 0.2 * MB)
    blind = [Sample(sample.at_ms + 1, None, 5) for sample in leak]
    future = [Sample(NOW + 60_000, 1, 5)]
    assert find_trend(blind, LIMIT, now_ms=NOW) is None
    assert find_trend(leak + blind + future, LIMIT, now_ms=NOW) == find_trend(
        leak, LIMIT, now_ms=NOW
    )


def test_a_day_of_samples_costs_the_loop_next_to_nothing():
    samples = watch(lambda s: 500 * MB + saw(s) + s * 0.01 * MB, span_s=86_400)
    find_trend(samples, LIMIT, now_ms=NOW)
    started = time.process_time()
    find_trend(samples, LIMIT, now_ms=NOW)
    assert time.process_time() - started < 0.1
