"""The survey counts transcripts and nothing else, reads their heads, and names the largest."""

from __future__ import annotations

import dataclasses
import os

import pytest

from tailflip.flow.observed import Store
from tailflip.observe.installation import locate
from tailflip.observe.records.heads import Head
from tailflip.observe.records.transcript_files import read_head, survey_transcripts

HEADER = b'{"type":"session","version":3,"id":"a"}\n'
MESSAGE = b'{"type":"message","id":"1","parentId":null,"message":{"role":"user"}}\n'


@pytest.fixture
def folder(tmp_path):
    sessions = tmp_path / "agents" / "main" / "sessions"
    sessions.mkdir(parents=True)
    (sessions / "sessions.json").write_text("{}")
    (tmp_path / "openclaw.json").write_text("{}")
    return sessions


def survey(folder, **options):
    installation = locate({"HOME": "/nowhere"}, state_dir=folder.parents[2])
    return survey_transcripts(installation, **options)


def test_only_transcripts_count_not_the_copies_and_traces_beside_them(folder):
    uuid = "0a1b2c3d-0000-4000-8000-000000000000"
    for name in (
        "a.jsonl", "a-topic-7.jsonl",
        "a.trajectory.jsonl", f"a.checkpoint.{uuid}.jsonl", "a.jsonl.lock", "a.jsonl.bak-1-2",
        "a.jsonl.corrupt-2026-01-01T00-00-00-000Z-0a1b2c3d.jsonl", "a.jsonl.reset.2026",
        f"a.jsonl.{uuid}.tmp", "note.txt", "-a.jsonl", "ä.jsonl", ".jsonl",
    ):  # fmt: skip
        (folder / name).write_bytes(MESSAGE)
    (folder / "folder.jsonl").mkdir()
    (folder / "link.jsonl").symlink_to(folder / "a.jsonl")
    os.mkfifo(folder / "fifo.jsonl")
    (found,) = survey(folder)
    assert (found.files, found.bytes) == (2, 2 * len(MESSAGE))
    assert [each.path.name for each in found.headless] == ["a-topic-7.jsonl", "a.jsonl"]


def test_the_largest_come_first_and_the_headless_are_told_with_the_reason(folder):
    for number in range(30):
        (folder / f"s{number}.jsonl").write_bytes(HEADER + MESSAGE * number)
    (folder / "bad.jsonl").write_bytes(b"\0\0\n" + MESSAGE)
    (folder / "empty.jsonl").touch()
    (found,) = survey(folder)
    assert [each.path.name for each in found.largest[:2]] == ["s29.jsonl", "s28.jsonl"]
    assert len(found.largest) == 10
    assert [(each.path.name, each.why) for each in found.headless] == [
        ("bad.jsonl", "its first line is no JSON")
    ]
    assert found.headless_files == 1
    (found,) = survey(folder, reads_heads=False)
    assert (found.headless, found.files) == (None, 32)


def test_a_head_that_the_first_bytes_do_not_tell_is_read_further(folder):
    long = folder / "long.jsonl"
    long.write_bytes(HEADER.replace(b'"a"', b'"a","x":"' + b"x" * 9_000 + b'"') + MESSAGE)
    assert read_head(long).head is Head.WHOLE
    long.write_bytes(b"\0" * 9_000 + b"\n" + MESSAGE)
    assert read_head(long).head is Head.HEADLESS
    long.write_bytes(MESSAGE.replace(b'"user"', b'"user","x":"' + b"x" * 3_000_000 + b'"'))
    assert read_head(long).head is Head.HEADLESS
    os.truncate(long, 0)
    os.truncate(long, 1 << 40)  # sparse, all of it zeros
    assert read_head(long).head is Head.UNKNOWN


def test_what_cannot_be_read_is_unknown(folder):
    assert read_head(folder / "gone.jsonl").head is Head.UNKNOWN
    (folder / "link.jsonl").symlink_to(folder / "sessions.json")
    assert read_head(folder / "link.jsonl").head is Head.UNKNOWN


def test_an_installation_without_stores_in_files_has_none(folder):
    (folder / "a.jsonl").write_bytes(MESSAGE)
    assert survey(folder)
    installation = locate({"HOME": "/nowhere"}, state_dir=folder.parents[2])
    stores = (Store(folder.parent / "agent" / "openclaw-agent.sqlite", "main"),)
    moved = dataclasses.replace(installation, stores=stores, missing=())
    assert survey_transcripts(moved) == ()
