"""Will the gateway survive its stores? Predicted heap against the limit it has.

How much heap a byte of store takes depends on the release; `factor_for` knows those that
were measured, each fitted to outcomes of the real gateway, all with Node 24 and stores of
about 28 KB an entry. The tests hold the tables. Where a fit had to choose, it predicts death:
every measured death is predicted, and a life only where a gateway at work lived too. A
release between two measured ones counts as the hungrier, which is enough for a warning and
for what loses next to nothing; a start is refused only with what was measured on the release.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.flow.outcomes import Forecast

if TYPE_CHECKING:
    from collections.abc import Iterable

WIDE_FACTOR = 2  # V8 keeps text outside Latin-1 in two bytes a character

# Of a release that is not known: the hungriest factor, but a base that refuses nobody whose
# stores are empty.
FACTOR = 22.0
BASE_BYTES = 200_000_000
# 2026.4.14 parses every store with a JSON5 parser before it opens its port. Dies with 13.5,
# 16 and 20 MB at a limit of 621 MB, with 120 at 2,349 and with 200 at 4,496; lives with 11
# at 621, 90 at 2,349 and 185 at 4,496. Of a limit, 201 MB are for young objects only. Entries
# of 700 bytes take no more: it lives with 11 MB of them at 621.
_JSON5 = (22.0, 330_000_000)
# 2026.3.28 holds text, objects and two clones of a store at once as soon as a cron run
# works on it. Dies with 185 MB at 2,349 MB, busy (idle it lives), with 300 at 2,349 and 500
# at 4,496; lives with 185 MB of wide text at 4,496, where it took 4.3 GB.
_PLAIN_JSON = (11.5, 230_000_000)
# 2026.9.6 imports the store whole, and half a minute later its sweep copies every row.
# With 185 MB it dies at limits of 537 to 738 MB and lives at 1,174 and 1,275. Once imported
# (106 MB of database) it dies at 587 and 738 and lives at 1,275; bytes are those in use.
_IMPORT = (5.0, 220_000_000)
_DATABASE = (5.0, 220_000_000)

# Two more were seen at their start only, too seldom for a fit. 2026.5.28 dies with 13.5, 20, 60
# and 110 MB at 621 and lives with 11, but dies with 90 at 2,349, 2 % above what it would take as
# 2026.4.14. 2026.7.35 lives with 20 and 110 MB at 621, dies with 185 and 250, with 110 of wide
# text, and with 110 at 470.
_MEASURED = {(2026, 3, 28): _PLAIN_JSON, (2026, 4, 14): _JSON5, (2026, 9, 6): _IMPORT}
_FIRST_DATABASE = (2026, 8, 1)

# No store in the tables takes more than it is predicted to, and no other that was tried more than
# 2 %. Entries of other shapes, and work that nobody measured, may: what stays below the limit
# by this factor did not fill the heap.
ERROR_FACTOR = 2.0
# Where nobody knows the limit: the smallest heap that a gateway with a small store was seen
# to live with, on 2026.3.28.
LEAST_LIMIT_BYTES = 448 << 20


def factor_for(version: tuple[int, int, int] | None, legacy_import: bool) -> tuple[float, int]:
    """Tell what a byte of store takes in the heap of a release, and what it needs without.

    Args:
        version: of the gateway; one that was never measured gets the most careful.
        legacy_import: the bytes are of a `sessions.json` that a release with databases is
            about to import, not of its databases. Older releases load them in any case.

    Returns:
        bytes of heap for a byte of store, and bytes of heap without any.
    """
    if version is None:
        return FACTOR, BASE_BYTES
    if version >= _FIRST_DATABASE:
        return _IMPORT if legacy_import else _DATABASE
    known = [each for each in _MEASURED if each < _FIRST_DATABASE]
    before = [each for each in known if each <= version]
    after = [each for each in known if each >= version]
    around = {*before[-1:], *after[:1]}
    return max(_MEASURED[each] for each in around)


def has_databases(version: tuple[int, int, int] | None) -> bool:
    """Say whether a release keeps sessions in databases, and imports a `sessions.json`."""
    return version is not None and version >= _FIRST_DATABASE


def is_measured(version: tuple[int, int, int] | None) -> bool:
    """Say whether the heap of this very release was measured: only then may a start be refused."""
    return version in _MEASURED


def may_fill_heap(told: Forecast, base_bytes: int, limit_bytes: int | None) -> bool:
    """Say whether stores can have filled the heap, the error of the prediction counted in.

    Args:
        told: what was predicted for them.
        base_bytes: what of it is there without stores.
        limit_bytes: the heap that was full, None where it is not known.
    """
    limit_bytes = LEAST_LIMIT_BYTES if limit_bytes is None else limit_bytes
    return base_bytes + ERROR_FACTOR * (told.heap_bytes - base_bytes) > limit_bytes


def forecast(  # noqa: PLR0917 - the order in which a prediction is spoken
    sizes_bytes: Iterable[int],
    wide: bool,
    limit_bytes: int | None,
    source: str,
    era_factor: float = FACTOR,
    base_bytes: int = BASE_BYTES,
    *,
    measured: bool = False,
) -> Forecast:
    """Predict the heap of a gateway that loads these stores.

    Args:
        sizes_bytes: of every store that the gateway loads.
        wide: one of them holds text outside Latin-1.
        limit_bytes: the heap the gateway may use, or None if that is unknown.
        source: where the limit is from, for people.
        era_factor: bytes of heap for a byte of store.
        base_bytes: heap of a gateway without sessions.
        measured: these two are of the very release.
    """
    factor = era_factor * WIDE_FACTOR if wide else era_factor
    heap_bytes = base_bytes + int(sum(sizes_bytes) * factor)
    return Forecast(heap_bytes, limit_bytes, factor, source, measured)
