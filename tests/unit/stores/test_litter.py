"""Every file beside a store is counted once, and what an entry names is no litter."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from tailflip.flow.observed import LITTER, ORPHANS, Store
from tailflip.stores.litter import find_temporaries, observe_folders

HOUR_MS = 3_600_000
NOW = 1_800_000_000_000
ID = "059a9c5f-eed4-4826-95ce-f32c820f5784"
FILES = {
    f"{ID}.jsonl": "transcript",
    f"{ID}-topic-42.jsonl": "transcript",
    f"{ID}.trajectory.jsonl": "trace",
    "by-file.jsonl": "transcript",
    "unknown.jsonl": ORPHANS,
    "unknown.trajectory-path.json": ORPHANS,
    f"{ID}.jsonl.bak-1220-1732800000000": "copy before a repair",
    f"{ID}.jsonl.corrupt-2026-11-01T00-00-00.000Z-ab12.jsonl": "copy before a repair",
    f"{ID}.checkpoint.{ID}.jsonl": "copy before a compaction",
    f"{ID}.jsonl.deleted.2026-11-01T00-00-00.000Z": "set aside by the gateway",
    f"{ID}.jsonl.lock": "lock",
    "sessions.json.bak.1732800000000": "copy of the store",
    f"sessions.json.2600.{ID}.tmp": "copy of the store",
    "notes of mine.txt": "other",
}
STORE = {"a": {"sessionId": ID}, "b": {"sessionId": "x", "sessionFile": "/old/place/by-file.jsonl"}}


def put(folder, name, text="12345", age_ms=2 * HOUR_MS):
    path = folder / name
    path.write_text(text)
    at_s = (NOW - age_ms) / 1000
    os.utime(path, (at_s, at_s))
    return path


def look(folder):
    (found,) = observe_folders((Store(folder / "sessions.json", "main"),), NOW)
    return {kind.name: kind.files for kind in found.kinds}


@pytest.mark.parametrize("name", FILES)
def test_each_file_has_its_kind(tmp_path, name):
    put(tmp_path, "sessions.json", json.dumps(STORE))
    put(tmp_path, name)
    assert look(tmp_path) == {"store": 1, FILES[name]: 1}


def test_all_together_are_counted_once_each_and_with_their_bytes(tmp_path):
    put(tmp_path, "sessions.json", json.dumps(STORE))
    for name in FILES:
        put(tmp_path, name)
    (found,) = observe_folders((Store(tmp_path / "sessions.json", "main"),), NOW)
    assert sum(kind.files for kind in found.kinds) == len(FILES) + 1
    assert {kind.name: (kind.files, kind.bytes) for kind in found.litter} == dict.fromkeys(
        LITTER, (2, 10)
    )


def test_what_may_be_in_use_is_no_litter(tmp_path):
    """A young transcript, and all of a store that cannot be read, count as named."""
    put(tmp_path, "sessions.json", json.dumps(STORE))
    put(tmp_path, "young.jsonl", age_ms=HOUR_MS)
    assert look(tmp_path) == {"store": 1, "transcript": 1}
    put(tmp_path, "old.jsonl")
    assert look(tmp_path) == {"store": 1, "transcript": 1, ORPHANS: 1}
    put(tmp_path, "sessions.json", "{")
    assert look(tmp_path) == {"store": 1, "transcript": 2}


def test_a_folder_that_is_gone_has_nothing(tmp_path):
    shutil.rmtree(tmp_path)
    assert look(tmp_path) == {}


TEMPORARIES = (
    "cron/jobs.json.40705.af341ee67e13aa2b.tmp",
    f"cron/jobs.json.{ID}.tmp",
    "cron/jobs-state.json.40705.af341ee67e13aa2b.tmp",
    "cron/runs/nightly.jsonl.40705.af341ee67e13aa2b.tmp",
    f"openclaw.json.40705.{ID}.tmp",
    f"subagents/runs.json.{ID}.tmp",
)


def test_temporaries_of_killed_writers_of_every_small_file_are_found(tmp_path):
    for folder in ("cron/runs", "subagents"):
        (tmp_path / folder).mkdir(parents=True)
    for name in TEMPORARIES:
        put(tmp_path, name, age_ms=HOUR_MS)
    for name in ("cron/jobs.json", "cron/jobs.json.bak", "openclaw.json", "openclaw.json.bak.1"):
        put(tmp_path, name)
    put(tmp_path, "cron/jobs.json.40706.af341ee67e13aa2b.tmp", age_ms=0)
    put(tmp_path, "cron/other.json.40705.af341ee67e13aa2b.tmp")
    put(tmp_path, "cron/runs/nightly.jsonl.tmp")
    put(tmp_path, f"notes.json.{ID}.tmp")
    cron_store, config = tmp_path / "cron/jobs.json", tmp_path / "openclaw.json"
    found = [each.path for each in find_temporaries(cron_store, config, tmp_path, NOW)]
    assert found == sorted(tmp_path / name for name in TEMPORARIES)
    shutil.rmtree(tmp_path)
    assert find_temporaries(cron_store, config, tmp_path, NOW) == ()
