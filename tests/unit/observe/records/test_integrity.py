"""A damaged page is found wherever it lies; what is whole or cannot be read is none."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from support.agent_database import make_database
from tailflip.observe.records.integrity import find_damage

if TYPE_CHECKING:
    from pathlib import Path

_PAGE = 4096


def test_a_damaged_page_of_rows_is_found(tmp_path: Path) -> None:
    path = tmp_path / "openclaw-agent.sqlite"
    entries = {f"agent:main:{n}": {"sessionId": f"s{n}", "text": "x" * 900} for n in range(200)}
    make_database(path, entries)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (root,) = db.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'session_nodes'"
        ).fetchone()
    assert find_damage([path]) == ()
    with path.open("r+b") as file:
        file.seek((root - 1) * _PAGE)
        file.write(b"garbage" * 500)
    (found,) = find_damage([path])
    assert found.path == str(path)
    assert found.why


def test_what_is_missing_or_no_file_is_not_damaged(tmp_path: Path) -> None:
    assert find_damage([tmp_path, tmp_path / "none"]) == ()


def test_what_is_no_database_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "openclaw.sqlite"
    path.write_bytes(b"garbage" * 1000)
    assert [each.why for each in find_damage([path])] == ["file is not a database"]
