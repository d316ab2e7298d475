"""A place for malice, anew for every test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.hostile_installation import Place

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)
