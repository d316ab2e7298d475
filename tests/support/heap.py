"""Heap limits for stores of a given size, by what is said of an unknown release.

That is the worst that was measured, and changes with each release that is: tests ask here for a
limit that has the meaning they want.
"""

from __future__ import annotations

from tailflip.observe.gateway.capabilities import find_capabilities

USE = find_capabilities(None).store_heap
MARGIN = 0.9


def need(store_bytes: int) -> int:
    """The predicted heap."""
    return USE.base_bytes + int(store_bytes * USE.factor)


def make_roomy(store_bytes: int) -> int:
    """A limit that leaves the margin free."""
    return int(need(store_bytes) / MARGIN) + 1


def make_near(store_bytes: int) -> int:
    """A limit at which stores fit, and do not if the forecast is wrong by as much as it may be."""
    return (make_roomy(store_bytes) + need(2 * store_bytes)) // 2


def make_tight(store_bytes: int) -> int:
    """A limit that the stores are a little too large for."""
    return int(need(store_bytes) * 0.98)
