"""`tailflip reclaim`: what goes, what stays and why, and what comes back."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from support.agent_database import make_database
from support.leftovers import (
    CHECKPOINTS,
    DAY_MS,
    ENDED,
    LIVING,
    ORPHAN,
    Leftovers,
    make_transcript,
)
from support.stores import list_tree, make_entries
from tailflip.base import clock, durable
from tailflip.base.durable import RealDisk
from tailflip.base.workspace import Workspace
from tailflip.ledger.actions import Ledger
from tailflip.reclaim import acting, census


@pytest.fixture
def left(place, monkeypatch):
    monkeypatch.setattr(census, "list_temp_roots", lambda _: [str(place.root / "scratch")])
    return Leftovers(place.store)


def reclaim(place, *argv):
    code, out, err = place.run("reclaim", "--json", *argv)
    assert code in (0, 75), err
    return json.loads(out)


def reasons(answer):
    return {(each["name"], each["reason"]): each["file_count"] for each in answer["stays"]}


def names(answer):
    return {each["name"]: each["file_count"] for each in answer["may_go"]}


def test_a_look_changes_nothing_and_tells_all(place, left):
    left.put_temporary()
    left.put_checkpoint(0)
    left.put_history()
    before = list_tree(place.root)
    code, out, _ = place.run("reclaim")
    assert code == 0
    assert list_tree(place.root) == before
    assert "nothing was changed; add --apply to do it" in out
    for word in ("debris", "copies", "history", "a record names it"):
        assert word in out


def test_all_that_is_proven_goes_and_all_else_stays(place, left):
    gone = {left.put_temporary(n).name for n in range(30)}
    gone |= {left.put_checkpoint(0).name, *(path.name for path in left.put_history())}
    young = left.put_temporary(99, age_ms=1000).name
    fresh = left.put("66666666-0000-4000-8000-000000000006.jsonl", b"{}\n", DAY_MS).name
    manual = left.put(f"{ORPHAN}.jsonl.bak-manual", b"mine").name
    answer = reclaim(place, "--apply")
    assert names(answer) == {"debris": 30, "copies": 1, "history": 3}
    assert left.list() == {"sessions.json", f"{LIVING}.jsonl", young, fresh, manual}
    assert not gone & left.list()
    assert answer["skipped"] == []
    assert reclaim(place, "--apply")["action_ids"] == []


def test_history_and_copies_come_back_byte_for_byte(place, left):
    left.put_checkpoint(0)
    paths = left.put_history()
    paths[0].chmod(0o640)
    before = list_tree(left.folder)
    times = {path.name: path.stat().st_mtime_ns for path in left.folder.iterdir()}
    actions = reclaim(place, "--apply")["action_ids"]
    assert len(actions) == 2
    for action in actions:
        code, out, _ = place.run("restore", action)
        assert code == 0
        assert "nothing was changed" in out
        code, out, _ = place.run("restore", action, "--apply")
        assert code == 0
        assert "come" in out
    assert list_tree(left.folder) == before
    assert {path.name: path.stat().st_mtime_ns for path in left.folder.iterdir()} == times
    assert paths[0].stat().st_mode & 0o777 == 0o640
    code, out, _ = place.run("restore", actions[0], "--apply")
    assert "already" in out


def test_an_archive_of_history_is_read_without_tailflip(place, left):
    left.put_history()
    (action,) = reclaim(place, "--apply")["action_ids"]
    path = place.own.records(action)
    text = subprocess.run(["/usr/bin/zstdcat", path], capture_output=True, check=False).stdout
    if not text:
        zstandard = pytest.importorskip("zstandard")
        with path.open("rb") as file:
            text = zstandard.ZstdDecompressor().stream_reader(file).read()
    assert make_transcript(ORPHAN) in text
    assert make_transcript(ENDED) in text


def test_what_went_as_debris_is_on_record_with_its_digest(place, left):
    left.put_temporary(size=5000)
    (action,) = reclaim(place, "--apply", "--class", "debris")["action_ids"]
    told = json.loads((place.own.archive(action) / "reclaimed.json").read_text())
    assert [(each["bytes"], len(each["digest"])) for each in told["files"]] == [(5000, 64)]
    code, _, err = place.run("restore", action, "--apply")
    assert code == 65
    assert "nothing of that action was kept" in err
    assert Ledger(Workspace(place.own, RealDisk())).find(action).took_nothing
    code, _, err = place.run("archive", "show", action)
    assert code == 64
    assert "reclaimed.json" in err


def test_one_changed_byte_makes_a_copy_history(place, left):
    """It would have been deleted for bytes that the other file does not have."""
    data = bytearray(left.transcript)
    data[len(data) // 2] ^= 1
    left.put_checkpoint(0, bytes(data))
    assert names(reclaim(place)) == {"history": 1}
    assert reclaim(place, "--apply", "--class", "copies")["action_ids"] == []
    assert f"{LIVING}.checkpoint.{CHECKPOINTS[0]}.jsonl" in left.list()


def test_a_copy_of_what_nobody_names_is_no_copy_but_history(place, left):
    """Both would have gone: the copy for the transcript, and then the transcript."""
    left.put(f"{ORPHAN}.jsonl", make_transcript(ORPHAN))
    left.put(f"{ORPHAN}.checkpoint.{CHECKPOINTS[0]}.jsonl", make_transcript(ORPHAN, 20))
    assert names(reclaim(place)) == {"history": 2}


@pytest.mark.parametrize("write", [str, lambda t: "".join(f"\\u{ord(c):04x}" for c in t)])
def test_a_checkpoint_that_an_entry_names_stays(place, left, write):
    left.put_checkpoint(0)
    left.put_checkpoint(1)
    text = left.store.read_text().replace(LIVING, f'{LIVING}","x":"{write(CHECKPOINTS[1])}')
    left.store.write_text(text)
    assert names(reclaim(place, "--apply")) == {"copies": 1}
    assert f"{LIVING}.checkpoint.{CHECKPOINTS[1]}.jsonl" in left.list()


@pytest.mark.parametrize("state", ["damaged", "missing", "empty"])
def test_nothing_goes_beside_a_store_that_may_need_it(place, left, state):
    """A half-written store beside a damaged one may be all that is left of it."""
    left.put_temporary()
    left.put_checkpoint(0)
    left.put_history()
    if state == "missing":
        left.store.unlink()
    else:
        left.store.write_text("{}" if state == "empty" else '{"agent:main:main": {"sess')
    before = left.list()
    answer = reclaim(place, "--apply")
    assert (names(answer), answer["action_ids"]) == ({}, [])
    assert left.list() == before
    assert all(state in reason or "salvages" in reason for _, reason in reasons(answer))


@pytest.mark.parametrize("kind", ["temporary", "history"])
def test_what_a_process_has_open_stays(place, left, kind):
    path = left.put_temporary() if kind == "temporary" else left.put_history()[0]
    code = "import sys, time; f = open(sys.argv[1]); print('here', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"here\n"
            answer = reclaim(place, "--apply")
        finally:
            process.kill()
    assert path.exists()
    assert "a process has it open" in {reason for _, reason in reasons(answer)}


def test_the_pid_in_a_name_keeps_a_file_while_that_process_lives(place, left):
    pid = os.getpid()
    name = f"sessions.json.{pid}.55555555-0000-4000-8000-000000000000.tmp"
    young = left.put(name, b"x", 0)
    path = left.put(name.replace("-8000-", "-8001-"), b"x")
    # Older than the process: another one had the pid then.
    assert names(reclaim(place, "--apply")) == {"debris": 1}
    assert not path.exists()
    assert young.exists()


def test_a_hard_link_and_a_link_stay(place, left):
    one = left.put_temporary(1)
    os.link(one, left.folder / "kept-by-somebody")
    left.age(one)
    two = left.folder / "sessions.json.55555555-0000-4000-8000-000000000002.tmp"
    two.symlink_to(left.folder / "sessions.json")
    left.put_history()[1].unlink()
    answer = reclaim(place, "--apply", "--class", "debris")
    assert ("debris", "it has more than one name") in reasons(answer)
    assert one.exists()
    assert two.is_symlink()


def test_a_locked_session_stays(place, left):
    left.put_history()
    (left.folder / f"{ORPHAN}.jsonl.lock").write_text(json.dumps({"pid": os.getpid()}))
    answer = reclaim(place, "--apply")
    assert {f"{ORPHAN}.jsonl", f"{ORPHAN}.jsonl.lock", f"{ORPHAN}.trajectory.jsonl"} <= left.list()
    assert ("history", "its session is locked") in reasons(answer)


def test_the_lock_of_a_dead_process_goes(place, left):
    lock = left.put(f"{ORPHAN}.jsonl.lock", json.dumps({"pid": 999_999_999}).encode())
    assert names(reclaim(place, "--apply")) == {"debris": 1}
    assert not lock.exists()


def test_a_half_written_repair_stays_beside_a_headless_transcript(place, left):
    name = f"{ORPHAN}.jsonl.repair-999999999-1770000000000.tmp"
    left.put(name, make_transcript(ORPHAN))
    left.put(f"{ORPHAN}.jsonl", b"damaged\n" + make_transcript(ORPHAN), DAY_MS)
    assert names(reclaim(place, "--apply")) == {}
    left.put(f"{ORPHAN}.jsonl", make_transcript(ORPHAN), DAY_MS)
    assert names(reclaim(place, "--apply")) == {"debris": 1}


@pytest.mark.parametrize("text", [b"", b"{}\n", b'{"type": "session"', b"\xff\n", b"[1]\n" * 99])
def test_what_does_not_begin_as_a_transcript_is_nobodys(place, left, text):
    """People keep files of their own beside a store; and a damaged transcript may be healed."""
    path = left.put("measurements-2026.jsonl", text)
    assert names(reclaim(place, "--apply")) == {}
    assert path.read_bytes() == text


def test_the_newest_rotated_store_stays(place, left):
    store = left.store.read_bytes()
    for n in range(3):
        left.put(f"sessions.json.bak.177000000000{n}", store[:20], (10 - n) * DAY_MS)
    assert names(reclaim(place, "--apply")) == {"copies": 2}
    assert "sessions.json.bak.1770000000002" in left.list()


def test_captures_go_but_for_the_newest_and_those_in_use(place, left, monkeypatch):
    scratch = place.root / "scratch"
    for n in range(4):
        folder = scratch / f"openclaw-plugin-build-{n}"
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "x.js").write_bytes(b"x" * 1000)
        (folder / "out").symlink_to(left.store)
        left.age(folder, (10 - n) * DAY_MS)
    now = clock.now_ms()
    monkeypatch.setattr(clock, "now_ms", lambda: now + 2 * DAY_MS)
    code = "import time; print('here', flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        cwd=scratch / "openclaw-plugin-build-1",
    ) as process:
        try:
            assert process.stdout.readline() == b"here\n"
            answer = reclaim(place, "--apply", "--class", "captures")
        finally:
            process.kill()
    kept = {path.name for path in scratch.iterdir()}
    assert kept == {"openclaw-plugin-build-1", "openclaw-plugin-build-3"}
    assert reasons(answer) == {
        ("captures", "a process has it open"): 1,
        ("captures", "it is the newest of its kind"): 1,
    }
    assert left.store.exists()


def test_what_changed_after_it_was_judged_is_skipped_and_named(place, left, monkeypatch):
    path = left.put_history()[0]
    real = acting.write_manifest

    def write(*args):
        real(*args)
        with path.open("ab") as file:
            file.write(b"{}\n")

    monkeypatch.setattr(acting, "write_manifest", write)
    code, out, err = place.run("reclaim", "--apply", "--json")
    assert code == 75
    assert [each["path"] for each in json.loads(out)["skipped"]] == [str(path)]
    assert path.exists()
    assert path.name in err


def test_what_a_record_names_by_the_time_it_is_packed_stays(place, left, monkeypatch):
    left.put_history()
    real = acting.verify_records

    def verify(fd):
        left.name_in_store(sessionFile=f"{ORPHAN}.jsonl")
        return real(fd)

    monkeypatch.setattr(acting, "verify_records", verify)
    code, out, _ = place.run("reclaim", "--apply", "--json")
    assert code == 75
    assert f"{ORPHAN}.jsonl" in left.list()
    assert {each["why"] for each in json.loads(out)["skipped"]} == {"a record names it by now"}


def test_a_copy_cannot_be_made_again_from_a_file_that_changed(place, left):
    left.put_checkpoint(0)
    (action,) = reclaim(place, "--apply")["action_ids"]
    left.put(f"{LIVING}.jsonl", b"x" + left.transcript)
    code, _, err = place.run("restore", action, "--apply")
    assert code == 65
    assert "does not begin with its bytes any more" in err
    assert f"{LIVING}.checkpoint.{CHECKPOINTS[0]}.jsonl" not in left.list()


def test_what_has_its_name_again_is_not_replaced(place, left):
    path = left.put_history()[0]
    (action,) = reclaim(place, "--apply")["action_ids"]
    path.write_text("another")
    _, out, _ = place.run("restore", action, "--apply")
    assert "stays archived: its name is taken" in out
    assert path.read_text() == "another"


def test_it_stops_where_there_is_room_enough(place, left):
    left.put_temporary()
    answer = reclaim(place, "--apply", "--until", "1kb")
    assert answer["action_ids"] == []
    code, _, err = place.run("reclaim", "--until", "much")
    assert code == 64
    assert "--until" in err


def test_history_waits_as_long_as_it_is_told_to(place, left, monkeypatch):
    left.put_history()
    assert names(reclaim(place, "--older-than", "60d")) == {}
    monkeypatch.setenv("TAILFLIP_RECLAIM_HISTORY_AFTER", "60d")
    assert names(reclaim(place)) == {}
    assert names(reclaim(place, "--older-than", "20d")) == {"history": 3}
    code, _, err = place.run("reclaim", "--class", "all")
    assert code == 64
    assert "debris" in err


def test_sessions_in_a_database_leave_history_alone(place, left):
    left.put_history()
    database = place.state / "agents" / "main" / "agent" / "openclaw-agent.sqlite"
    make_database(database, make_entries())
    assert names(reclaim(place)) == {}


def test_a_full_disk_gives_room_batch_by_batch(place, left, monkeypatch):
    """The list of what goes needs room too: where there is little, few go at first."""
    for n in range(300):
        left.put_temporary(n)
    room = [6_000]
    real = durable.RealDisk.write

    def write(self, fd, data):
        if len(data) > room[0] and data.startswith(b"{\n"):
            room[0] += 3_000  # others give room back too
            raise OSError(28, "No space left on device")
        real(self, fd, data)

    monkeypatch.setattr(durable.RealDisk, "write", write)
    answer = reclaim(place, "--apply")
    assert len(answer["action_ids"]) > 3
    assert left.list() == {"sessions.json", f"{LIVING}.jsonl"}
