"""A forecast's answers: it dies, it lives with little to spare, or it fits."""

from __future__ import annotations

import pytest

from tailflip.flow.outcomes import KIND_WORDS, ActionKind, Forecast, tell_undo

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


def test_every_kind_of_action_is_told_in_every_place():
    """Four tables had words for the same kinds, and a kind that one of them lacked broke it."""
    assert set(KIND_WORDS) == set(ActionKind)
    for words in KIND_WORDS.values():
        assert words.noun
        assert words.did[0].islower()


@pytest.mark.parametrize("kind", ActionKind)
def test_an_undo_is_told_alike_by_all(kind):
    """An alert once said `release` of a hold where its story said `restore`."""
    verb = "release" if kind is ActionKind.HOLD else "restore"
    assert tell_undo(kind, "a1") == f"tailflip {verb} a1 --apply"
