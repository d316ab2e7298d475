"""Judges a version of Node by the range that a package asks for, as npm writes ranges.

The packages of OpenClaw use `>=`, `<` and `||` alone, with one to three numbers.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tailflip.flow.capabilities import Version

_TERM = re.compile(r"(>=|<)\s*v?([0-9]+)(?:\.([0-9]+))?(?:\.([0-9]+))?")


def allows(wanted: str, version: Version) -> bool:
    """Say whether a range allows a version; one that cannot be read allows all."""
    return any(_allows_all(part, version) for part in wanted.split("||"))


def _allows_all(part: str, version: Version) -> bool:
    terms = _TERM.findall(part)
    return all((version >= _numbers(term)) is (term[0] == ">=") for term in terms)


def _numbers(term: tuple[str, ...]) -> Version:
    major, minor, patch = (int(part or 0) for part in term[1:])
    return major, minor, patch
