"""Which engine a store has: told from what lies on the disk.

Every store that is read or written today is JSON, whatever is in the file: what is no JSON is a
broken store, and the engine says so. The first engine that knows a file as its own comes before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.stores.json.engine import JSON

if TYPE_CHECKING:
    from pathlib import Path

    from tailflip.stores.engine import Engine

ENGINES: tuple[Engine, ...] = (JSON,)


def find_engine(store: Path) -> Engine:
    """Find the engine of a store, be it there or not."""
    return next((engine for engine in ENGINES if engine.recognises(store)), JSON)
