"""The engines that the suite is run for. A further one is one more line in `KINDS`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from support.agent_database import VERSIONS, dump, make_database, read_entries, write_entries
from support.stores import format_store, make_entries, make_store
from tailflip.base.state_dir import Home
from tailflip.stores.json.engine import JSON
from tailflip.stores.sqlite.engine import SQLITE

if TYPE_CHECKING:
    from pathlib import Path

    from tailflip.stores.engine import Engine

Entries = dict[str, Any]


class Kind(Protocol):
    """One engine, and what a test must be able to do to its stores behind its back."""

    engine: Engine
    place: str  # of a store, below the folder of its agent
    is_replaced: bool  # as a whole, by its draft

    def make(self, path: Path, entries: Entries | None = None) -> None:
        """Make a store of an everyday shape, or of these entries, where nothing is yet."""

    def read(self, path: Path) -> Entries:
        """Read all entries by other means than the engine's."""

    def write(self, path: Path, entries: Entries) -> None:
        """Do what the gateway does when it saves these entries."""

    def snapshot(self, path: Path) -> object:
        """Return all that the store holds, to be compared with another moment."""

    def damage(self, path: Path) -> None:
        """Leave a store that its gateway could not load."""

    def make_ambiguous(self, path: Path) -> bool:
        """Make what may be read and not rewritten; False if this kind knows no such thing."""


class JsonKind:
    """Stores of JSON, by Python's own parser."""

    engine = JSON
    place = "sessions/sessions.json"
    is_replaced = True

    def make(self, path: Path, entries: Entries | None = None) -> None:
        make_store(path, entries)

    def read(self, path: Path) -> Entries:
        return json.loads(path.read_bytes())

    def write(self, path: Path, entries: Entries) -> None:
        new = path.with_name("written")
        new.write_bytes(format_store(entries))
        new.replace(path)

    def snapshot(self, path: Path) -> object:
        return path.read_bytes()

    def damage(self, path: Path) -> None:
        path.write_bytes(path.read_bytes()[:-40])

    def make_ambiguous(self, path: Path) -> bool:
        path.parent.mkdir(parents=True)
        path.write_text('{"agent:main:main": {"n": 1}, "agent:main:main": {"n": 2}}')
        return True


class SqliteKind:
    """Databases of an agent, by the standard library alone."""

    engine = SQLITE
    place = "agent/openclaw-agent.sqlite"
    is_replaced = False

    def __init__(self, version: int) -> None:
        self.version = version

    def make(self, path: Path, entries: Entries | None = None) -> None:
        make_database(path, make_entries() if entries is None else entries, self.version)

    def read(self, path: Path) -> Entries:
        return read_entries(path)

    def write(self, path: Path, entries: Entries) -> None:
        write_entries(path, entries)

    def snapshot(self, path: Path) -> object:
        return dump(path)

    def damage(self, path: Path) -> None:
        with path.open("r+b") as file:
            file.write(b"no database at all")

    def make_ambiguous(self, path: Path) -> bool:
        return False


KINDS: dict[str, Kind] = {
    "json": JsonKind(),
    **{f"sqlite-{version}": SqliteKind(version) for version in VERSIONS},
}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


@pytest.fixture
def path(tmp_path, kind):
    return tmp_path / "openclaw" / "agents" / "main" / kind.place


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "tailflip")
