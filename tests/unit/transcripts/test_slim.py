"""Slimming one transcript: what stays of the file, what is refused, and what is on record."""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress

import pytest

from support.stores import FULL, FaultyDisk, list_tree
from support.transcripts import dump, make_turns, read_archive, slim_by_model, text
from tailflip.base.durable import RealDisk
from tailflip.base.errors import CannotCreate, NoPermission, StoreInvalid, TryLater
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.flow.outcomes import ActionKind
from tailflip.ledger.actions import Ledger, State
from tailflip.stores import archive
from tailflip.transcripts.slim import forecast, slim

NOW_MS = 1_800_000_000_000
DEAD = 2**22 + 5


@pytest.fixture
def workspace(tmp_path):
    made = Workspace(Home(tmp_path / "own"), RealDisk())
    made.create()
    return made


@pytest.fixture
def path(tmp_path):
    folder = tmp_path / "agents" / "main" / "sessions"
    folder.mkdir(parents=True)
    made = folder / "old.jsonl"
    made.write_bytes(dump(make_turns(8)))
    made.chmod(0o640)
    os.utime(made, (1_700_000_000, 1_700_000_000))
    return made


def test_old_images_and_results_leave_and_the_last_three_turns_stay(path, workspace):
    before = path.read_bytes()
    told = forecast(path)
    done = slim(path, workspace=workspace, now_ms=NOW_MS)
    after = path.read_bytes()
    assert told.bytes_after == done.report.bytes_after == len(after) < len(before) // 2
    assert (done.numbers.images, done.numbers.results) == (5, 5)
    old, new = before.splitlines(), after.splitlines()
    assert new[-12:] == old[-12:], "three turns of four lines"
    assert new[0] == old[0]
    kept = ("type", "id", "parentId", "timestamp")
    for one, other in zip(map(json.loads, old), map(json.loads, new), strict=True):
        assert [one[each] for each in kept[:2]] == [other[each] for each in kept[:2]]
        assert one.get("parentId") == other.get("parentId")
        assert one.get("message", {}).get("role") == other.get("message", {}).get("role")
    result = json.loads(new[3])["message"]["content"][0]["text"]
    action = done.report.action_id
    pointer = f"[tailflip: 27952 characters of an old tool result are in archive {action}]"
    assert result.endswith(f"\n{pointer}")


def test_mode_and_time_are_kept_and_no_lock_is_left(path, workspace):
    slim(path, workspace=workspace, now_ms=NOW_MS)
    info = path.stat()
    assert stat.S_IMODE(info.st_mode) == 0o640
    assert info.st_mtime == 1_700_000_000
    assert [each.name for each in path.parent.iterdir()] == ["old.jsonl"]


def test_the_archive_holds_the_changed_lines_whole_and_can_be_verified(path, workspace):
    before = path.read_bytes()
    action = slim(path, workspace=workspace, now_ms=NOW_MS).report.action_id
    records = read_archive(workspace.home.records(action).read_bytes())
    assert [raw for _, raw in records] == [
        line for n, line in enumerate(before.splitlines()) if n % 4 in (1, 3) and n < 20
    ]
    assert all(before[each["at"] :].startswith(raw) for each, raw in records)
    assert archive.verify(workspace, action).records == 10
    kept = Ledger(workspace).find(action)
    assert kept is not None
    assert (kept.kind, kept.state, kept.store) == (ActionKind.SLIM, State.DONE, str(path))


def test_a_second_slimming_finds_nothing(path, workspace):
    slim(path, workspace=workspace, now_ms=NOW_MS)
    before = path.read_bytes()
    again = slim(path, workspace=workspace, now_ms=NOW_MS + 1)
    assert again.report.action_id == ""
    assert path.read_bytes() == before
    assert len(Ledger(workspace).read_all()) == 1


@pytest.mark.parametrize("turns", [0, 1, 3])
def test_what_has_no_old_turn_stays(path, workspace, turns):
    path.write_bytes(dump(make_turns(turns)))
    before = path.read_bytes()
    assert slim(path, workspace=workspace, now_ms=NOW_MS).report.action_id == ""
    assert path.read_bytes() == before


def test_a_text_of_exactly_the_limit_stays(path, workspace):
    for size, expected in ((16 * 1024, 0), (16 * 1024 + 1, 5)):
        path.write_bytes(dump(make_turns(8, tool="x" * size)))
        assert forecast(path).results == expected


def test_a_lock_of_the_dead_is_removed(path, workspace):
    lock = path.with_name("old.jsonl.lock")
    lock.write_text(json.dumps({"pid": DEAD, "createdAt": "2026-01-01T00:00:00.000Z"}))
    assert slim(path, workspace=workspace, now_ms=NOW_MS).report.action_id
    assert not lock.exists()


def test_a_living_lock_is_respected(path, workspace):
    before, lock = path.read_bytes(), path.with_name("old.jsonl.lock")
    # Without a start time, a process that is older than the lock is its owner.
    lock.write_text(json.dumps({"pid": os.getpid(), "createdAt": "2100-01-01T00:00:00.000Z"}))
    with pytest.raises(TryLater, match="session is in use by pid"):
        slim(path, workspace=workspace, now_ms=NOW_MS)
    assert path.read_bytes() == before
    assert lock.exists()
    assert Ledger(workspace).read_all() == ()


def test_a_lock_that_names_nobody_counts_for_half_an_hour(path, workspace):
    lock = path.with_name("old.jsonl.lock")
    lock.write_text("")
    with pytest.raises(TryLater):
        slim(path, workspace=workspace, now_ms=NOW_MS)
    os.utime(lock, (1, 1))
    assert slim(path, workspace=workspace, now_ms=NOW_MS).report.action_id


def test_links_second_names_and_folders_are_refused(path, workspace, tmp_path):
    before = list_tree(path.parent)
    link = path.with_name("link.jsonl")
    link.symlink_to(path)
    with pytest.raises(StoreInvalid, match="not a regular file"):
        slim(link, workspace=workspace, now_ms=NOW_MS)
    link.unlink()
    link.hardlink_to(path)
    with pytest.raises((NoPermission, StoreInvalid)):
        slim(link, workspace=workspace, now_ms=NOW_MS)
    link.unlink()
    with pytest.raises(StoreInvalid):
        slim(tmp_path, workspace=workspace, now_ms=NOW_MS)
    assert list_tree(path.parent) == before


def test_a_line_appended_meanwhile_is_never_lost(path, workspace, monkeypatch):
    """It is written after our last read, and before our rename."""
    late, original = b'{"type":"message","id":"late"}\n', Ledger.advance

    def advance(ledger, action, state, *args, **kwargs):
        if state is State.ARCHIVED:
            with path.open("ab") as file:
                file.write(late)
        return original(ledger, action, state, *args, **kwargs)

    before = path.read_bytes()
    monkeypatch.setattr(Ledger, "advance", advance)
    with pytest.raises(TryLater, match="changed"):
        slim(path, workspace=workspace, now_ms=NOW_MS)
    assert path.read_bytes() == before + late
    assert [each.state for each in Ledger(workspace).read_all()] == [State.UNDONE]


def test_a_full_disk_loses_nothing(path, workspace):
    before = path.read_bytes()
    for at in range(1, 60):
        disk = FaultyDisk(at, error=FULL)
        with suppress(CannotCreate):
            slim(path, workspace=Workspace(workspace.home, disk), now_ms=NOW_MS)
        if path.read_bytes() != before:
            break
    done = path.read_bytes()
    action = next(a for a in Ledger(workspace).read_all() if a.state is State.DONE)
    named = done.replace(action.id.encode(), b"20260101T000000Z-abcdef")
    assert named == slim_by_model(before)[0]


def test_what_a_user_says_is_never_cut(path, workspace):
    records = make_turns(8, picture="")
    for each in records:
        if each.get("message", {}).get("role") in ("user", "assistant"):
            each["message"]["content"] = [text("y" * 20_000)]
    path.write_bytes(dump(records))
    done = slim(path, workspace=workspace, now_ms=NOW_MS)
    assert (done.numbers.images, done.numbers.results) == (0, 5)
    assert path.read_bytes().count(b"y" * 20_000) == 24
