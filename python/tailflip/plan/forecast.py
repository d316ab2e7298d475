"""Predicts the heap that stores take, against the gateway's limit.

The heap for a byte of store depends on the release; its `Capabilities` have it. A release that was
not measured counts as the hungrier of its neighbours: enough for a warning, and for changes that
lose next to nothing. Refusing a start takes a measurement on the release.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.flow.outcomes import Forecast

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tailflip.flow.capabilities import Capabilities, HeapUse
    from tailflip.flow.outcomes import HeapLimit

WIDE_FACTOR = 2  # V8 keeps text outside Latin-1 in two bytes a character

# No store in the tables takes more heap than predicted, and no other one that was tried more than
# 2 % more. Entries of other shapes, and work that was not measured, may take more: stores below
# the limit by this factor did not fill the heap.
ERROR_FACTOR = 2.0
# Where the limit is unknown: the smallest heap with which a gateway with a small store was seen
# to live, on 2026.3.28.
LEAST_LIMIT_BYTES = 448 << 20


def may_fill_heap(told: Forecast, limit_bytes: int | None) -> bool:
    """Say whether stores can have filled the heap, allowing for the prediction's error.

    Args:
        told: the prediction for the stores.
        limit_bytes: the heap that was full, None where it is unknown.
    """
    limit_bytes = LEAST_LIMIT_BYTES if limit_bytes is None else limit_bytes
    return told.base_bytes + ERROR_FACTOR * (told.heap_bytes - told.base_bytes) > limit_bytes


def forecast(
    sizes_bytes: Iterable[int],
    capabilities: Capabilities,
    limit: HeapLimit,
    *,
    wide: bool,
    use: HeapUse | None = None,
) -> Forecast:
    """Predict the heap of a gateway that loads these stores.

    Args:
        sizes_bytes: of every store that the gateway loads.
        capabilities: of the release that will load them.
        limit: the heap the gateway may use.
        wide: one of them holds text outside Latin-1.
        use: the heap that they take, where they are databases and not session stores.
    """
    use = capabilities.store_heap if use is None else use
    factor = _choose_factor(use, wide=wide)
    return Forecast(
        heap_bytes=use.base_bytes + int(sum(sizes_bytes) * factor),
        limit_bytes=limit.bytes,
        factor=factor,
        source=limit.source,
        measured=capabilities.is_measured,
        release_known=capabilities.is_known,
        base_bytes=use.base_bytes,
        margin=limit.margin,
        limit_known=limit.is_known,
    )


def find_largest_size(
    capabilities: Capabilities, limit_bytes: int, *, wide: bool, use: HeapUse | None = None
) -> int:
    """Compute how many bytes of store a heap can hold; at least 0. `use` as for `forecast`."""
    use = capabilities.store_heap if use is None else use
    return max(0, int((limit_bytes - use.base_bytes) / _choose_factor(use, wide=wide)))


def _choose_factor(use: HeapUse, *, wide: bool) -> float:
    return use.factor * WIDE_FACTOR if wide else use.factor
