"""Where the crash tests live: in memory if there is room, for none of them waits for a disk."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_MEMORY = Path("/dev/shm")
_ENOUGH_BYTES = 1 << 30


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory where there is one: nothing here waits for a disk."""
    has_room = os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ENOUGH_BYTES
    base = _MEMORY if has_room else None
    made = Path(tempfile.mkdtemp(prefix="tailflip-crash-", dir=base))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def tmp_path(folder: Path) -> Path:
    """The same, under pytest's own name."""
    return folder
