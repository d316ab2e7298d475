"""Measurements are written when they are news."""

from __future__ import annotations

import pytest

from support.ledger_rows import GUARD, MB, commits
from support.stores import NOW_MS, FaultyDisk
from tailflip.base.workspace import Workspace
from tailflip.flow.observed import Sample
from tailflip.ledger.history import History

SAMPLES = [
    # minutes later, rss, stores, same life: written?
    (1, 100 * MB, 10 * MB, True, False),
    (1, 105 * MB, 10 * MB, True, False),
    (1, 106 * MB, 10 * MB, True, True),
    (1, 94 * MB, 10 * MB, True, True),
    (1, 100 * MB, 10 * MB + MB // 10, True, False),
    (1, 100 * MB, 10 * MB + MB // 5, True, True),
    (1, None, 10 * MB, True, True),
    (1, 100 * MB, None, True, True),
    (59, 100 * MB, 10 * MB, True, False),
    (60, 100 * MB, 10 * MB, True, True),
    (-1, 100 * MB, 10 * MB, True, True),
    (1, 100 * MB, 10 * MB, False, True),
]


@pytest.mark.parametrize("fresh", [False, True], ids=["same process", "after a restart"])
@pytest.mark.parametrize("row", SAMPLES, ids=str)
def test_a_sample_is_written_when_it_is_news(counted, home, row, fresh):
    minutes, rss, stores, same_life, written = row
    first = Sample(NOW_MS, 100 * MB, 10 * MB)
    assert counted.samples.record(first, "l1") is True
    history = History(Workspace(home, FaultyDisk()), GUARD) if fresh else counted
    before = commits(history)
    sample = Sample(NOW_MS + minutes * 60_000, rss, stores)
    assert history.samples.record(sample, "l1" if same_life else "l2") is written
    assert commits(history) - before == written
    expected = sorted([first, sample] if written else [first], key=lambda s: s.at_ms)
    assert list(history.samples.read(0)) == expected


def test_slow_growth_is_compared_with_what_was_written_not_with_the_last_look(history):
    rss = [int(100 * MB * 1.01**n) for n in range(60)]
    written = [history.samples.record(Sample(NOW_MS + n, r, None), "l") for n, r in enumerate(rss)]
    assert 9 <= sum(written) <= 12


def test_samples_of_one_life_or_since_a_moment(history):
    for n, life in enumerate(["a", "a", "b"]):
        history.samples.record(Sample(NOW_MS + n, 2**n * MB, None), life)
    assert [s.at_ms - NOW_MS for s in history.samples.read(NOW_MS + 1)] == [1, 2]
    assert [s.at_ms - NOW_MS for s in history.samples.read(0, life_id="a")] == [0, 1]
