"""A trend depends on what was measured, not on its unit, its order or its clock."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tailflip.diagnose.trend import find_trend
from tailflip.flow.observed import Sample

NOW = 1_800_000_000_000
SAMPLES = st.lists(
    st.builds(
        Sample,
        at_ms=st.integers(NOW - 10**8, NOW + 10**6),
        rss_bytes=st.none() | st.integers(0, 10**11),
        stores_bytes=st.none(),
    ),
    max_size=80,
)
LEAKS = st.builds(
    lambda slope, ground, noise: [
        Sample(NOW - (200 - at) * 30_000, ground + at * slope * 30 + noise[at % len(noise)], None)
        for at in range(201)
    ],
    slope=st.integers(10_000, 10**7),
    ground=st.integers(10**8, 10**9),
    noise=st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=30),
)


@given(SAMPLES, st.integers(1, 10**11))
def test_any_samples_give_a_sane_answer(samples, limit_bytes):
    trend = find_trend(samples, limit_bytes, now_ms=NOW)
    if trend is not None:
        assert trend.bytes_per_s > 0
        assert trend.hits_ms >= NOW
        assert trend.span_s >= 600


@given(SAMPLES | LEAKS, st.randoms(use_true_random=False))
def test_order_does_not_matter(samples, rng):
    shuffled = rng.sample(samples, len(samples))
    assert find_trend(shuffled, 10**10, now_ms=NOW) == find_trend(samples, 10**10, now_ms=NOW)


@given(LEAKS, st.integers(2, 1000))
def test_the_unit_does_not_matter(samples, unit):
    """Ten times the memory under ten times the limit hits it at the same time."""
    scaled = [Sample(each.at_ms, each.rss_bytes * unit, None) for each in samples]
    one = find_trend(samples, 10**10, now_ms=NOW)
    other = find_trend(scaled, 10**10 * unit, now_ms=NOW)
    assert (one is None) == (other is None)
    if one is not None and other is not None:
        left_ms = max(1, one.hits_ms - NOW)
        assert abs(other.hits_ms - one.hits_ms) <= 2 + 1e-6 * left_ms


@given(LEAKS, st.integers(-(10**9), 10**9))
def test_the_clock_does_not_matter(samples, shift_ms):
    shifted = [Sample(each.at_ms + shift_ms, each.rss_bytes, None) for each in samples]
    one = find_trend(samples, 10**10, now_ms=NOW)
    other = find_trend(shifted, 10**10, now_ms=NOW + shift_ms)
    assert (one is None) == (other is None)
    if one is not None and other is not None:
        left_ms = max(1, one.hits_ms - NOW)
        assert abs(other.hits_ms - shift_ms - one.hits_ms) <= 2 + 1e-3 * left_ms


@given(LEAKS)
def test_a_smaller_limit_is_hit_sooner(samples):
    far = find_trend(samples, 10**11, now_ms=NOW)
    near = find_trend(samples, 10**10, now_ms=NOW)
    assert (far is None) == (near is None)
    if far is not None and near is not None:
        assert near.hits_ms <= far.hits_ms
