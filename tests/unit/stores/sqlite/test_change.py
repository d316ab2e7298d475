"""What a compaction does to a database, row by row, and what a restore makes of it again."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing

import pytest

from support.agent_database import (
    FTS,
    NODES,
    WINDOWS,
    add_entry,
    add_window,
    connect,
    dump,
    make_database,
)
from support.stores import GONE, HOUR_MS, JOB, NOW_MS, make_entries, make_entry, run_key
from tailflip.base.durable import RealDisk
from tailflip.base.errors import ArchiveDamaged, IoFailed, TailflipError, Unavailable
from tailflip.base.workspace import Workspace
from tailflip.flow.observed import Store
from tailflip.plan.policy import Policy
from tailflip.stores.restore import restore
from tailflip.stores.sqlite import change, drafting, finish
from tailflip.stores.sqlite.library import Text, prepare
from tailflip.stores.transaction import compact_store

BASE = f"agent:main:cron:{JOB}"
OLD_MS = NOW_MS - 60 * HOUR_MS


def compact(path, workspace, policy=None):
    return compact_store(
        Store(path, "main"), policy or Policy(), GONE, workspace=workspace, now_ms=NOW_MS
    )


def put_back(path, workspace, **wanted):
    wanted = wanted or {"everything": True}
    return restore(workspace, apply=True, now_ms=NOW_MS + 1, store=path, **wanted)


def run(path, *statements):
    with closing(connect(path)) as db, db:
        for statement, *values in statements:
            db.execute(statement, values)


def ask(path, statement, *values):
    with closing(connect(path)) as db:
        return db.execute(statement, values).fetchall()


def list_columns(db, table):
    return db.execute(f"PRAGMA table_info({table})").fetchall()


def fill_every_table(path, key, session):
    """Put a row into every table that hangs on a node or on its window."""
    filled = set()
    with closing(connect(path)) as db, db:
        db.execute(
            "INSERT INTO conversations (conversation_id, channel, account_id, kind, peer_id,"
            " delivery_target, created_at, updated_at)"
            " VALUES ('talk', 'telegram', 'a', 'direct', 'p', 'd', 1, 1)"
        )
        names = [
            name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        links = {
            name: [row[2] for row in db.execute(f"PRAGMA foreign_key_list({name})")]
            for name in names
            if "_fts" not in name
        }
        below, todo = {NODES}, True
        while todo:
            more = {name for name, to in links.items() if below & set(to)} - below
            todo, below = bool(more), below | more
        for name in sorted(below - {NODES, WINDOWS}, key=lambda name: (name != "board_tabs", name)):
            values = {}
            for _, column, kind, not_null, _, at, *_ in list_columns(db, name):
                if column in ("session_key", "session_id"):
                    values[column] = key if column == "session_key" else session
                elif column == "conversation_id":
                    values[column] = "talk"
                elif column in ("seq", "event_seq") and "transcript" in name:
                    values[column] = 0
                elif column == "tab_id":
                    values[column] = "tab"
                elif not_null or at or kind == "BLOB":
                    values[column] = {"BLOB": b"\x00\xff<html>", "INTEGER": 3}.get(
                        kind, "text \x00"
                    )
            marks = ", ".join("?" * len(values))
            done = db.execute(
                f"INSERT OR IGNORE INTO {name} ({', '.join(values)}) VALUES ({marks})",
                list(values.values()),
            )
            if done.rowcount:
                filled.add(name)
    return below, filled


def test_every_row_that_hangs_on_a_run_comes_back(path, workspace):
    key, session = run_key("run-1"), "run-1"
    below, filled = fill_every_table(path, key, session)
    assert len(below) > 15
    assert len(filled) >= len(below) - 4, below - filled
    before = dump(path)
    report = compact(path, workspace)
    gone = dump(path)
    own = (repr(session), repr(key))
    held = {name for name, rows in before.items() if any(each in repr(rows) for each in own)}
    assert held >= filled
    left = {name for name in held if any(each in repr(gone[name]) for each in own)}
    assert left == set()
    assert gone["conversations"] == before["conversations"], "it is not the run's alone"
    put_back(path, workspace)
    assert dump(path) == before
    assert report.bytes_after < report.bytes_before


def test_text_of_the_index_gets_a_new_number_where_its_own_is_taken(path, workspace):
    compact(path, workspace)
    new = f"INSERT INTO {FTS} (rowid, text, session_id) VALUES (?, 'new', 'other')"
    taken = {row[0] for row in ask(path, f"SELECT rowid FROM {FTS}")}
    run(path, *[(new, n) for n in range(1, 9) if n not in taken])
    put_back(path, workspace)
    found = ask(
        path,
        "SELECT session_id FROM session_transcript_fts WHERE session_transcript_fts MATCH 'words'",
    )
    assert {row[0] for row in found} >= {"run-1", "run-2"}
    [(other,)] = ask(path, "SELECT count(*) FROM session_transcript_fts WHERE session_id = 'other'")
    assert other > 0


def test_a_window_that_another_node_uses_goes_to_that_node(path, workspace):
    """A run that was killed half-way leaves its job's base with a window of the run's."""
    before_base = make_entry("run-2", HOUR_MS)
    run(
        path,
        (f"UPDATE {NODES} SET current_session_id = 'run-2', entry_json = ? WHERE session_key = ?",
         json.dumps(before_base, separators=(",", ":")), BASE),
        (f"UPDATE {NODES} SET entry_valid = 1 WHERE session_key = ?", BASE),
    )  # fmt: skip
    before = dump(path)
    compact(path, workspace)
    assert ask(path, f"SELECT session_key FROM {WINDOWS} WHERE session_id = 'run-2'") == [(BASE,)]
    assert ask(path, "SELECT count(*) FROM transcript_events WHERE session_id = 'run-2'") == [(1,)]
    assert not ask(path, f"SELECT 1 FROM {NODES} WHERE session_key = ?", run_key("run-2"))
    put_back(path, workspace)
    assert dump(path) == before


def test_a_window_named_in_the_entry_of_a_chat_goes_to_the_chat(path, workspace):
    chat = make_entry("main-2", HOUR_MS, family=["x", "run-2"])
    with closing(connect(path)) as db, db:
        add_entry(db, "agent:main:direct:other", chat)
    compact(path, workspace)
    owner = ask(path, f"SELECT session_key FROM {WINDOWS} WHERE session_id = 'run-2'")
    assert owner == [("agent:main:direct:other",)]


def test_a_closed_window_goes_and_comes_back_and_the_base_stays(path, workspace):
    with closing(connect(path)) as db, db:
        add_window(db, BASE, "closed-1", OLD_MS, "done")
    before = dump(path)
    compact(path, workspace)
    assert not ask(path, f"SELECT 1 FROM {WINDOWS} WHERE session_id = 'closed-1'")
    assert ask(path, f"SELECT 1 FROM {NODES} WHERE session_key = ?", BASE)
    outcome = put_back(path, workspace, keys=[f"{BASE}:window:closed-1"])
    assert outcome.added == 1
    put_back(path, workspace)
    assert dump(path) == before


def test_a_window_of_a_job_that_is_gone_is_a_conflict(path, workspace):
    with closing(connect(path)) as db, db:
        add_window(db, BASE, "closed-1", OLD_MS, "done")
    compact(path, workspace)
    run(path, (f"DELETE FROM {NODES} WHERE session_key = ?", BASE))
    outcome = put_back(path, workspace, keys=[f"{BASE}:window:closed-1"])
    assert (outcome.added, outcome.conflicts) == (0, 1)


def test_a_conversation_that_is_gone_comes_back_with_what_needs_it(path, workspace):
    fill_every_table(path, run_key("run-1"), "run-1")
    before = dump(path)
    compact(path, workspace)
    run(path, ("DELETE FROM conversations",))
    put_back(path, workspace)
    assert dump(path) == before


def test_a_run_by_its_job_alone_comes_back(path, workspace):
    compact(path, workspace)
    outcome = put_back(path, workspace, jobs=[JOB])
    assert outcome.added == 3


def test_an_entry_that_was_cut_has_all_else_and_is_proven(path, workspace):
    bulk = {"skillsSnapshot": {"prompt": "p" * 5_000}, "systemPromptReport": {"a": [1.0, "é"]}}
    entry = make_entry("chat", 50 * HOUR_MS, z=1, **bulk, a="\u2028", label="mine")
    with closing(connect(path)) as db, db:
        add_entry(db, "agent:main:direct:big", entry)
    before = dump(path)
    policy = Policy(slim_idle_ms=HOUR_MS)
    report = compact(path, workspace, policy)
    assert {tally.name for tally in report.rules} >= {"slim", "expire"}
    [(text, valid)] = ask(
        path,
        f"SELECT entry_json, entry_valid FROM {NODES} WHERE session_key = 'agent:main:direct:big'",
    )
    assert json.loads(text) == {k: v for k, v in entry.items() if k not in bulk}
    assert list(json.loads(text)) == [k for k in entry if k not in bulk]
    assert valid == 1
    put_back(path, workspace)
    assert dump(path) == before


def test_what_was_cut_and_later_removed_comes_back_whole(path, workspace):
    bulk = {"skillsSnapshot": {"prompt": "p" * 5_000}}
    with closing(connect(path)) as db, db:
        add_entry(db, run_key("late"), make_entry("late", HOUR_MS, status="done", **bulk))
    before = dump(path)
    assert compact(path, workspace, Policy(retention_ms=None)).rules
    later = Policy(retention_ms=0)
    compact_store(Store(path, "main"), later, GONE, workspace=workspace, now_ms=NOW_MS + 1_000)
    assert not ask(path, f"SELECT 1 FROM {NODES} WHERE session_key = ?", run_key("late"))
    done = restore(workspace, everything=True, apply=True, now_ms=NOW_MS + 2_000, store=path)
    assert (done.conflicts, done.replaced) == (0, 2)
    assert dump(path) == before


def test_what_came_back_is_proven_as_it_was(path, workspace):
    compact(path, workspace)
    put_back(path, workspace)
    assert ask(path, f"SELECT DISTINCT entry_valid FROM {NODES}") == [(1,)]


def test_the_file_stays_the_same_one_and_is_smaller(tmp_path, workspace):
    path = tmp_path / "agents" / "main" / "agent" / "openclaw-agent.sqlite"
    entries = make_entries(old_runs=400)
    for key in [key for key in entries if ":run:run-" in key]:
        entries[key]["skillsSnapshot"] = "x" * 8_000
    make_database(path, entries)
    before = path.stat()
    compact(path, workspace)
    after = path.stat()
    assert (after.st_ino, after.st_dev, after.st_mode) == (
        before.st_ino, before.st_dev, before.st_mode,
    )  # fmt: skip
    assert after.st_size < before.st_size / 4
    assert not path.with_name(f"{path.name}-wal").exists()
    assert ask(path, "PRAGMA journal_mode") == [("wal",)]


def test_without_room_for_a_vacuum_pages_go_step_by_step(tmp_path, workspace, monkeypatch):
    path = tmp_path / "agents" / "main" / "agent" / "openclaw-agent.sqlite"
    entries = make_entries(old_runs=400)
    for key in [key for key in entries if ":run:run-" in key]:
        entries[key]["skillsSnapshot"] = "x" * 8_000
    make_database(path, entries)
    before_bytes = path.stat().st_size
    monkeypatch.setattr(finish, "_ROOM_FACTOR", 1 << 60)
    monkeypatch.setattr(finish, "_STEP_PAGES", 100)
    compact(path, workspace)
    assert path.stat().st_size < before_bytes / 4
    assert ask(path, "PRAGMA freelist_count")[0][0] < 100


def test_damage_that_is_found_at_the_end_is_told(path, workspace, monkeypatch):
    monkeypatch.setattr(finish, "find_fault", lambda db: "page 7 is lost")
    with pytest.raises(IoFailed, match="page 7 is lost"):
        compact(path, workspace)


def test_an_archive_that_reads_back_otherwise_changes_nothing(path, workspace, monkeypatch):
    class Careless(drafting.RecordWriter):
        def __init__(self, fd):
            super().__init__(fd)
            self.fd = fd

        def finish(self):
            numbers = super().finish()
            os.pwrite(self.fd, b"!", numbers.archive_bytes // 2)
            return numbers

    before = dump(path)
    monkeypatch.setattr(drafting, "RecordWriter", Careless)
    with pytest.raises(ArchiveDamaged):
        compact(path, workspace)
    assert dump(path) == before
    assert list(workspace.home.archives.iterdir()) == []


def test_an_orphan_and_a_wrong_index_are_faults(path):
    with closing(sqlite3.connect(path)) as db:
        db.text_factory = Text
        prepare(db)
        assert finish.find_fault(db) is None
        db.execute("PRAGMA foreign_keys = OFF")
        db.execute("DELETE FROM session_windows WHERE session_id = 'run-1'")
        assert "lost its parent" in finish.find_fault(db)


def test_a_library_that_lacks_a_function_writes_nothing(path, workspace, monkeypatch):
    before = dump(path)
    monkeypatch.setattr(change, "find_lack", lambda db: "no such function: json_remove")
    with pytest.raises(Unavailable, match="json_remove"):
        compact(path, workspace)
    assert dump(path) == before


def test_a_row_that_cannot_come_back_leaves_everything_as_it_is(path, workspace):
    compact(path, workspace)
    with closing(connect(path)) as db, db:
        add_window(db, "agent:main:main", "run-1", NOW_MS)
    before = dump(path)
    outcome = put_back(path, workspace, keys=[run_key("run-1")])
    assert outcome.conflict_keys == (run_key("run-1"),)
    assert dump(path) == before


def test_a_reader_who_has_it_open_is_named(path, workspace, tmp_path):
    import subprocess  # noqa: PLC0415
    import sys  # noqa: PLC0415

    program = (
        "import sqlite3, sys\n"
        f"db = sqlite3.connect({str(path)!r})\n"
        "db.execute('SELECT count(*) FROM session_nodes').fetchone()\n"
        "print('open', flush=True)\nsys.stdin.read()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout.readline() == "open\n"
        before = dump(path)
        with pytest.raises(TailflipError, match=str(child.pid)):
            compact(path, workspace)
        assert dump(path) == before
    finally:
        child.communicate("", timeout=20)
    assert compact(path, workspace).action_id


def test_an_error_of_the_database_is_told_of_it_and_not_of_our_ledger(path, workspace):
    """A disk that fails in the middle of a change was once said to be the ledger's."""

    class Failing(RealDisk):
        def commit(self, db):
            if path.name in str(db.execute("PRAGMA database_list").fetchall()):
                raise sqlite3.OperationalError("disk I/O error")
            super().commit(db)

    with pytest.raises(TailflipError, match=r"openclaw-agent\.sqlite: disk I/O error") as e:
        compact(path, Workspace(workspace.home, Failing()))
    assert "ledger" not in e.value.message
