"""Late classes behave as those of the standard library, from whichever side they are first used."""

from __future__ import annotations

import copy
import dataclasses
import sys
import threading
from dataclasses import FrozenInstanceError, field, fields, is_dataclass, replace
from typing import Generic, TypeVar

import pytest

from tailflip.flow import late
from tailflip.flow.late import dataclass

T = TypeVar("T")


def make_classes(dataclass=dataclass):
    @dataclass(frozen=True)
    class Point:
        """A place."""

        x: int
        y: int = 2
        tags: list[str] = field(default_factory=list, compare=False, repr=False)

        @property
        def total(self) -> int:
            return self.x + self.y

    @dataclass(frozen=True)
    class Named(Point):
        name: str = "none"

    @dataclass
    class Counter:
        count: int = 0

        def __post_init__(self) -> None:
            self.count += 1

    return Point, Named, Counter


def is_waiting(cls):
    return cls in late._waiting


@pytest.mark.parametrize("decorate", [dataclass, dataclasses.dataclass])
def test_they_behave_as_those_of_the_standard_library(decorate):
    """The same questions to both, so that a difference between them fails."""
    point, named, counter = make_classes(decorate)
    one = point(1)
    assert (one.x, one.y, one.tags, one.total) == (1, 2, [], 3)
    assert one == point(1, tags=["other"]) != point(2)
    assert hash(one) == hash(point(1))
    assert repr(one).endswith("Point(x=1, y=2)")
    assert replace(one, y=5) == point(1, 5)
    assert copy.deepcopy(one) == one
    with pytest.raises(FrozenInstanceError):
        one.x = 3
    with pytest.raises(FrozenInstanceError):
        del one.x
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        point()
    with pytest.raises(TypeError, match="unexpected keyword argument 'z'"):
        point(1, z=1)
    assert named(1, name="n").name == "n"
    assert isinstance(named(1), point)
    assert named(1) != one
    assert [each.name for each in fields(named)] == ["x", "y", "tags", "name"]
    assert counter(4).count == 5
    with pytest.raises(TypeError, match="unhashable"):
        hash(counter())
    assert point.__doc__ == "A place."
    assert point.__name__ == "Point"
    assert point.__module__ == __name__
    match one:
        case point(x, y):
            assert (x, y) == (1, 2)


@pytest.mark.parametrize("decorate", [dataclass, dataclasses.dataclass])
def test_methods_of_its_own_stay(decorate):
    @decorate(frozen=True)
    class Spelt:  # noqa: PLW1641 - its hash is made
        x: int

        def __eq__(self, other: object) -> bool:
            return True

        def __repr__(self) -> str:
            return "spelt"

    @decorate
    class Hashed:
        x: int
        seen: list[object] = field(default_factory=list)

        def __hash__(self) -> int:
            return 7

    @decorate(frozen=True)
    class Marked:
        x: int
        note: str = field(default="", hash=False)
        unseen: int = field(default=0, compare=False)

    @decorate(frozen=True)
    class Empty:
        pass

    one = Hashed(1)
    one.seen.append(one)
    assert (repr(Spelt(1)), Spelt(1) == 5, hash(Spelt(1))) == ("spelt", True, hash(Spelt(1)))
    assert (hash(one), one == Hashed(1)) == (7, False)
    assert repr(one).endswith("Hashed(x=1, seen=[...])")
    assert hash(Marked(1, "a")) == hash(Marked(1, "b"))
    assert Marked(1, "a") != Marked(1, "b")
    assert Marked(1, unseen=1) == Marked(1, unseen=2)
    assert Marked(1).__eq__(1) is NotImplemented
    assert Empty() == Empty()
    assert {Empty(), Empty()} == {Empty()}


@pytest.mark.parametrize("decorate", [dataclass, dataclasses.dataclass])
def test_what_is_asked_for_beyond_is_made_as_well(decorate):
    @decorate(order=True)
    class Ranked:
        x: int

    @decorate(frozen=True, eq=False)
    class Unique:
        x: int

    assert Ranked(1) < Ranked(2)
    assert Ranked(1) == Ranked(1)
    assert Unique(1) != Unique(1)
    assert repr(Unique(1)).endswith("Unique(x=1)")


def test_nothing_is_compiled_before_the_first_use():
    @dataclass(frozen=True)
    class Point:
        x: int

    @dataclass
    class Other:
        x: int

    assert is_waiting(Point)
    assert Point(1).x == 1
    assert not is_waiting(Point)
    assert is_waiting(Other)


@pytest.mark.parametrize("use", [fields, is_dataclass, lambda cls: cls(1)])
def test_a_class_is_compiled_by_whatever_asks_for_it_first(use):
    @dataclass(frozen=True)
    class Point:
        x: int

    assert use(Point)
    assert not is_waiting(Point)
    assert Point(2).x == 2


def test_a_class_that_inherits_is_compiled_at_once():
    """Its first instance would find its parent's `__init__`, and take it for its own."""
    point, named, counter = make_classes()
    assert [is_waiting(each) for each in (point, named, counter)] == [False, False, True]


def test_a_class_that_only_inherits_is_made_as_well():
    @dataclass(frozen=True)
    class Point:
        x: int

    class Plain(Point):  # no dataclass of its own
        pass

    assert Plain(1).x == 1
    assert [each.name for each in fields(Plain)] == ["x"]


def test_a_generic_class_keeps_its_parameter():
    @dataclass(frozen=True)
    class Box(Generic[T]):
        content: T

    assert Box[int](3).content == 3
    assert Box[str].__args__ == (str,)


def test_a_class_without_fields_of_its_own_says_so():
    class Stranger(late._Late):
        pass

    assert not is_dataclass(Stranger)
    with pytest.raises(TypeError, match="Stranger is no dataclass"):
        Stranger(1)


def test_threads_that_make_the_first_one_together_each_get_theirs():
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(50):
            _, _, counter = make_classes()
            made, begin = [], threading.Barrier(4)

            def work(cls=counter, made=made, begin=begin):
                begin.wait()
                made.append(cls(count=1))

            threads = [threading.Thread(target=work) for _ in range(4)]
            for each in threads:
                each.start()
            for each in threads:
                each.join()
            assert made == [counter(1)] * 4
    finally:
        sys.setswitchinterval(interval_s)
