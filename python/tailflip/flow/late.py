"""`dataclass` of the standard library, whose methods are compiled at a class's first use.

`dataclasses` compiles up to six methods a class, 0.2 to 0.4 ms, at each start of Python. Half of
the classes that a verb imports are never made by it: `bench/gate.py` shows what that costs.
"""

from __future__ import annotations

import dataclasses
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
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
            if options is not None:
                dataclasses.dataclass(**options)(each)


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
