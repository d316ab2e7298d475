"""Records the findings of `gate`, `run` and `watch`, as the registry words them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.diagnose.findings.registry import ENDED_BY_GOOD_LIFE, find_all

if TYPE_CHECKING:
    from tailflip.diagnose.findings.inputs import Inputs
    from tailflip.flow.findings import Finding
    from tailflip.supervise.context import GuardedGateway


def note(gateway: GuardedGateway, seen: Inputs) -> tuple[Finding, ...]:
    """Find what is wrong in the inputs, and update the findings on record."""
    looked = find_all(seen)
    gateway.record.note(looked.findings, looked.codes)
    return looked.findings


def note_good_life(gateway: GuardedGateway) -> None:
    """End the findings that a good life ends."""
    gateway.record.note((), ENDED_BY_GOOD_LIFE)
