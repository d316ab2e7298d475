"""Chooses the engine of a store from the file on the disk.

A file that is of no kind is a broken store of JSON, and the JSON engine says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.stores.json.engine import JSON
from tailflip.stores.sqlite.engine import SQLITE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from pathlib import Path

    from tailflip.flow.numbers import ArchiveNumbers, KeptEntry
    from tailflip.stores.engine import Engine
    from tailflip.stores.sqlite.adopting import Adopter, Living

ENGINES: tuple[Engine, ...] = (SQLITE, JSON)


def find_engine(store: Path) -> Engine:
    """Find the engine of a store, whether its file is there or missing."""
    return next((engine for engine in ENGINES if engine.recognises(store)), JSON)


def may_change_database(schema: int) -> bool:
    """Say whether rows of an agent's database of this schema may be changed."""
    from tailflip.stores.sqlite.schema import KNOWN_VERSIONS  # noqa: PLC0415 - a start needs none

    return schema in KNOWN_VERSIONS


def choose_rows(store: Path, keys: Sequence[str]) -> tuple[KeptEntry, ...]:
    """Choose nodes of an agent's database that stand alone; errors as `choose_nodes`."""
    from tailflip.stores.sqlite.keeping import choose_nodes  # noqa: PLC0415 - a start needs none

    return choose_nodes(store, keys)


def keep_rows(
    store: Path, keys: Sequence[str], fd: int, *, rule: str, now_ms: int
) -> tuple[tuple[KeptEntry, ...], ArchiveNumbers]:
    """Archive nodes of an agent's database as they are; arguments and errors as `keep_nodes`."""
    from tailflip.stores.sqlite.keeping import keep_nodes  # noqa: PLC0415 - a start needs none

    return keep_nodes(store, keys, fd, rule=rule, now_ms=now_ms)


def find_living(database: Path, keys: Iterable[str], sessions: Iterable[str]) -> Living:
    """Look which keys and sessions live in an agent's database."""
    from tailflip.stores.sqlite import adopting  # noqa: PLC0415 - a start needs none

    return adopting.find_living(database, keys, sessions)


def adopt(fd: int, used: Collection[str], version: int | None, now_ms: int) -> Adopter:
    """Begin an archive of nodes from databases that an import made; arguments as `Adopter`'s."""
    from tailflip.stores.sqlite.adopting import Adopter  # noqa: PLC0415 - a start needs none

    return Adopter(fd, used, version, now_ms)
