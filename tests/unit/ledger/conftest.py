"""The history of one gateway, empty; and one whose disk counts what is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.ledger_rows import DISK, GUARD
from support.stores import FaultyDisk
from tailflip.base.workspace import Workspace
from tailflip.ledger.history import History

if TYPE_CHECKING:
    from tailflip.base.state_dir import Home


@pytest.fixture
def history(home: Home) -> History:
    return History(Workspace(home, DISK), GUARD)


@pytest.fixture
def counted(home: Home) -> History:
    """A history whose disk counts commits; see `commits`."""
    History(Workspace(home, DISK), GUARD).facts.put("made", 1)
    return History(Workspace(home, FaultyDisk()), GUARD)
