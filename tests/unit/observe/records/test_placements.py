from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from tailflip.base.errors import Unavailable
from tailflip.observe.records.placements import read_placed


@pytest.fixture
def path(tmp_path):
    found = tmp_path / "openclaw.sqlite"
    with closing(sqlite3.connect(found)) as db, db:
        db.execute("CREATE TABLE worker_session_placements (session_id, state, environment_id)")
    return found


def test_a_session_is_elsewhere_by_its_state_or_its_environment(path):
    rows = [("a", "local", None), ("b", "active", None), ("c", "local", "env"), ("d", "x", "env")]
    with closing(sqlite3.connect(path)) as db, db:
        db.executemany("INSERT INTO worker_session_placements VALUES (?, ?, ?)", rows)
    assert read_placed(path) == {"b", "c", "d"}


def test_a_release_without_the_table_has_none(tmp_path):
    path = tmp_path / "openclaw.sqlite"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE cron_jobs (job_id)")
    assert read_placed(path) == frozenset()


@pytest.mark.parametrize("data", [b"no database, and long enough" * 50, None])
def test_what_cannot_be_read_is_unknown_and_not_empty(tmp_path, data):
    path = tmp_path / "openclaw.sqlite"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(Unavailable, match="cannot be read"):
        read_placed(path)
