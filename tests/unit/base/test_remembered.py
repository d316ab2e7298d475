"""What was read is remembered for one look, and for no longer."""

from __future__ import annotations

from contextlib import suppress

import pytest

from tailflip.base.remembered import remembered, remembering


@pytest.fixture
def counted():
    asked = []

    @remembered
    def look(name, *, twice=False):
        asked.append(name)
        return name * (2 if twice else 1)

    return look, asked


def test_outside_of_a_look_everything_is_read_anew(counted):
    look, asked = counted
    assert [look("a"), look("a")] == ["a", "a"]
    assert asked == ["a", "a"]


def test_within_one_each_question_is_asked_once(counted):
    look, asked = counted
    with remembering():
        assert [look("a"), look("a"), look("b"), look("a", twice=True)] == ["a", "a", "b", "aa"]
    assert asked == ["a", "b", "a"]


def test_the_next_look_remembers_nothing(counted):
    look, asked = counted
    for _ in range(2):
        with remembering():
            look("a")
    assert asked == ["a", "a"]


def test_a_look_that_fails_is_over(counted):
    look, asked = counted
    with suppress(ValueError), remembering():
        look("a")
        raise ValueError
    look("a")
    assert asked == ["a", "a"]


def test_an_error_is_no_answer():
    asked = []

    @remembered
    def fail():
        asked.append(1)
        raise OSError

    with remembering():
        for _ in range(2):
            with pytest.raises(OSError):
                fail()
    assert asked == [1, 1]
