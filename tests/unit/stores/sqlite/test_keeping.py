from __future__ import annotations

import os
from contextlib import closing

import pytest

from support.agent_database import NODES, VERSIONS, add_entry, connect, dump, make_database
from support.stores import NOW_MS
from tailflip.base.errors import StoreChanged
from tailflip.stores.records import read_headers
from tailflip.stores.sqlite import keeping
from tailflip.stores.sqlite.keeping import choose_nodes, keep_nodes

BASE = "agent:main:cron:job"


def key(name):
    return f"{BASE}:run:{name}"


def entry(session, **more):
    return {"sessionId": session, "updatedAt": NOW_MS, "status": "running", **more}


@pytest.fixture(params=VERSIONS)
def path(request, tmp_path):
    found = tmp_path / "openclaw-agent.sqlite"
    base = {"sessionId": "newest", "updatedAt": NOW_MS}
    make_database(found, {BASE: base, key("a"): entry("a", lifecycleRevision="r")}, request.param)
    return found


@pytest.fixture
def fd(tmp_path):
    opened = os.open(tmp_path / "records", os.O_RDWR | os.O_CREAT)
    yield opened
    os.close(opened)


def keep(path, fd, *names):
    keys = [key(name) for name in names]
    chosen = choose_nodes(path, keys)
    kept, archived = keep_nodes(path, keys, fd, rule="online", now_ms=NOW_MS)
    assert [each._replace(bytes=0) for each in kept] == list(chosen)
    return kept, archived


def add(path, name, told, **columns):
    with closing(connect(path)) as db, db:
        add_entry(db, key(name), told)
        for column, value in columns.items():
            db.execute(f"UPDATE {NODES} SET {column} = ? WHERE session_key = ?", (value, key(name)))


def test_a_node_is_archived_with_all_its_rows_and_the_database_stays_as_it_is(path, fd):
    before = dump(path)
    (kept,), archived = keep(path, fd, "gone", "a")
    assert (kept.key, kept.session, kept.updated_ms) == (key("a"), "a", NOW_MS)
    assert (kept.status, kept.revision) == ("running", "r")
    assert archived.records == 1
    assert dump(path) == before
    os.lseek(fd, 0, os.SEEK_SET)
    (header,) = read_headers(fd)
    assert (header.key, header.job, header.session, header.after) == (key("a"), "job", "a", None)
    assert header.bytes == kept.bytes > len('{"sessionId":"a"}')


@pytest.mark.parametrize(
    ("told", "columns"),
    [
        (entry("newest"), {}),
        (entry("x"), {"entry_valid": 0}),
        (entry("x"), {"pinned_at": 1}),
        (entry("x"), {"status": "done"}),
        (entry("x"), {"updated_at": 1, "entry_valid": 1}),
        (entry("x"), {"current_session_id": "y", "entry_valid": 1}),
        (entry("x"), {"entry_json": "{broken", "entry_valid": 1}),
    ],
)
def test_a_node_that_is_unproven_pinned_or_shared_is_passed_over(path, fd, told, columns):
    add(path, "x", told, **columns)
    assert [each.key for each in keep(path, fd, "x", "a")[0]] == [key("a")]


def test_a_node_that_another_names_in_any_field_is_passed_over(path, fd):
    add(path, "x", entry("x"))
    with closing(connect(path)) as db, db:
        add_entry(db, "agent:main:main", entry("m", note={"of": ["x"]}))
    assert [each.key for each in keep(path, fd, "x", "a")[0]] == [key("a")]


@pytest.mark.parametrize("link", ["spawned_by", "parent_session_key"])
def test_a_node_with_a_descendant_that_runs_is_passed_over(path, fd, link):
    add(path, "child", entry("child"), **{link: key("a")})
    assert [each.key for each in keep(path, fd, "a")[0]] == []


def test_a_run_of_a_job_whose_own_node_runs_is_passed_over(path, fd):
    """Somebody chats there, under a session that may have been the run's."""
    with closing(connect(path)) as db, db:
        db.execute(f"UPDATE {NODES} SET status = 'running' WHERE session_key = ?", (BASE,))
    assert keep(path, fd, "a")[0] == ()


def test_a_write_in_the_middle_is_noticed(path, fd, monkeypatch):
    read_schema, writes = keeping._note_those_that_stay, []

    def write_then_note(db, keys):
        if not writes:
            writes.append(1)
            add(path, f"late-{os.urandom(4).hex()}", entry(os.urandom(4).hex()))
        read_schema(db, keys)

    monkeypatch.setattr(keeping, "_note_those_that_stay", write_then_note)
    with pytest.raises(StoreChanged):
        choose_nodes(path, [key("a")])
    writes.clear()
    with pytest.raises(StoreChanged):
        keep_nodes(path, [key("a")], fd, rule="online", now_ms=NOW_MS)
