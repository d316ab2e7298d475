"""Every error has the exit code that the documentation gives it, and says whether to try again."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tailflip.base import errors
from tailflip.base.errors import TailflipError

EXIT_CODES = {
    "Usage": 64,
    "StoreInvalid": 65,
    "OnRecord": 65,
    "ArchiveDamaged": 65,
    "Unavailable": 69,
    "InternalError": 70,
    "CannotCreate": 73,
    "IoFailed": 74,
    "TryLater": 75,
    "StoreChanged": 75,
    "NoPermission": 77,
    "ConfigInvalid": 78,
    "Interrupted": 130,
    "Terminated": 143,
}
KINDS = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, TailflipError) and kind is not TailflipError
}


def test_every_error_has_its_exit_code():
    assert {name: kind.exit_code for name, kind in KINDS.items()} == EXIT_CODES


def test_the_drawn_tree_is_the_tree():
    drawn = dict(re.findall(r"── (\w+) +(\d{2,3})  ", errors.__doc__))
    assert drawn == {
        name: str(kind.exit_code) for name, kind in KINDS.items() if kind.__base__ is TailflipError
    }


@pytest.mark.parametrize("name", KINDS)
def test_trying_again_helps_only_where_the_moment_was_wrong(name):
    assert KINDS[name].retry is (name in ("TryLater", "StoreChanged"))


def test_an_error_carries_its_sentence_and_its_hint():
    error = errors.IoFailed("cannot use /x: bad disk", hint="another disk")
    assert (str(error), error.message, error.hint) == (
        "cannot use /x: bad disk",
        "cannot use /x: bad disk",
        "another disk",
    )
    assert errors.IoFailed("x").hint is None


def test_no_two_ways_to_say_no_share_a_code_by_accident():
    codes = [kind.exit_code for kind in KINDS.values() if kind.__base__ is TailflipError]
    assert len(codes) == len(set(codes))


def test_the_module_is_the_only_place_of_errors():
    """A code that is made elsewhere would be missing in the tree, and in the manual."""
    package = Path(errors.__file__).parents[1]
    made = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if re.search(r"^    exit_code = \d", path.read_text(), re.MULTILINE)
    }
    assert made == {"base/errors.py"}
