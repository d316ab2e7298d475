"""Will the gateway survive loading its stores? Predicted heap against the limit it has.

Measured on 2026.4.14, whose start-up parses every store with a JSON5 parser: about 22
bytes of heap for a byte of store, twice that for text outside Latin-1, on top of what
an empty gateway needs. The base is chosen so that all measured outcomes come out right:
dies with 20 MB at a limit of 621 MB, with 120 at 2,349 and with 200 at 4,496 MB; lives
with 1, 90 and 185 MB there. Older releases need less, so the prediction errs on the safe side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.flow import Forecast

if TYPE_CHECKING:
    from collections.abc import Iterable

FACTOR = 22.0
WIDE_FACTOR = 2
BASE_BYTES = 200_000_000


def forecast(
    sizes_bytes: Iterable[int],
    wide: bool,
    limit_bytes: int | None,
    source: str,
    era_factor: float = FACTOR,
    base_bytes: int = BASE_BYTES,
) -> Forecast:
    """Predict the heap of a gateway that loads these stores.

    Args:
        sizes_bytes: of every store that the gateway loads.
        wide: one of them holds text outside Latin-1.
        limit_bytes: the heap the gateway may use, or None if that is unknown.
        source: where the limit is from, for people.
        era_factor: bytes of heap for a byte of store.
        base_bytes: heap of a gateway without sessions.
    """
    factor = era_factor * WIDE_FACTOR if wide else era_factor
    return Forecast(base_bytes + int(sum(sizes_bytes) * factor), limit_bytes, factor, source)
