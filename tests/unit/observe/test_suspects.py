"""What may have filled a heap besides the stores: named by a look at sizes and times, no more."""

from __future__ import annotations

import os

import pytest

from tailflip.flow.outcomes import Trend
from tailflip.observe import suspects
from tailflip.observe.suspects import find_suspects

DIED_MS = 1_790_000_000_000
MB = 1_000_000


@pytest.fixture
def state(tmp_path):
    return tmp_path / "openclaw"


def put(path, size_bytes, ago_s=7200):
    """A file of that size, which takes no room, written so long before the death."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size_bytes)
    at_s = DIED_MS / 1000 - ago_s
    os.utime(path, (at_s, at_s))
    return path


def look(state, *stores, trend=None):
    return find_suspects(state, stores, died_ms=DIED_MS, trend=trend)


def test_nothing_large_is_nobody(state):
    put(state / "openclaw.json", 1000)
    put(state / "agents" / "main" / "sessions" / "a.jsonl", 1000)
    assert look(state) == ()
    assert look(state / "gone") == ()


def test_large_files_are_named_the_largest_first_and_stores_are_none(state):
    store = put(state / "agents" / "main" / "sessions" / "sessions.json", 900 * MB)
    put(state / "logs" / "cache-trace.jsonl", 33_000 * MB, ago_s=1)
    put(state / "memory" / "main.sqlite", 200 * MB)
    put(state / "node_modules" / "x" / "huge.bin", 999 * MB)
    put(state / "small.bin", 99 * MB)
    assert look(state, store) == (
        "large file: logs/cache-trace.jsonl, 33.0 GB",
        "large file: memory/main.sqlite, 200.0 MB",
    )


def test_large_transcripts_and_the_one_at_work_are_named(state):
    sessions = state / "agents" / "main" / "sessions"
    put(sessions / "old.jsonl", 40 * MB)
    put(sessions / "small.jsonl", 1 * MB)
    put(sessions / "live.jsonl", 2 * MB, ago_s=5)
    put(sessions / "held.jsonl", 3 * MB, ago_s=600)
    put(sessions / "held.jsonl.lock", 10)
    assert look(state) == (
        "large transcript: agents/main/sessions/old.jsonl, 40.0 MB",
        "at work when it died: agents/main/sessions/live.jsonl, 2.0 MB, written 5 s before",
        "at work when it died: agents/main/sessions/held.jsonl, 3.0 MB, written 10 min before",
    )


def test_a_leak_is_told_with_its_pace(state):
    trend = Trend(bytes_per_s=1 * MB, span_s=1200, limit_bytes=3600 * MB, hits_ms=DIED_MS)
    (said,) = look(state, trend=trend)
    assert said.startswith(
        "memory grew by 3.6 GB an hour for 20 min, which fills the heap in 1 h: a leak"
    )


def test_links_are_not_followed_and_the_walk_ends(state, tmp_path, monkeypatch):
    put(tmp_path / "elsewhere" / "huge.bin", 999 * MB)
    state.mkdir()
    (state / "link").symlink_to(tmp_path / "elsewhere")
    (state / "round").symlink_to(state)
    assert look(state) == ()
    put(state / "a" / "b" / "huge.bin", 999 * MB)
    assert look(state) != ()
    monkeypatch.setattr(suspects, "_MOST_ENTRIES", 2)
    assert look(state) == ()
