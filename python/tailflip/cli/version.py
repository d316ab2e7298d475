"""`tailflip version`: print version and engine."""

from __future__ import annotations

import tailflip
from tailflip.stores.extension import features


def describe() -> str:
    """Name the version and what the engine can do."""
    return f"tailflip {tailflip.__version__} ({features()})"


def version() -> None:
    """Print version and engine, as `tailflip --version` does."""
    print(describe())
