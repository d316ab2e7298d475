"""Errors for people: each class has its own next step."""

from __future__ import annotations

import pytest

from tailflip.base import errors
from tailflip.base.errors import InternalError, StoreInvalid, TailflipError
from tailflip.base.render import format_error

CLASSES = [
    each
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, TailflipError) and each is not TailflipError
]


def read_hint(error: TailflipError) -> str:
    return format_error(error).splitlines()[1]


def test_no_two_classes_share_a_hint():
    """A damaged archive and a store on record both end with 65, and need different steps."""
    hints = {each: read_hint(each("it failed")) for each in CLASSES}
    assert len(set(hints.values())) == len(CLASSES)


@pytest.mark.parametrize("kind", CLASSES)
def test_whoever_raises_an_error_knows_best(kind):
    assert format_error(kind("it failed", hint="do this")) == "error: it failed\nhint: do this"


def test_a_class_without_a_hint_of_its_own_has_that_of_its_parent():
    class Odd(StoreInvalid):
        """A kind of invalid store that nobody has thought of yet."""

    assert read_hint(Odd("odd")) == read_hint(StoreInvalid("odd"))
    assert read_hint(TailflipError("odd")) == read_hint(InternalError("odd"))
