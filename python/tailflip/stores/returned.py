"""Counts entries that came back after an action, because a writer saved an older snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.flow.observed import OverRun
from tailflip.stores.archive import reading_records
from tailflip.stores.formats import find_engine
from tailflip.stores.records import read_headers
from tailflip.stores.tables import Ends

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailflip.base.state_dir import Home
    from tailflip.flow.numbers import ListedEntry
    from tailflip.flow.observed import Store

_GONE, _ENDED = "killed", "done"  # the fate of an entry, in the words of the table


def count_returned(home: Home, store: Store, actions: Sequence[str]) -> int:
    """Count entries that are back, or "running" again, after actions removed or ended them."""
    changed = Ends()
    for action in actions:
        with reading_records(home, action) as fd:
            for header in read_headers(fd):
                what = _GONE if header.after is None else _ENDED
                changed.add(OverRun(header.key, what, header.time_ms, 0))
    return sum(_is_back(changed, entry) for entry in find_engine(store.path).entries(store.path))


def _is_back(changed: Ends, entry: ListedEntry) -> bool:
    found = changed.find(entry.key)
    return found is not None and (found[0] == _GONE or entry.status == "running")
