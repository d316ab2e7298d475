"""A name tells the kind of a file, in whatever release it was written."""

from __future__ import annotations

import pytest

from tailflip.observe.records.file_names import name_kind

UUID = "0a1b2c3d-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    ("name", "kind", "session"),
    [
        (f"{UUID}.jsonl", "transcript", UUID),
        (f"{UUID}-topic-12.jsonl", "transcript", UUID),
        (f"{UUID}.trajectory.jsonl", "trace", UUID),
        (f"{UUID}.trajectory-path.json", "trace", UUID),
        (f"{UUID}.checkpoint.{UUID}.jsonl", "copy before a compaction", None),
        (f"{UUID}.jsonl.lock", "lock", None),
        (f"{UUID}.jsonl.bak-12-34", "copy before a repair", None),
        (f"{UUID}.jsonl.corrupt-2026-01-01-0a1b2c3d.jsonl", "copy before a repair", None),
        (f"{UUID}.jsonl.deleted.2026-01-01T00-00-00.000Z", "set aside by the gateway", None),
        ("sessions.json", "store", None),
        (f"sessions.json.{UUID}.tmp", "copy of the store", None),
        ("note.txt", "other", None),
    ],
)
def test_the_kind_of_a_name(name, kind, session):
    assert name_kind(name) == (kind, session)
