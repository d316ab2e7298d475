"""A record names a file, in whatever way it writes the name; what cannot be read leaves a doubt."""

import sqlite3
from contextlib import closing

import pytest

from support.folders import Folders
from support.leftovers import LIVING, ORPHAN, Leftovers
from tailflip.reclaim.references import find_named
from tailflip.stores.target import look


class Place(Folders):
    def __init__(self, root):
        self.root = root
        self.left = Leftovers(self.store)

    def ask(self, *names):
        return find_named(look(self.make_env()), names)


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def escape(text):
    return "".join(f"\\u{ord(char):04x}" for char in text)


def test_the_store_names_its_session_and_nobody_names_another(place):
    named = place.ask(LIVING, ORPHAN)
    assert named.doubt is None
    assert named.names == {LIVING}


@pytest.mark.parametrize(
    "record",
    ["cron/jobs.json", "subagents/runs.json", "openclaw.json", "agents/main/agent/models.json"],
)
@pytest.mark.parametrize("write", [str, str.upper, escape])
def test_each_record_names_in_any_way_of_writing(place, record, write):
    path = place.state / record
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('{"jobs": [], "x": "/home/u/' + write(ORPHAN) + '.jsonl"}')
    assert ORPHAN in place.ask(ORPHAN).names


@pytest.mark.parametrize("kind", ["text", "blob", "json in json"])
def test_a_database_names_by_its_rows_also_across_its_pages(place, kind):
    """A name can be cut in two by the border of a page: the bytes of the file do not have it."""
    path = place.state / "tasks" / "runs.sqlite"
    path.parent.mkdir()
    value = "x" * 40_000 + {"json in json": escape(ORPHAN)}.get(kind, ORPHAN) + "y" * 40_000
    with closing(sqlite3.connect(path)) as db, db:
        db.execute('CREATE TABLE "odd ""name" (a, b)')
        db.execute(
            'INSERT INTO "odd ""name" VALUES (1, ?)',
            (value.encode() if kind == "blob" else value,),
        )
    assert ORPHAN in place.ask(ORPHAN).names


@pytest.mark.parametrize(
    "break_it",
    [
        lambda state: (state / "cron").mkdir() or (state / "cron" / "jobs.json").mkdir(),
        lambda state: (
            (state / "tasks").mkdir() or (state / "tasks" / "x.sqlite").write_bytes(b"no" * 9000)
        ),
    ],
    ids=["a folder", "no database"],
)
def test_a_record_that_cannot_be_read_leaves_all_in_doubt(place, break_it):
    break_it(place.state)
    assert "cannot be read" in place.ask(ORPHAN).doubt


def test_a_missing_store_leaves_all_in_doubt(place):
    (place.state / "agents" / "other" / "sessions").mkdir(parents=True)
    assert "is missing" in place.ask(ORPHAN).doubt
