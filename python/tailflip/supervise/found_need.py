"""Finds whether stores explain an end that left no reason: they needed more heap than it had."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base.errors import TailflipError
from tailflip.flow.lives import StoreNeed
from tailflip.flow.outcomes import ActionKind
from tailflip.stores.archive import list_actions
from tailflip.supervise.admission import foresee
from tailflip.supervise.preparation import describe_start

if TYPE_CHECKING:
    from tailflip.supervise.context import GuardedGateway


def find_need(gateway: GuardedGateway, since_ms: int) -> StoreNeed | None:
    """Find the need of the stores at the end of a life, if the heap was too small for it.

    Args:
        gateway: whose life it was.
        since_ms: when the life began; what was compacted since then counts as it was before.
    """
    workspace = gateway.history.workspace
    try:
        told = foresee(describe_start(gateway), workspace)
        removed = sum(
            max(0, each.manifest.bytes_before - each.manifest.rewrite.bytes)
            for each in list_actions(workspace)
            if each.manifest is not None
            and each.action.kind == ActionKind.COMPACT
            and each.action.created_ms >= since_ms
            and gateway.owns(each.action.store)
        )
    except (TailflipError, OSError):
        return None
    limit, heap_bytes = told.limit_bytes, told.heap_bytes + int(removed * told.factor)
    if limit is None or not told.limit_known or heap_bytes <= limit:
        return None
    return StoreNeed(heap_bytes, limit, told.measured, was_compacted=removed > 0 and not told.over)
