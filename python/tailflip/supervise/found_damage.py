"""Looks whether a damaged database explains an end that left no reason."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tailflip.diagnose.causes import CAUSES
from tailflip.diagnose.deaths import classify
from tailflip.flow.lives import Confidence

if TYPE_CHECKING:
    from tailflip.flow.lives import Clues
    from tailflip.supervise.context import GuardedGateway


def look_into(gateway: GuardedGateway, clues: Clues) -> Clues:
    """Add the damaged databases to clues that explain nothing, or allow a guess alone."""
    death = classify(clues)
    if CAUSES[death.cause].is_explained and death.confidence is not Confidence.GUESS:
        return clues
    from tailflip.observe.records.forms import read_forms  # noqa: PLC0415 - most ends are clean

    installation = gateway.locate()
    if installation is None:
        return clues
    found = read_forms(installation).damaged
    return replace(clues, damaged=tuple(f"{each.path}: {each.why}" for each in found))
