"""What fills a database is told as it is, whatever its version and library."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing

import pytest

from support.agent_database import NODES, add_window, connect, make_database
from support.stores import HOUR_MS, JOB, NOW_MS, make_entries, run_key
from tailflip.flow.fill import REAPER_LIMIT_BYTES, Event
from tailflip.stores.sqlite import fill as module
from tailflip.stores.sqlite.engine import SQLITE
from tailflip.stores.sqlite.fill import write_weights
from tailflip.stores.sqlite.library import octets

DAY_MS = 24 * HOUR_MS
BASE = f"agent:main:cron:{JOB}"


def change(path, *work):
    with closing(connect(path)) as db:
        with db:
            for each in work:
                each(db)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def say(session, seq, text):
    def work(db):
        db.execute(
            "INSERT INTO transcript_events (session_id, seq, event_json, created_at)"
            " VALUES (?, ?, ?, 0)",
            (session, seq, text),
        )

    return work


def look(path, retention_ms=DAY_MS):
    return SQLITE.describe_fill(path, NOW_MS, retention_ms)


def test_bytes_of_tables_are_all_pages_in_use(path):
    change(path, say("main-1", 1, json.dumps("x" * 300_000)))
    fill = look(path)
    assert fill.bytes == path.stat().st_size
    assert fill.tables[0].name == "transcript_events"
    assert fill.tables[0].bytes > 300_000
    assert sum(table.bytes for table in fill.tables) == pytest.approx(fill.bytes, abs=64 * 4096)
    assert fill.free_bytes == 0
    change(path, lambda db: db.execute("DELETE FROM transcript_events WHERE seq = 1"))
    assert look(path).free_bytes > 290_000


def test_without_dbstat_the_large_columns_are_summed_up(path, monkeypatch):
    change(path, say("main-1", 1, json.dumps("x" * 1000)))
    before = look(path)
    measured = module._measure_tables

    class Old:
        def __init__(self, db):
            self.db = db

        def execute(self, statement, *values):
            if "dbstat" in statement:
                raise sqlite3.OperationalError("no such table: dbstat")
            return self.db.execute(statement, *values)

    monkeypatch.setattr(module, "_measure_tables", lambda db, tables: measured(Old(db), tables))
    fill = look(path)
    assert (before.counts_pages, fill.counts_pages) == (True, False)
    sizes = dict(fill.tables)
    assert sizes["transcript_events"] == before.event_bytes
    assert sizes[NODES] > 0


def test_the_biggest_events_are_found_in_all_sessions(path):
    change(
        path,
        say("main-1", 7, json.dumps("x" * 900)),
        say("main-1", 8, json.dumps("x" * 800)),
        say("run-1", 9, json.dumps("x" * 850)),
    )
    fill = look(path)
    assert fill.biggest[:3] == (
        Event("agent:main:main", "main-1", 7, 902),
        Event(run_key("run-1"), "run-1", 9, 852),
        Event("agent:main:main", "main-1", 8, 802),
    )
    assert len(fill.biggest) == 5


def test_events_that_are_no_json_are_counted_and_the_first_are_named(path):
    assert look(path).unreadable_events == 0
    change(path, *(say("main-1", seq, '{"a":"\n"}') for seq in range(1, 8)))
    fill = look(path)
    assert fill.unreadable_events == 7
    assert [(each.session, each.seq) for each in fill.unreadable] == [
        ("main-1", seq) for seq in range(1, 6)
    ]


def test_images_count_with_their_events(path):
    text = json.dumps({"content": [{"type": "image", "data": "AAAA"}]}, separators=(",", ":"))
    change(path, say("main-1", 1, text), say("main-1", 2, json.dumps({"text": text})))
    assert look(path).image_bytes == len(text)


def test_nodes_that_are_not_proven_are_counted(path):
    change(path, lambda db: db.execute(f"UPDATE {NODES} SET entry_valid = -1 WHERE rowid < 3"))
    assert look(path).unproven_nodes == 2


def test_a_closed_window_of_a_job_counts_and_one_of_a_chat_does_not(path):
    change(
        path,
        lambda db: add_window(db, BASE, "closed-1", NOW_MS, "done"),
        lambda db: add_window(db, "agent:main:main", "closed-2", NOW_MS, "done"),
        say("closed-1", 1, json.dumps("x" * 100)),
    )
    fill = look(path)
    assert fill.closed_windows == 1
    assert 102 < fill.closed_window_bytes < 200


def test_expired_are_runs_by_age_alone_with_all_their_transcripts(path):
    """Whether a run is "running" does not matter to the gateway's clean-up."""
    now = look(path)
    assert 0 < now.expired_runs < len(make_entries())
    change(path, say("run-1", 1, json.dumps("x" * 100)), say("main-1", 1, json.dumps("x" * 100)))
    later = look(path)
    assert later.expired_bytes == now.expired_bytes + 103, "a line with its end, of the run alone"
    assert later.expired_packed_bytes == later.expired_bytes
    assert look(path, retention_ms=None).expired_runs == 0
    assert look(path, retention_ms=10**12).expired_runs == 0


@pytest.mark.parametrize(("text", "is_beyond"), [("noise", True), ("words", False)])
def test_beyond_the_limit_samples_tell_how_well_transcripts_pack(
    path, monkeypatch, text, is_beyond
):
    made = os.urandom(30_000).hex() if text == "noise" else "words " * 10_000
    change(path, *(say("run-1", seq, json.dumps(made)) for seq in range(1, 4)))
    limit = 80_000
    monkeypatch.setattr(module, "REAPER_LIMIT_BYTES", limit)
    fill = look(path)
    assert fill.expired_bytes > 180_000
    assert (fill.expired_packed_bytes > limit) is is_beyond
    assert fill.expired_packed_bytes < fill.expired_bytes


def test_a_packed_event_counts_packed_in_the_file_and_whole_as_a_transcript(path, monkeypatch):
    before = look(path)

    def pack(db):
        try:
            db.execute(
                "INSERT INTO transcript_events"
                " (session_id, seq, event_zstd, event_utf8_bytes, created_at)"
                " VALUES ('run-1', 1, zeroblob(1000), 500000, 0)"
            )
        except sqlite3.OperationalError:
            pytest.skip("this version has no packed events")

    change(path, pack)
    monkeypatch.setattr(module, "REAPER_LIMIT_BYTES", 400_000)
    fill = look(path)
    assert fill.event_bytes == before.event_bytes + 1000
    assert fill.expired_bytes == before.expired_bytes + 500_001
    assert 900 < fill.expired_packed_bytes < 2000
    assert fill.unreadable_events == 0


def test_what_lies_beside_it_is_counted(path):
    archive = path.parent.parent / "session-sqlite-import-archive"
    archive.mkdir()
    (archive / "sessions.json.imported-1").write_bytes(b"x" * 500)
    (archive / "folder").mkdir()
    path.with_name(f"{path.name}.pre-startup-migration-7.bak").write_bytes(b"x" * 70)
    fill = look(path)
    assert (fill.import_bytes, fill.copy_bytes, fill.log_bytes) == (500, 70, 0)
    with closing(connect(path)) as db:
        with db:
            say("main-1", 1, "{}")(db)
        assert look(path).log_bytes == path.with_name(f"{path.name}-wal").stat().st_size > 0


def test_caches_and_archives_are_counted(path):
    change(
        path,
        lambda db: db.execute(
            "INSERT INTO cache_entries (scope, key, value_json, updated_at)"
            " VALUES ('session-cost-usage-rollup-v3', 'k', '12345', 0), ('other', 'k', '1', 0)"
        ),
        lambda db: db.execute(
            "INSERT INTO memory_embedding_cache"
            " (provider, model, provider_key, hash, embedding, updated_at)"
            " VALUES ('p', 'm', 'k', 'h', ?, 0)",
            (sqlite3_value(db, "memory_embedding_cache", "embedding", 700),),
        ),
        lambda db: db.execute(
            "INSERT INTO session_transcript_archives (session_id, generation, session_key, reason,"
            " encoding, archive_blob, archive_sha256, archive_name, created_at)"
            " VALUES ('s', 'g', 'k', 'deleted', 'zstd', zeroblob(900), 'x', 'n', 0)"
        ),
    )
    fill = look(path)
    assert (fill.usage_bytes, fill.embedding_bytes, fill.archive_bytes) == (5, 700, 900)
    assert fill.cold_bytes == 0


def sqlite3_value(db, table, column, length):
    """Make a value of the type that a STRICT column takes."""
    kinds = {row[1]: row[2] for row in db.execute(f"PRAGMA table_info({table})")}
    return b"x" * length if kinds[column] == "BLOB" else "x" * length


def test_events_are_never_sorted_with_their_texts(path):
    """SQLite would hold all texts in memory, and fail for a large database."""
    with closing(connect(path)) as db:
        size = octets("event_json")
        plan = db.execute(f"EXPLAIN QUERY PLAN {write_weights(size, size)}").fetchall()
    assert not any("TEMP B-TREE" in row[3] for row in plan), plan


def test_the_limit_is_that_of_the_gateway():
    assert REAPER_LIMIT_BYTES == 256 << 20


def test_a_text_whose_bytes_the_gateway_counted_is_not_read_for_its_length(tmp_path):
    """A survey read every event of a database, on a library without `octet_length`."""
    path = tmp_path / "agent.sqlite"
    make_database(path, make_entries())
    before = look(path).event_bytes

    def count(db):
        db.execute("UPDATE transcript_events SET event_utf8_bytes = 7 WHERE seq = 1")

    change(path, say("main-1", 1, json.dumps("x" * 1000)))
    assert look(path).event_bytes == before + 1002
    change(path, count)
    assert look(path).event_bytes == before + 7
