"""Chooses the engine of a store from the file on the disk.

Every store that is read or written today is JSON. A file that is not JSON is a broken store, and
the JSON engine says so. An engine that recognises its own files comes before the JSON engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.stores.json.engine import JSON

if TYPE_CHECKING:
    from pathlib import Path

    from tailflip.stores.engine import Engine

ENGINES: tuple[Engine, ...] = (JSON,)


def find_engine(store: Path) -> Engine:
    """Find the engine of a store, whether its file is there or missing."""
    return next((engine for engine in ENGINES if engine.recognises(store)), JSON)
