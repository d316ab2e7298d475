"""The heap that the session stores of each release take, as it was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.flow.capabilities import HeapUse
from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from tailflip.flow.capabilities import Version


@dataclass(frozen=True)
class MeasuredHeap:
    """The heap that stores took in one release, fitted to the lives and deaths in `source`."""

    version: Version
    use: HeapUse
    source: str


# From this release on sessions are kept in databases; an older store is imported or refused.
DATABASES = (2026, 8, 1)

# Each fitted to outcomes of the real gateway, all with Node 24 and stores of about 28 KB an entry.
# Where a fit had to choose, it predicts death: every measured death is predicted, and a life where
# a gateway at work lived too. Limits count what V8 keeps for young objects: 201 MB on Node 24.
HEAPS: tuple[MeasuredHeap, ...] = (
    MeasuredHeap(
        (2026, 3, 28),
        HeapUse(11.5, 230_000_000),
        "holds text, objects and two clones of a store at once as soon as a cron run works on "
        "it. Dies with 185 MB at 2,349 MB, busy (idle it lives), with 300 at 2,349 and 500 at "
        "4,496; lives with 185 MB of wide text at 4,496, where it took 4.3 GB",
    ),
    MeasuredHeap(
        (2026, 4, 14),
        HeapUse(22.0, 330_000_000),
        "parses every store with a JSON5 parser before it opens its port. Dies with 13.5, 16 and "
        "20 MB at a limit of 621 MB, with 120 at 2,349 and with 200 at 4,496; lives with 11 at "
        "621, 90 at 2,349 and 185 at 4,496. "
        "Entries of 700 bytes take no more: it lives with 11 MB of them at 621",
    ),
    MeasuredHeap(
        (2026, 5, 28),
        HeapUse(28.1, 301_000_000),
        "parses as 2026.4.14 does, and keeps more. Smallest limits that live, busy: 525 MB with 8 "
        "MB of store, 974 with 24. Dies with 13.5, 20, 60 and 110 MB at 621 MB, with 90 at 2,349",
    ),
    MeasuredHeap(
        (2026, 6, 11),
        HeapUse(1.8, 387_000_000),
        "parses a store once, with the JSON parser of V8. Smallest limits that live, busy: 401 MB "
        "with 8 MB of store, 415 with 24, 567 with 110; lives with 185 MB at 704",
    ),
    MeasuredHeap(
        (2026, 7, 35),
        HeapUse(2.6, 382_000_000),
        "parses as 2026.6.11 does. Smallest limits that live, busy: 403 MB with 8 MB of store, "
        "431 with 24, 649 with 110; lives with 185 MB at 863. At its start alone it lives with "
        "110 MB at 621, and dies with 185 MB there and with 110 MB of wide text",
    ),
    MeasuredHeap(
        (2026, 9, 6),
        HeapUse(5.0, 220_000_000),
        "imports the store whole, and half a minute later its sweep copies every row. With "
        "185 MB it dies at limits of 537 to 738 MB and lives at 1,174 and 1,275",
    ),
)
# Of 2026.9.6; bytes are those that it loads: every entry at its start, and the events of runs that
# its sweep removes. Once imported (6,500 runs with 74 MB of entries) it dies at 587 and 738 and
# lives at 1,275.
_DATABASE_HEAP = HeapUse(7.5, 220_000_000)
# For an unknown release: the worst that was measured, of each. No start is refused for it, because
# it was not measured on the release at hand.
_UNKNOWN_HEAP = HeapUse(
    max(heap.use.factor for heap in HEAPS), max(heap.use.base_bytes for heap in HEAPS)
)


def is_measured(version: Version | None) -> bool:
    """Say whether the heap was measured on this very release."""
    return any(heap.version == version for heap in HEAPS)


def choose_database_heap() -> HeapUse:
    """Return the heap that the rows of databases take, as measured on one release."""
    return _DATABASE_HEAP


def choose_heap(version: Version | None) -> HeapUse:
    """Choose the heap that session stores take; between two measured ones, the hungrier counts."""
    if version is None:
        return _UNKNOWN_HEAP
    imports = version >= DATABASES
    kin = [heap for heap in HEAPS if (heap.version >= DATABASES) is imports]
    before = [heap for heap in kin if heap.version <= version]
    after = [heap for heap in kin if heap.version >= version]
    return max(
        (heap.use for heap in (*before[-1:], *after[:1])),
        key=lambda use: (use.factor, use.base_bytes),
    )
