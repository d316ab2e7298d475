"""The forecast says what the real gateway was seen to do."""

from __future__ import annotations

import pytest

from tailflip.flow.outcomes import HeapLimit
from tailflip.observe.gateway.capabilities import find_capabilities
from tailflip.plan.forecast import find_largest_size, forecast, may_fill_heap

MB = 1_000_000
MIB = 1 << 20
UNKNOWN = find_capabilities(None)


def told(sizes, version, limit_bytes, *, wide=False):
    """What is predicted for a release."""
    limit = HeapLimit(limit_bytes, "measured")
    return forecast(sizes, find_capabilities(version), limit, wide=wide)


# Limits in MiB as node reports them: --max-old-space-size plus 192.
@pytest.mark.parametrize(
    ("version", "store_mb", "wide", "limit_mib", "dies"),
    [
        # 2026.3.28 at work: cron runs, agent turns, lists
        ((2026, 3, 28), 185, False, 4288, False),
        ((2026, 3, 28), 185, False, 2240, True),
        ((2026, 3, 28), 185, False, 960, True),
        ((2026, 3, 28), 185, True, 2240, True),
        ((2026, 3, 28), 185, True, 4288, False),
        ((2026, 3, 28), 300, False, 2240, True),
        ((2026, 3, 28), 300, False, 4288, False),
        ((2026, 3, 28), 500, False, 4288, True),
        ((2026, 3, 28), 400, True, 4288, True),
        ((2026, 3, 28), 60, False, 448, True),
        ((2026, 3, 28), 1, False, 448, False),
        ((2026, 3, 28), 16, False, 448, False),
        # 2026.4.14 at its start
        ((2026, 4, 14), 185, False, 2240, True),
        ((2026, 4, 14), 185, False, 4288, False),
        ((2026, 4, 14), 185, True, 4288, True),
        ((2026, 4, 14), 200, False, 4288, True),
        ((2026, 4, 14), 120, False, 2240, True),
        ((2026, 4, 14), 90, False, 2240, False),
        ((2026, 4, 14), 20, False, 592, True),
        ((2026, 4, 14), 16, False, 592, True),
        ((2026, 4, 14), 13.5, False, 592, True),
        ((2026, 4, 14), 11, False, 592, False),
        ((2026, 4, 14), 1, False, 592, False),
        # 2026.5.28 at its start
        ((2026, 5, 28), 90, False, 2240, True),
        ((2026, 5, 28), 13.5, False, 592, True),
        ((2026, 5, 28), 11, False, 592, False),
        # 2026.7.35 at its start
        ((2026, 7, 35), 250, False, 592, True),
        ((2026, 7, 35), 185, False, 592, True),
        ((2026, 7, 35), 110, False, 2240, False),
        ((2026, 7, 35), 20, False, 592, False),
        # 2026.9.6, import and first sweep
        ((2026, 9, 6), 185, False, 512, True),
        ((2026, 9, 6), 185, False, 576, True),
        ((2026, 9, 6), 185, False, 640, True),
        ((2026, 9, 6), 185, False, 704, True),
        ((2026, 9, 6), 185, False, 560, True),  # container of 1 GiB
        ((2026, 9, 6), 185, False, 1120, False),  # container of 2 GiB
        ((2026, 9, 6), 185, False, 1216, False),
        ((2026, 9, 6), 185, False, 4288, False),
        ((2026, 9, 6), 60, False, 4288, False),
        ((2026, 9, 6), 60, False, 576, False),
        ((2026, 9, 6), 1, False, 576, False),
    ],
)
def test_measured_outcomes_of_a_release(version, store_mb, wide, limit_mib, dies):
    found = told([store_mb * MB], version, limit_mib * MIB, wide=wide)
    assert found.over == dies, found
    assert found.doubt is None


@pytest.mark.parametrize(("limit_mib", "dies"), [(560, True), (704, True), (1216, False)])
def test_measured_outcomes_of_an_imported_database(limit_mib, dies):
    can = find_capabilities((2026, 9, 6))
    limit = HeapLimit(limit_mib * MIB, "measured")
    found = forecast([106_127_360], can, limit, wide=False, use=can.database_heap)
    assert found.over == dies, found


def test_what_admission_leaves_fits_where_the_loop_was_measured():
    """2026.9.6 with 384 MB of heap must start on what is left, margin of a tenth included."""
    assert told([20 * MB], (2026, 9, 6), 576 * MIB).fits


@pytest.mark.parametrize("version", [(2026, 3, 29), (2026, 4, 13), (2026, 4, 14)])
def test_a_release_between_two_measured_ones_counts_as_the_hungrier(version):
    hungrier = find_capabilities((2026, 4, 14)).store_heap
    assert find_capabilities(version).store_heap == hungrier


def test_only_what_was_measured_counts_as_that():
    assert find_capabilities((2026, 4, 14)).is_measured
    assert find_capabilities((2026, 9, 6)).is_measured
    others = (None, (2026, 4, 13), (2026, 5, 27), (2026, 7, 36), (2026, 9, 7))
    assert not any(find_capabilities(version).is_measured for version in others)


def test_a_release_that_nobody_knows_is_not_called_one_that_was_not_measured():
    assert told([MB], None, None).doubt == "the release is not known"
    assert told([MB], (2026, 5, 27), None).doubt == "not measured for this release"


def test_a_forecast_cannot_be_made_without_a_release():
    with pytest.raises(TypeError, match="capabilities"):
        forecast([MB], limit=HeapLimit(None, "s"), wide=False)


@pytest.mark.parametrize("wide", [False, True])
def test_the_largest_size_is_where_the_forecast_turns(wide):
    can, limit_bytes = find_capabilities((2026, 4, 14)), 2240 * MIB
    most = find_largest_size(can, limit_bytes, wide=wide)
    assert not told([most], (2026, 4, 14), limit_bytes, wide=wide).over
    assert told([most + 1], (2026, 4, 14), limit_bytes, wide=wide).over
    assert find_largest_size(can, 0, wide=wide) == 0


@pytest.mark.parametrize(
    ("version", "store_mb", "limit_mib"),
    [
        ((2026, 5, 28), 13.5, 592),
        ((2026, 5, 28), 20, 592),
        ((2026, 5, 28), 60, 592),
        ((2026, 5, 28), 90, 2240),
        ((2026, 5, 28), 110, 592),
        ((2026, 7, 35), 110, 448),
        ((2026, 7, 35), 185, 592),
        ((2026, 7, 35), 250, 592),
    ],
)
def test_stores_that_killed_a_release_at_its_start_are_among_the_suspects(
    version, store_mb, limit_mib
):
    limit_bytes = limit_mib * MIB
    assert may_fill_heap(told([int(store_mb * MB)], version, limit_bytes), limit_bytes)


@pytest.mark.parametrize(
    ("store_mb", "limit_bytes", "may"),
    [
        (0.07, 4_496 * MB, False),  # openclaw/openclaw #82401
        (90, 2_349 * MB, True),  # fits by 39 MB
        (40, 2_349 * MB, False),
        (50, 2_349 * MB, True),
        (1, None, False),
        (10, None, True),
    ],
)
def test_what_may_have_filled_a_heap(store_mb, limit_bytes, may):
    found = told([int(store_mb * MB)], (2026, 4, 14), limit_bytes)
    assert may_fill_heap(found, limit_bytes) is may


def test_an_unknown_release_is_the_worst_of_all():
    known = [find_capabilities((2026, month, 1)).store_heap for month in range(1, 13)]
    assert max(use.factor for use in known) <= UNKNOWN.store_heap.factor
    assert max(use.base_bytes for use in known) <= UNKNOWN.store_heap.base_bytes


def test_all_stores_count_together():
    one = told([60 * MB], None, 2240 * MIB)
    two = told([60 * MB, 60 * MB], None, 2240 * MIB)
    assert not one.over
    assert two.over
    factor = UNKNOWN.store_heap.factor
    assert two.heap_bytes - one.heap_bytes == pytest.approx(60 * MB * factor, abs=1)


def test_an_unknown_limit_is_never_exceeded():
    assert not told([10**12], None, None, wide=True).over
