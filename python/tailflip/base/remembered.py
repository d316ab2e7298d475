"""Remembers what was read, for one look at many gateways: the same files tell of all of them.

Outside of `remembering` nothing is remembered: every other look is at the present.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

_P = ParamSpec("_P")
_T = TypeVar("_T")

_memories: list[dict[Hashable, Any]] = []


@contextmanager
def remembering() -> Iterator[None]:
    """Remember while the block runs; one thread at a time."""
    _memories.append({})
    try:
        yield
    finally:
        _memories.pop()


def remembered(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Let a function answer once for the same arguments, which can be hashed, in such a block."""

    @wraps(function)
    def answer(*args: _P.args, **options: _P.kwargs) -> _T:
        if not _memories:
            return function(*args, **options)
        memory, key = _memories[-1], (function, args, tuple(options.items()))
        if key not in memory:
            memory[key] = function(*args, **options)
        found: _T = memory[key]
        return found

    return answer
