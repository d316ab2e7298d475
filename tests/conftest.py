"""Fixtures for every test; being here also lets tests import `support`."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tailflip.base.state_dir import Home

if TYPE_CHECKING:
    from collections.abc import Iterator


# A worker of xdist says 80 columns: what tests read is a pipe, which has none.
os.environ.pop("COLUMNS", None)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A state directory of tailflip's own, not yet made."""
    return Home(tmp_path / "state")


@pytest.fixture
def in_memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is room: for tests that ask nothing of a disk."""
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tmp_path
    folder = Path(tempfile.mkdtemp(prefix="tailflip-", dir=base))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    """Where a store would be; the directory is not yet made."""
    return tmp_path / "agents" / "main" / "sessions" / "sessions.json"
