"""The ledger's file, and the way from one schema to the next."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from support.ledger_rows import DISK, count_rows, make_life
from tailflip.base.workspace import Workspace
from tailflip.ledger.actions import Ledger


def test_a_ledger_of_the_first_schema_is_brought_up_to_date(history, home):
    """Whoever used `compact` before there was a supervisor keeps the record of what it did."""
    home.create(DISK)
    with closing(sqlite3.connect(home.ledger)) as db, db:
        db.execute("PRAGMA user_version = 1")
        db.execute(
            "CREATE TABLE actions (id TEXT PRIMARY KEY, kind TEXT NOT NULL, store TEXT NOT NULL,"
            " state TEXT NOT NULL, created_ms INTEGER NOT NULL, details TEXT NOT NULL) STRICT"
        )
        db.execute("INSERT INTO actions VALUES ('a', 'compact', '/s', 'done', 1, '{}')")
    history.lives.begin(make_life())
    assert history.lives.read() == (make_life(),)
    assert count_rows(home, "actions") == 1


def test_a_file_of_no_bytes_holds_nothing_and_is_not_written_to_be_read(history, home):
    """A full disk left one, and `status` and `incidents` ended with "database or disk is full"."""
    home.create(DISK)
    home.ledger.touch(0o600)
    assert history.lives.read() == ()
    assert history.incidents.read() == ()
    assert Ledger(Workspace(home, DISK)).read_all() == ()
    assert home.ledger.stat().st_size == 0
    history.lives.begin(make_life())
    assert history.lives.read() == (make_life(),)
