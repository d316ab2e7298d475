"""Makes the findings that sizes, names and small files show, for `run` and `watch`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base import log
from tailflip.diagnose.findings.registry import find_all
from tailflip.observe.records.forms import read_forms
from tailflip.stores.quick_look import look_quickly

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tailflip.flow.capabilities import Capabilities
    from tailflip.flow.findings import Finding, Looked
    from tailflip.flow.observed import Gateway
    from tailflip.flow.outcomes import HeapLimit
    from tailflip.ledger.findings import NotedFinding
    from tailflip.observe.installation import Installation


def find_quickly(
    installation: Installation,
    gateway: Gateway,
    root: Path,
    now_ms: int,
    *,
    capabilities: Capabilities | None = None,
    heap_limit: HeapLimit | None = None,
) -> Looked:
    """Make findings without reading a store.

    Args:
        installation: where to look.
        gateway: whether one lives there.
        root: our own state directory, whose disk may be full as well.
        now_ms: wall clock.
        capabilities: as for `look_quickly`.
        heap_limit: likewise.
    """
    forms = read_forms(installation)
    seen = look_quickly(
        installation,
        gateway,
        forms,
        root=root,
        now_ms=now_ms,
        capabilities=capabilities,
        heap_limit=heap_limit,
    )
    return find_all(seen)


def tell_new(found: Iterable[Finding], standing: Iterable[NotedFinding]) -> None:
    """Log each finding that does not stand on record yet."""
    known = {(each.finding.code, each.finding.subject) for each in standing}
    for each in found:
        if (each.code, each.subject) not in known:
            log.write(log.Level(each.severity), each.message, code=each.code, subject=each.subject)
