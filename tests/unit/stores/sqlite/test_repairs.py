"""What stops a gateway goes to the archive byte for byte, and comes back from there."""

from __future__ import annotations

from contextlib import closing

import pytest

from support.agent_database import (
    CONTRACT,
    FTS,
    NODES,
    WINDOWS,
    add_entry,
    add_window,
    connect,
    dump,
    make_database,
    write_receipt,
)
from support.stores import GONE, HOUR_MS, JOB, NOW_MS, make_entries, make_entry, run_key
from tailflip.base.errors import Unavailable
from tailflip.flow import fill
from tailflip.flow.observed import Store
from tailflip.ledger.actions import Ledger, State
from tailflip.plan.policy import Policy
from tailflip.stores import archive
from tailflip.stores.restore import restore
from tailflip.stores.transaction import compact_store, repair_store

KEY = run_key("run-1")
CHAT, BASE = "agent:main:main", f"agent:main:cron:{JOB}"
EVENT_NAME = f"{CHAT}:window:main-1:event:0"
BAD_NODE = f"UPDATE {NODES} SET entry_json = '{{{{\"a\": ' || char(10) WHERE session_key = '{{}}'"
OF_ANOTHER = (
    f"UPDATE {NODES} SET entry_json = json_set(entry_json, '$.sessionId', 'x')"
    " WHERE session_key = '{}'"
)
BAD_EVENT = "UPDATE transcript_events SET event_json = '{{\"a' || char(0) WHERE session_id = '{}'"


def run(path, *statements):
    with closing(connect(path)) as db, db:
        for statement in statements:
            db.execute(statement)


def ask(path, statement):
    with closing(connect(path)) as db:
        return db.execute(statement).fetchall()


def repair(path, workspace, **options):
    return repair_store(
        Store(path, "main"), workspace=workspace, now_ms=NOW_MS, gateway=GONE.gateway, **options
    )


def put_back(path, workspace, **wanted):
    wanted = wanted or {"everything": True}
    return restore(workspace, apply=True, now_ms=NOW_MS + 9, store=path, **wanted)


def test_a_whole_database_is_left_as_it_is(path, workspace):
    before = path.read_bytes()
    assert repair(path, workspace).action_id == ""
    assert path.read_bytes() == before


def test_an_unreadable_entry_goes_with_all_that_hangs_on_it_and_comes_back(path, workspace):
    run(path, BAD_NODE.format(CHAT))
    check_goes_whole(path, workspace)


def test_an_entry_of_another_session_goes_with_all_that_hangs_on_it(tmp_path, workspace):
    """The gateway ends at it at every start, whether it is marked as proven or not."""
    path = tmp_path / "agents" / "main" / "agent" / "openclaw-agent.sqlite"
    make_database(path, make_entries())
    write_receipt(path)  # which releases before 2026.9.6 do not have
    run(path, OF_ANOTHER.format(CHAT))
    check_goes_whole(path, workspace)


def check_goes_whole(path, workspace):
    before = dump(path)
    report = repair(path, workspace)
    assert (report.entries_before - report.entries_after, report.undo is None) == (1, False)
    assert [(rule.name, rule.entries) for rule in report.rules] == [("quarantine", 1)]
    left = dump(path)
    assert {row[0] for row in before[NODES]} - {row[0] for row in left[NODES]} == {CHAT}
    assert not any("main-1" in repr(rows) for rows in left.values())
    put_back(path, workspace)
    assert dump(path) == before


def test_an_unreadable_event_goes_alone_and_comes_back(path, workspace):
    run(path, BAD_EVENT.format("main-1"))
    before = dump(path)
    report = repair(path, workspace)
    assert report.entries_before == report.entries_after
    assert not ask(path, "SELECT 1 FROM transcript_events WHERE session_id = 'main-1'")
    assert not ask(path, "SELECT 1 FROM transcript_event_identities WHERE session_id = 'main-1'")
    left = dump(path)
    assert (left[NODES], left[WINDOWS]) == (before[NODES], before[WINDOWS])
    shown = archive.show(workspace, report.action_id)
    assert [(each.key, each.rule) for each in shown.headers] == [(EVENT_NAME, "quarantine")]
    outcome = put_back(path, workspace)
    assert (outcome.added, outcome.replaced, outcome.conflicts) == (0, 1, 0)
    assert dump(path) == before


INDEX, INDEXED = "session_transcript_active_events", "session_transcript_index_state"
ADD_EVENT = "INSERT INTO transcript_events (session_id, seq, event_json, created_at)"


@pytest.fixture
def indexed(path):
    """Three events of a chat with their index; two of them are no JSON."""
    run(
        path,
        BAD_EVENT.format("main-1"),
        f"{ADD_EVENT} VALUES ('main-1', 1, '{{}}', 1), ('main-1', 2, '[', 1)",
        f"INSERT INTO {INDEX} VALUES ('main-1', 0, 0, 0, 1), ('main-1', 1, 1, 1, 1),"
        " ('main-1', 2, 2, 2, 1)",
        f"INSERT INTO {INDEXED} VALUES ('main-1', 2, 'e', 0, 3, 3, 1)",
    )
    return path


def test_the_index_of_a_session_is_made_anew_and_comes_back_with_its_events(indexed, workspace):
    """With a gap in its index, the real gateway says of a session that it is rebuilt, for ever."""
    before = dump(indexed)
    repair(indexed, workspace)
    assert ask(indexed, f"SELECT event_seq FROM {INDEX}") == [(1,)]
    assert not ask(indexed, f"SELECT 1 FROM {INDEXED}"), "where none is, the gateway makes one"
    put_back(indexed, workspace)
    assert dump(indexed) == before


def test_an_event_comes_back_beside_an_index_that_was_made_anew(indexed, workspace):
    before = dump(indexed)
    repair(indexed, workspace)
    run(
        indexed,
        f"UPDATE {INDEX} SET active_position = 0, message_position = 0",
        f"INSERT INTO {INDEXED} VALUES ('main-1', 1, 'f', 0, 1, 1, 2)",
    )
    made = [dump(indexed)[table] for table in (INDEX, INDEXED)]
    outcome = put_back(indexed, workspace)
    assert (outcome.replaced, outcome.conflicts) == (2, 0)
    after = dump(indexed)
    assert [after.pop(table) for table in (INDEX, INDEXED)] == made
    assert after == {name: rows for name, rows in before.items() if name in after}


def test_doing_it_again_finds_nothing_to_do(path, workspace):
    run(path, BAD_EVENT.format("main-1"), BAD_NODE.format(KEY))
    assert repair(path, workspace).action_id
    assert repair(path, workspace).action_id == ""


def test_an_event_of_an_unreadable_entry_goes_with_it_once(path, workspace):
    run(path, BAD_EVENT.format("main-1"), BAD_NODE.format(CHAT))
    before = dump(path)
    report = repair(path, workspace)
    assert [each.key for each in archive.show(workspace, report.action_id).headers] == [CHAT]
    put_back(path, workspace)
    assert dump(path) == before


def test_a_window_of_an_unreadable_entry_that_another_uses_is_not_lost(path, workspace):
    with closing(connect(path)) as db, db:
        add_entry(db, "agent:main:x", make_entry("x", previousSessionId="run-2"))
    run(path, BAD_NODE.format(run_key("run-2")))
    before = dump(path)
    repair(path, workspace)
    owner = ask(path, f"SELECT session_key FROM {WINDOWS} WHERE session_id = 'run-2'")
    assert owner == [("agent:main:x",)]
    put_back(path, workspace)
    assert dump(path) == before


def test_an_event_written_again_is_a_conflict_and_stays(path, workspace):
    run(path, BAD_EVENT.format("main-1"))
    repair(path, workspace)
    run(path, "INSERT INTO transcript_events (session_id, seq, event_json, created_at)"
              " VALUES ('main-1', 0, '{}', 1)")  # fmt: skip
    outcome = put_back(path, workspace)
    assert (outcome.replaced, outcome.conflicts) == (0, 1)
    assert ask(path, "SELECT event_json FROM transcript_events WHERE session_id = 'main-1'") == [
        ("{}",)
    ]


def test_an_event_whose_session_is_gone_is_a_conflict(path, workspace):
    run(path, BAD_EVENT.format("main-1"))
    repair(path, workspace)
    run(path, f"DELETE FROM {WINDOWS} WHERE session_id = 'main-1'")
    outcome = put_back(path, workspace)
    assert (outcome.replaced, outcome.conflicts) == (0, 1)


@pytest.mark.parametrize("session", ["run-1", "closed-1"], ids=["of a node", "of a window"])
def test_an_event_comes_back_into_a_run_that_was_removed_later(path, workspace, session):
    with closing(connect(path)) as db, db:
        add_window(db, BASE, "closed-1", NOW_MS - 60 * HOUR_MS, "done")
    run(path, BAD_EVENT.format(session))
    before = dump(path)
    repair(path, workspace)
    compact_store(Store(path, "main"), Policy(), GONE, workspace=workspace, now_ms=NOW_MS + 1)
    assert not ask(path, f"SELECT 1 FROM {WINDOWS} WHERE session_id = '{session}'")
    outcome = put_back(path, workspace)
    assert outcome.conflicts == 0
    assert dump(path) == before


def test_a_database_of_an_unknown_version_is_left_as_it_is(path, workspace):
    run(path, BAD_EVENT.format("main-1"), "UPDATE schema_meta SET schema_version = 99")
    before = path.read_bytes()
    with pytest.raises(Unavailable, match="only reads"):
        repair(path, workspace)
    assert path.read_bytes() == before


@pytest.fixture
def proven(tmp_path):
    """A database of 2026.9.6 whose gateway has a receipt for it."""
    path = tmp_path / "agents" / "main" / "agent" / "openclaw-agent.sqlite"
    make_database(path, make_entries())
    write_receipt(path)
    return path


def test_the_receipt_of_a_refused_entry_goes_and_comes_back(proven, workspace):
    run(proven, f"UPDATE {NODES} SET entry_json = entry_json || ' ' WHERE session_key = '{KEY}'")
    before = dump(proven)
    report = repair(proven, workspace)
    assert [(rule.name, rule.entries) for rule in report.rules] == [("prove-anew", 1)]
    assert ask(proven, f"SELECT canonical_ready FROM {CONTRACT}") == [(None,)]
    assert dump(proven)[NODES] == before[NODES], "the gateway proves it, nobody else"
    put_back(proven, workspace)
    assert dump(proven) == before


def test_a_receipt_that_the_gateway_wrote_anew_is_as_it_was(proven, workspace):
    run(proven, f"UPDATE {NODES} SET entry_json = entry_json || ' ' WHERE session_key = '{KEY}'")
    repair(proven, workspace)
    write_receipt(proven)
    outcome = put_back(proven, workspace)
    assert (outcome.replaced, outcome.conflicts) == (0, 0)


# --- free pages


@pytest.fixture
def hollow(path, monkeypatch):
    """A database that is mostly free pages, with a limit that a test can reach."""
    monkeypatch.setattr(fill, "MUCH_FREE_BYTES", 2 << 20)
    with closing(connect(path)) as db, db:
        db.execute("CREATE TABLE ballast (x)")
        db.executemany("INSERT INTO ballast VALUES (?)", [("x" * 40_000,)] * 100)
    run(path, "DROP TABLE ballast")
    return path


def test_free_pages_alone_are_given_back_and_nothing_is_archived(hollow, workspace):
    before, size_bytes, inode = dump(hollow), hollow.stat().st_size, hollow.stat().st_ino
    assert repair(hollow, workspace).action_id == "", "not asked"
    report = repair(hollow, workspace, gives_back=True)
    assert hollow.stat().st_size < size_bytes / 2
    assert report.bytes_before == size_bytes
    # The dropped table's own page and the maps of pages go too.
    assert 0 <= report.bytes_after - hollow.stat().st_size <= 4 * 4096
    assert (report.undo, report.archive) == (None, None)
    assert [(rule.name, rule.entries) for rule in report.rules] == [("free-pages", 0)]
    assert (dump(hollow), hollow.stat().st_ino) == (before, inode)
    assert [each.state for each in Ledger(workspace).read_all()] == [State.DONE]
    assert repair(hollow, workspace, gives_back=True).action_id == ""


def test_few_free_pages_stay(path, workspace, monkeypatch):
    monkeypatch.setattr(fill, "MUCH_FREE_BYTES", 2 << 20)
    with closing(connect(path)) as db, db:
        db.execute("CREATE TABLE ballast (x)")
        db.executemany("INSERT INTO ballast VALUES (?)", [("x" * 40_000,)] * 200)
        db.execute("DELETE FROM ballast WHERE rowid > 100")
    assert repair(path, workspace, gives_back=True).action_id == ""


def test_text_of_the_index_stays_with_the_session(path, workspace):
    run(path, BAD_EVENT.format("main-1"))
    before = ask(path, f"SELECT rowid, session_id FROM {FTS} ORDER BY rowid")
    repair(path, workspace)
    assert ask(path, f"SELECT rowid, session_id FROM {FTS} ORDER BY rowid") == before
