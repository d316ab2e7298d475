"""The engines that the suite is run for. A further one is one more line in `KINDS`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from support.stores import format_store, make_store
from tailflip.base.state_dir import Home
from tailflip.stores.json.engine import JSON

if TYPE_CHECKING:
    from pathlib import Path

    from tailflip.stores.engine import Engine

Entries = dict[str, Any]


class Kind(Protocol):
    """One engine, and what a test must be able to do to its stores behind its back."""

    engine: Engine

    def make(self, path: Path, entries: Entries | None = None) -> None:
        """Make a store of an everyday shape, or of these entries, where nothing is yet."""

    def read(self, path: Path) -> Entries:
        """Read all entries by other means than the engine's."""

    def write(self, path: Path, entries: Entries) -> None:
        """Do what the gateway does when it saves these entries."""

    def damage(self, path: Path) -> None:
        """Leave a store that its gateway could not load."""

    def make_ambiguous(self, path: Path) -> bool:
        """Make what may be read and not rewritten; False if this kind knows no such thing."""


class JsonKind:
    """Stores of JSON, by Python's own parser."""

    engine = JSON

    def make(self, path: Path, entries: Entries | None = None) -> None:
        make_store(path, entries)

    def read(self, path: Path) -> Entries:
        return json.loads(path.read_bytes())

    def write(self, path: Path, entries: Entries) -> None:
        new = path.with_name("written")
        new.write_bytes(format_store(entries))
        new.replace(path)

    def damage(self, path: Path) -> None:
        path.write_bytes(path.read_bytes()[:-40])

    def make_ambiguous(self, path: Path) -> bool:
        path.parent.mkdir(parents=True)
        path.write_text('{"agent:main:main": {"n": 1}, "agent:main:main": {"n": 2}}')
        return True


KINDS: tuple[Kind, ...] = (JsonKind(),)


@pytest.fixture(params=KINDS, ids=lambda kind: kind.engine.name)
def kind(request):
    return request.param


@pytest.fixture
def path(tmp_path):
    return tmp_path / "openclaw" / "agents" / "main" / "sessions" / "sessions.json"


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "tailflip")
