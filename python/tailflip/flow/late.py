"""`dataclass` of the standard library, whose methods are compiled at a class's first use.

`dataclasses` compiles up to six methods a class, 0.2 to 0.4 ms, at each start of Python. Half of
the classes that a verb imports are never made by it: `bench/gate.py` shows what that costs. Of
those that are made, three methods need no compiler: they compare, hash and show the fields.
"""

from __future__ import annotations

import dataclasses
import threading
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from dataclasses import dataclass as dataclass  # noqa: PLC0414 - passed on
else:

    def dataclass(cls: type | None = None, /, **options: bool) -> Any:
        """Do what `dataclasses.dataclass` does, and compile the methods when they are needed.

        Args:
            cls: the class; it may not use `super()` without arguments, as with `slots=True`.
            options: those of the standard library but `slots` and `weakref_slot`.
        """
        if cls is None:
            return lambda decorated: dataclass(decorated, **options)
        if issubclass(cls, _Late):
            # It has an `__init__` already, its parent's: nobody would notice the first instance.
            return dataclasses.dataclass(cls, **options)
        left_out = {"__dict__", "__weakref__"}
        content = {name: it for name, it in vars(cls).items() if name not in left_out}
        bases = tuple(base for base in cls.__bases__ if base is not object)
        made = type(cls)(cls.__name__, (*bases, _Late), content)
        _waiting[made] = options
        return made


_waiting: dict[type, dict[str, bool]] = {}
# One class at a time: a thread waits until the other has compiled it.
_compiling = threading.RLock()


def _compile(cls: type) -> None:
    """Compile the methods of a class, or of the one that it inherits from, once."""
    with _compiling:
        for each in cls.__mro__:
            options = _waiting.pop(each, None)
            if options is None:
                continue
            is_plain = options.keys() <= {"frozen", "kw_only"}
            shown = {"eq": False, "repr": False} if is_plain else {}
            dataclasses.dataclass(**options, **shown)(each)
            if is_plain:
                _add_methods(each, is_frozen=options.get("frozen", False))


def _add_methods(cls: type, *, is_frozen: bool) -> None:
    """Add `__eq__`, `__hash__` and `__repr__` as the standard library would, and no others."""
    own = vars(cls)
    fields = dataclasses.fields(cls)
    compared = _getter(each.name for each in fields if each.compare)
    hashed = _getter(
        each.name for each in fields if (each.compare if each.hash is None else each.hash)
    )
    shown = [each.name for each in fields if each.repr]

    def equals(self: object, other: object) -> Any:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return compared(self) == compared(other)

    def to_hash(self: object) -> int:
        return hash(hashed(self))

    @recursive_repr()
    def show(self: object) -> str:
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in shown)
        return f"{self.__class__.__qualname__}({values})"

    # Python itself writes `__hash__ = None` into a class that has an `__eq__` alone.
    has_own_hash = own.get("__hash__") is not None
    made: dict[str, Any] = {"__eq__": equals, "__repr__": show}
    for name, method in made.items():
        if name not in own:
            setattr(cls, name, method)
    if not has_own_hash:
        cls.__hash__ = to_hash if is_frozen else None  # type: ignore[assignment]


def _getter(names: Iterable[str]) -> Callable[[object], Any]:
    """Give what reads the fields of an instance, as one value that can be compared and hashed."""
    each = tuple(names)
    return attrgetter(*each) if each else lambda _: ()


class _Fields:
    """Stands for `__dataclass_fields__`: who asks for the fields of a class gets them."""

    def __get__(self, instance: object, owner: type) -> Any:
        _compile(owner)
        for each in owner.__mro__:
            found = vars(each).get("__dataclass_fields__", self)
            if found is not self:
                return found
        raise AttributeError("__dataclass_fields__")


class _Late:
    """Stands below every such class: the first instance finds this `__init__`, the next its own."""

    __dataclass_fields__ = _Fields()

    def __init__(self, *args: Any, **named: Any) -> None:
        cls = type(self)
        _compile(cls)
        make: Callable[..., None] = cls.__init__
        if make is _Late.__init__:
            raise TypeError(f"{cls.__name__} is no dataclass")
        make(self, *args, **named)
