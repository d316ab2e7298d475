"""Asks files and texts which of some names they have, and compares files, by the extension."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip import _native
from tailflip.stores.extension import run_native

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MOST_NAMES = _native.MAX_MENTIONS


class Mentions:
    """At most `MOST_NAMES` names that are asked for, and which of them occurred so far.

    Raises ValueError for a name that `can_ask` refuses, and for too many.
    """

    def __init__(self, names: Sequence[str]) -> None:
        """Ask for names."""
        self._names = names
        self._native = _native.Mentions(list(names))

    def scan(self, fd: int) -> None:
        """Read a file from its first byte to its last."""
        run_native(lambda c: self._native.scan(fd, c), None)

    def read(self, text: bytes) -> None:
        """Read one text."""
        self._native.begin()
        self._native.feed(text)

    def found(self) -> Iterable[str]:
        """Return the names that occurred so far."""
        return (self._names[at] for at in self._native.found())


def can_ask(name: str) -> bool:
    """Say whether a name is long and plain enough to be looked for."""
    shortest, longest = _native.MIN_MENTION_BYTES, _native.MAX_MENTION_BYTES
    return name.isascii() and "\\" not in name and shortest <= len(name) <= longest


def compare(fd: int, other_fd: int = -1) -> tuple[int, str, bool]:
    """Digest a file: its bytes, their BLAKE3, and whether the other file begins with them."""
    return run_native(lambda c: _native.compare(fd, other_fd, c), None)
