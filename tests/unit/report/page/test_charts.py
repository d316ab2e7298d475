"""A chart tells its numbers in words too, and stays small whatever it is given."""

from __future__ import annotations

import re

import pytest

from tailflip.report.page.charts import MOST_MARKS, MOST_POINTS, Mark, Series, draw, thin

HOUR_MS = 3_600_000


def make(points, limit=None, marks=()):
    return Series("Memory", 0, 24 * HOUR_MS, tuple(points), limit, tuple(marks))


def trace(series):
    return re.search(r'd="([^"]*)"', draw(series).text)[1]


def test_thinning_keeps_every_peak():
    points = [(n, 5 if n % 100 else 900) for n in range(5_000)]
    kept = thin(points)
    assert len(kept) <= MOST_POINTS
    assert sum(value == 900 for _, value in kept) == 50
    assert thin(points[:10]) == tuple(points[:10])


def test_nothing_measured_is_said():
    text = draw(make([])).text
    assert "nothing was measured" in text
    assert "<path" not in text


def test_one_point_is_a_point():
    assert 'class="point"' in draw(make([(HOUR_MS, 5)])).text


def test_a_line_is_broken_where_nothing_was_measured_for_long():
    assert trace(make([(0, 1), (HOUR_MS, 2), (20 * HOUR_MS, 3)])).count("M") == 2


@pytest.mark.parametrize(("limit", "is_shown"), [(1_000, True), (100_000, False), (None, False)])
def test_a_limit_is_shown_where_it_is_near(limit, is_shown):
    text = draw(make([(0, 500), (HOUR_MS, 600)], limit)).text
    assert ('class="limit"' in text) == is_shown
    assert ("- - limit" in text) == is_shown


def test_all_that_is_drawn_lies_inside():
    marks = [Mark(at, kind) for at in (-5, 0, 99 * HOUR_MS) for kind in ("death", "action")]
    text = draw(make([(-HOUR_MS, 0), (0, 7), (99 * HOUR_MS, 9)], 8, marks)).text
    for name, number in re.findall(r'\b(c?[xy][12]?)="(-?[0-9.]+)"', text):
        assert 0 <= float(number) <= (600 if "x" in name else 140), (name, number)


def test_marks_have_words_and_shapes_of_their_own():
    text = draw(make([(0, 1)], None, [Mark(0, "death"), Mark(1, "action")])).text
    assert "\N{BLACK CIRCLE} death" in text
    assert "\N{BLACK SQUARE} action" in text
    assert draw(make([], None, [Mark(0, "death")] * 9_999)).text.count("<circle") == MOST_MARKS
