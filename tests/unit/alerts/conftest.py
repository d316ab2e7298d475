"""A gateway's record in virtual time, and the receivers of its alerts."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.alert_scenes import Scene
from tailflip.base.state_dir import Home

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """In memory where there is room: no test here asks what a disk keeps."""
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tmp_path
    folder = tempfile.mkdtemp(prefix="tailflip-alerts-", dir=base)
    yield Home(Path(folder) / "state")
    shutil.rmtree(folder)


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
