"""A gateway's record in virtual time, and the receivers of its alerts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from support.alert_scenes import Scene
from tailflip.base.state_dir import Home

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def home(in_memory: Path) -> Home:
    """In memory: no test here asks what a disk keeps."""
    return Home(in_memory / "state")


@pytest.fixture
def scene(home: Home, monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(home, monkeypatch)


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Set the time zone of this host."""

    def move(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    move("UTC")
    yield move
    monkeypatch.undo()
    time.tzset()
