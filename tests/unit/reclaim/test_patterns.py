"""A name goes only by a known form; all other names are nobody's to judge."""

import pytest

from tailflip.reclaim.patterns import (
    BECOMES,
    IN_CACHE,
    IN_SESSIONS,
    IN_TEMPORARY,
    PROOFS,
    Class,
    parse,
)
from tailflip.stores.json.neighbours import is_temporary

UUID = "1b4e28ba-2fa1-41d2-883f-0016d3cca427"
KNOWN = {
    f"sessions.json.{UUID}.tmp": ("unfinished store", "sessions.json", None),
    f"sessions.json.4121.{UUID}.tmp": ("unfinished store", "sessions.json", 4121),
    "sessions.json.4121.0123456789abcdef.tmp": ("unfinished store", "sessions.json", 4121),
    ".usage-cost-cache.json.7.1770000000000.tmp": (
        "unfinished cost cache",
        ".usage-cost-cache.json",
        7,
    ),
    f"{UUID}.jsonl.repair-7-1770000000000.tmp": (
        "unfinished transcript repair",
        f"{UUID}.jsonl",
        7,
    ),
    f"{UUID}.jsonl.lock": ("lock", f"{UUID}.jsonl", None),
    "sessions.json.lock": ("lock", "sessions.json", None),
    f"main.checkpoint.{UUID}.jsonl": ("copy before a compaction", "main.jsonl", None),
    f"{UUID}.jsonl.bak-7-1770000000000": ("copy before a repair", f"{UUID}.jsonl", 7),
    f"{UUID}.jsonl.corrupt-2026-01-02T03-04-05-678Z-0a1b.jsonl": (
        "copy of a damaged transcript",
        f"{UUID}.jsonl",
        None,
    ),
    "sessions.json.bak.1770000000000": ("rotated store", "sessions.json", None),
    f"{UUID}.jsonl.deleted.2026-01-02T03-04-05.678Z": ("ended transcript", None, None),
    f"{UUID}-topic-9.jsonl.reset.2026-01-02T03-04-05.678Z.zst": ("ended transcript", None, None),
    f"{UUID}.trajectory.jsonl": ("trace of a run", None, None),
    f"{UUID}.trajectory-path.json": ("trace of a run", None, None),
    f"{UUID}.jsonl": ("transcript without an entry", None, None),
    f"{UUID}-topic-9.jsonl": ("transcript without an entry", None, None),
}
NOBODYS = (
    "sessions.json",
    "sessions.json.bak-manual",
    "sessions.json.bak",
    "sessions.json~",
    "sessions.json.tmp",
    "sessions.json.7.tmp",
    f"{UUID}.jsonl.bak-manual",
    f"{UUID}.jsonl.bak",
    f"{UUID}.jsonl.old",
    f"{UUID}.jsonl.deleted.yesterday",
    "notes.md",
    "memory.sqlite",
    f"memory.sqlite.{UUID}.tmp",
    ".lock",
    f"{UUID}.jsonl.gz",
)


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_form_tells_what_it_was_to_become_and_who_wrote_it(name):
    parsed = parse(name, IN_SESSIONS)
    assert parsed is not None
    assert (parsed.pattern.what, parsed.of, parsed.pid) == KNOWN[name]


@pytest.mark.parametrize("name", NOBODYS)
def test_any_other_name_is_nobodys_to_judge(name):
    """A clean-up of the gateway's deleted the copies that people had made by hand."""
    assert parse(name, IN_SESSIONS) is None


@pytest.mark.parametrize("name", [*KNOWN, *NOBODYS])
def test_the_engine_and_the_table_take_the_same_names_for_half_written_stores(name):
    parsed = parse(name, IN_SESSIONS)
    is_ours = parsed is not None and parsed.pattern.what == "unfinished store"
    assert is_ours == is_temporary(name, "sessions.json")


def test_a_copy_is_looked_for_by_what_a_record_would_name_it():
    marks = {name: parse(name, IN_SESSIONS).mark for name in KNOWN}
    assert marks[f"main.checkpoint.{UUID}.jsonl"] == UUID
    assert marks[f"{UUID}-topic-9.jsonl"] == UUID
    assert marks[f"{UUID}.jsonl.bak-7-1770000000000"] == f"{UUID}.jsonl.bak-7-1770000000000"


def test_captures_are_known_where_they_lie_and_nowhere_else():
    assert parse("openclaw-plugin-build-x1", IN_TEMPORARY) is not None
    assert parse("openclaw-model-catalog-x1", IN_TEMPORARY) is not None
    assert parse("openclaw-sqlite-readonly-v2-9", IN_CACHE) is not None
    assert parse("openclaw-501", IN_TEMPORARY) is None
    assert parse("openclaw-plugin-build-x1", IN_SESSIONS) is None


def test_every_class_says_its_proof_and_what_becomes_of_it():
    assert set(PROOFS) == set(BECOMES) == set(Class)


def test_no_pid_is_too_long_to_be_one():
    assert parse(f"sessions.json.{'9' * 30}.{UUID}.tmp", IN_SESSIONS).pid is None
