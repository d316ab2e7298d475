"""What fills a database, in words that fit a terminal."""

from __future__ import annotations

from dataclasses import replace

from tailflip.cli.fill_text import format_fill
from tailflip.flow.fill import Event, Fill, TableSize

TABLES = tuple(TableSize(f"session_table_{n}", 9_000_000 - n) for n in range(10))
FULL = Fill(
    bytes=100_000_000,
    free_bytes=5_000_000,
    log_bytes=7_000_000,
    tables=TABLES,
    events=1234,
    event_bytes=60_000_000,
    image_bytes=30_000_000,
    biggest=(Event("agent:main:main", "s", 12, 4_000_000), Event(None, "lone", 1, 70_000)),
    closed_windows=17,
    closed_window_bytes=2_000_000,
    expired_runs=44,
    expired_bytes=3_000_000,
    expired_packed_bytes=3_000_000,
    import_bytes=190_000_000,
)


def test_tables_contents_and_big_events_are_shown_within_80_columns():
    text = format_fill(FULL)
    assert max(map(len, text.splitlines())) < 80
    lines = [line.split() for line in text.splitlines()]
    assert ["session_table_0", "9.0", "MB", "9", "%"] in lines
    assert ["2", "more", "tables", "18.0", "MB", "18", "%"] in lines
    assert ["free", "pages", "5.0", "MB", "5", "%"] in lines
    assert ["closed", "windows", "of", "cron", "jobs", "17", "2.0", "MB"] in lines
    assert ["agent:main:main", "12", "4.0", "MB"] in lines
    assert ["lone", "1", "70.0", "KB"] in lines
    assert "embedding" not in text, "what is not there has no line"
    assert "clean-up" not in text


def test_small_events_are_no_big_ones():
    assert "biggest" not in format_fill(replace(FULL, biggest=(Event("k", "s", 1, 98),)))


def test_what_is_wrong_is_told_below():
    wrong = replace(
        FULL,
        expired_bytes=400_000_000,
        expired_packed_bytes=90_000_000,
        unreadable_events=1,
        unreadable=(Event("k", "bad\x1b", 3, 8),),
        unproven_nodes=2,
        counts_pages=False,
    )
    text = format_fill(wrong)
    assert "packs about 90.0 MB of expired runs at once, and can pack 268.4 MB" in text
    assert r"1 event is no JSON, and a start may end at one (the first: bad\x1b, seq 3)" in text
    assert "2 entries wait for the gateway's own check" in text
    assert "cannot count pages" in text
