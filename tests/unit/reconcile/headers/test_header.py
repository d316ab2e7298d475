"""A header is planned for what is clearly a transcript; all else is left as it is, and told."""

from __future__ import annotations

import json
import os
import resource

import pytest

from support.headless import SESSION, line_of, make_header, make_messages, make_state
from tailflip.base.errors import StoreInvalid
from tailflip.observe.installation import locate
from tailflip.reconcile.headers.header import find_cwd, plan_header

MESSAGES = make_messages()
CUT = make_header()[:40] + b"\n"


@pytest.fixture
def folder(tmp_path):
    return make_state(tmp_path / "state")


def plan(folder, data, name=f"{SESSION}.jsonl", cwd="/w"):
    path = folder / name
    path.write_bytes(data)
    fd = os.open(path, os.O_RDONLY)
    try:
        return plan_header(path, fd, cwd)
    finally:
        os.close(fd)


def test_garbage_gives_way_to_the_header(folder):
    planned = plan(folder, CUT + MESSAGES)
    assert planned.rest == len(CUT)
    assert planned.line.endswith(b"\n")
    assert json.loads(planned.line) == {
        "type": "session",
        "version": 3,
        "id": SESSION,
        "timestamp": "2026-11-29T10:00:00.500Z",  # of the first record
        "cwd": "/w",
    }


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"\n",
        line_of({"type": "model_change", "id": "m", "parentId": None, "modelId": "x"}),
        line_of({"type": "frob", "id": "f", "parentId": None}),
        b'{"type":"custom","id":"c","data":"' + b"x" * (2 << 20) + b'"}\n',  # longer than we parse
    ],
)
def test_a_first_line_that_is_a_record_or_may_be_one_stays(folder, first):
    assert plan(folder, first + MESSAGES).rest == 0


@pytest.mark.parametrize("first", [b"\0" * 300 + b"\n", b"null\n", b'{"type":"session"}\n', CUT])
def test_a_first_line_that_is_no_record_is_replaced(folder, first):
    assert plan(folder, first + MESSAGES).rest == len(first)


@pytest.mark.parametrize(
    ("name", "session"),
    [
        (f"{SESSION}.jsonl", SESSION),
        (f"{SESSION}-topic-77.jsonl", SESSION),
        (f"2026-11-29T10-00-00-000Z_{SESSION}.jsonl", SESSION),
        ("probe-1.jsonl", "probe-1"),
    ],
)
def test_the_id_is_that_in_the_name(folder, name, session):
    assert json.loads(plan(folder, CUT + MESSAGES, name).line)["id"] == session


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "transcript is empty"),
        (make_header() + MESSAGES, "transcript has a header"),
        (MESSAGES + make_header("b") + MESSAGES, "has a header further down"),
        (CUT + make_header() + MESSAGES, "has a header further down"),
        (b"damaged\n" * 5, "not clearly a transcript"),
        (CUT + line_of({"a": 1}) * 9 + make_messages(2), "not clearly a transcript"),
        (CUT + line_of({"type": "label", "id": "l", "parentId": None}), "not clearly a transcript"),
        (CUT + b"x\n" * 3 + make_messages(3), "not clearly a transcript"),
        (CUT + line_of({"type": "message", "message": {"role": "user"}}), "an old form"),
        (b"\0" * 5_000_000, "not clearly a transcript"),
    ],
)
def test_what_is_not_clearly_a_headless_transcript_is_left_as_it_is(folder, data, why):
    with pytest.raises(StoreInvalid, match=why) as raised:
        plan(folder, data)
    assert "it is left as it is" in raised.value.message


@pytest.mark.parametrize("name", ["note.txt", f"{SESSION}.trajectory.json", "sessions.json"])
def test_a_name_without_a_session_is_none_of_a_transcript(folder, name):
    with pytest.raises(StoreInvalid, match="no transcript by its name"):
        plan(folder, CUT + MESSAGES, name)


def test_damage_further_down_does_not_hide_the_records(folder):
    data = CUT + make_messages(4) + b"\xff\xfe\n" + make_messages(4)
    assert plan(folder, data).rest == len(CUT)


def test_a_line_of_any_length_takes_the_same_memory(folder):
    path = folder / f"{SESSION}.jsonl"
    path.write_bytes(CUT + MESSAGES)
    with path.open("ab") as file:
        file.truncate(512 << 20)  # sparse: one line of half a gigabyte
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fd = os.open(path, os.O_RDONLY)
    try:
        assert plan_header(path, fd, "/w").rest == len(CUT)
    finally:
        os.close(fd)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 << 10  # KiB


def cwd_of(folder, config="{}"):
    (folder.parents[2] / "openclaw.json").write_text(config)
    installation = locate({"HOME": "/nowhere"}, state_dir=folder.parents[2])
    return find_cwd(installation, folder / f"{SESSION}.jsonl")


def test_the_folder_is_that_of_the_transcript_written_last(folder):
    (folder / f"{SESSION}.jsonl").write_bytes(make_header(cwd="/own"))
    for name, cwd, age_s in (("a", "/old", 9), ("b", "/new", 5), ("c", "", 1)):
        path = folder / f"{name}.jsonl"
        path.write_bytes(make_header(name, cwd=cwd) if cwd else b"damaged\n")
        os.utime(path, (1_000 - age_s, 1_000 - age_s))
    assert cwd_of(folder) == "/new"


@pytest.mark.parametrize(
    ("config", "cwd"),
    [
        ({"list": [{"id": "main", "workspace": "/m"}], "defaults": {"workspace": "/d"}}, "/m"),
        ({"list": [{"id": "other", "workspace": "/o"}, 5], "defaults": {"workspace": "/d"}}, "/d"),
        ({"list": {}, "defaults": 7}, None),
    ],
)
def test_without_another_transcript_it_is_the_workspace(folder, config, cwd):
    wanted = cwd or str(folder.parents[2] / "workspace")
    assert cwd_of(folder, json.dumps({"agents": config})) == wanted
