"""A forecast's answers: it dies, it lives with little to spare, or it fits."""

from __future__ import annotations

import pytest

from tailflip.flow.outcomes import Forecast

ANSWERS = [
    # heap, limit: over, close
    (101, 100, True, False),
    (100, 100, False, True),
    (91, 100, False, True),
    (90, 100, False, False),
    (0, 100, False, False),
    (10**12, None, False, False),  # what cannot be told counts as fitting
]


@pytest.mark.parametrize(("heap", "limit", "over", "close"), ANSWERS)
def test_heap_against_limit(heap, limit, over, close):
    forecast = Forecast(heap, limit, factor=1.0, source="test", margin=0.9)
    assert (forecast.over, forecast.close) == (over, close)
    assert forecast.fits is not (over or close)


@pytest.mark.parametrize(
    ("measured", "release_known", "doubt"),
    [
        (True, True, None),
        (False, True, "not measured for this release"),
        (False, False, "the release is not known"),
        (True, False, "the release is not known"),
    ],
)
def test_why_the_figures_may_be_wrong(measured, release_known, doubt):
    forecast = Forecast(1, 2, 1.0, "test", measured=measured, release_known=release_known)
    assert forecast.doubt == doubt
