"""A row that cannot be written or read is an error that names the ledger."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from support.ledger_rows import DISK, GUARD, make_life
from support.stores import FULL, FaultyDisk
from tailflip.base.errors import CannotCreate, IoFailed
from tailflip.base.workspace import Workspace
from tailflip.ledger.history import History


def test_a_disk_that_is_full_fails_the_write_and_keeps_what_was_there(home):
    History(Workspace(home, DISK), GUARD).lives.begin(make_life("kept"))
    full = History(Workspace(home, FaultyDisk(1, error=FULL)), GUARD)
    with pytest.raises(CannotCreate, match="No space"):
        full.lives.begin(make_life("failed"))
    assert [life.id for life in full.lives.read()] == ["kept"]


def test_a_row_that_we_did_not_write_is_an_error(history, home):
    history.lives.begin(make_life())
    with closing(sqlite3.connect(home.ledger)) as db, db:
        db.execute("UPDATE lives SET details = '{\"id\": 1}', stderr = x'00'")
    with pytest.raises(IoFailed, match=r"did not write: .*ledger\.sqlite"):
        history.lives.read()
    with pytest.raises(IoFailed, match="damaged"):
        history.lives.read_stderr("l1")
