"""The heap of a release comes from what was measured; between two releases, the hungrier counts."""

from __future__ import annotations

import itertools

from tailflip.observe.gateway.heaps import (
    DATABASES,
    HEAPS,
    choose_database_heap,
    choose_heap,
    is_measured,
)


def test_each_measured_heap_names_what_it_was_fitted_to():
    assert [heap.version for heap in HEAPS] == sorted(heap.version for heap in HEAPS)
    assert all("MB" in heap.source for heap in HEAPS)


def test_a_measured_release_has_its_own_heap():
    for heap in HEAPS:
        assert is_measured(heap.version)
        assert choose_heap(heap.version) == heap.use


def test_between_two_releases_the_hungrier_counts():
    for before, after in itertools.pairwise(HEAPS):
        if (before.version >= DATABASES) != (after.version >= DATABASES):
            continue
        between = (*before.version[:2], before.version[2] + 1)
        if between == after.version:
            continue
        assert not is_measured(between)
        assert choose_heap(between).factor == max(before.use.factor, after.use.factor)


def test_an_unknown_release_is_taken_for_the_hungriest():
    factors = [heap.use.factor for heap in HEAPS]
    assert choose_heap(None).factor == max(factors)
    assert not is_measured(None)


def test_rows_of_a_database_take_less_than_a_file_of_an_unknown_release():
    """The form is read from the disk: what other releases make of a file says nothing of rows."""
    rows, file = choose_database_heap(), choose_heap(None)
    assert rows.factor < file.factor
    # 6,500 runs with 74 MB of entries: seen to die at 738 MB, and to live at 1,275.
    assert 738_000_000 < rows.base_bytes + rows.factor * 74_000_000 < 1_275_000_000
