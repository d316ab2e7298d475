"""A transcript that could not be renamed back is not forgotten: the next start tries again."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from support.stores import GONE, HOUR_MS, NOW_MS, format_store, make_entry, make_store, run_key
from tailflip.base.durable import RealDisk
from tailflip.base.workspace import Workspace
from tailflip.flow.observed import Store
from tailflip.plan.policy import Policy
from tailflip.stores import archive
from tailflip.stores.recovery import recover
from tailflip.stores.restore import restore
from tailflip.stores.transaction import compact_store
from tailflip.stores.transcripts import measure_kept
from tailflip.stores.unfinished import find_folder

if TYPE_CHECKING:
    from pathlib import Path

    from tailflip.base.state_dir import Home


class StubbornDisk(RealDisk):
    """Renames no transcript back."""

    def rename(self, old: Path, new: Path) -> None:
        if new.suffix == ".jsonl":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().rename(old, new)


def list_transcripts(store_path: Path) -> set[str]:
    return {path.name for path in store_path.parent.iterdir() if ".jsonl" in path.name}


@pytest.fixture
def names(store_path: Path, home: Home) -> set[str]:
    """A store that was compacted, and restored on a disk that renames no transcript back."""
    make_store(store_path)
    names = list_transcripts(store_path)
    store = Store(store_path, "main")
    report = compact_store(
        store, Policy(), GONE, workspace=Workspace(home, RealDisk()), now_ms=NOW_MS
    )
    assert report.transcripts
    restored = put_back(home, StubbornDisk(), report.action_id)
    assert restored.report.warnings
    assert list_transcripts(store_path) != names
    return names


def put_back(home: Home, disk: RealDisk, action_id: str):
    return restore(Workspace(home, disk), action_id=action_id, apply=True, now_ms=NOW_MS + 1)


def test_the_next_start_renames_it_back_and_says_so(store_path, home, names):
    (note,) = recover(Workspace(home, RealDisk()))
    assert "are back under their names" in note
    assert "could not" not in note
    assert list_transcripts(store_path) == names
    assert recover(Workspace(home, RealDisk())) == ()


def test_a_disk_that_still_fails_is_tried_again_each_time(store_path, home, names):
    for _ in range(2):
        (note,) = recover(Workspace(home, StubbornDisk()))
        assert "could not be renamed" in note
    recover(Workspace(home, RealDisk()))
    assert list_transcripts(store_path) == names


def test_restoring_again_renames_it_back(store_path, home, names):
    action = archive.list_actions(Workspace(home, RealDisk()))[-1].action
    assert put_back(home, RealDisk(), action.id).report is None, "every entry is there already"
    assert list_transcripts(store_path) == names


def compact(store_path: Path, home: Home, now_ms: int = NOW_MS):
    store = Store(store_path, "main")
    return compact_store(
        store, Policy(), GONE, workspace=Workspace(home, RealDisk()), now_ms=now_ms
    )


def test_what_an_older_version_set_aside_as_deleted_comes_back_too(store_path, home):
    make_store(store_path)
    before = list_transcripts(store_path)
    report = compact(store_path, home)
    action = archive.find_action(Workspace(home, RealDisk()), report.action_id)
    folder = find_folder(action)
    for path in folder.iterdir():
        path.rename(store_path.with_name(path.name + action.transcript_suffix))
    folder.rmdir()
    folder.parent.rmdir()
    kept = measure_kept(action)
    assert (kept.files, kept.exposed) == (report.transcripts, report.transcripts)
    assert put_back(home, RealDisk(), report.action_id).report.warnings == ()
    assert list_transcripts(store_path) == before


def test_a_transcript_that_lives_again_stays_and_the_kept_one_too(store_path, home):
    make_store(store_path)
    report = compact(store_path, home)
    folder = find_folder(archive.find_action(Workspace(home, RealDisk()), report.action_id))
    kept = min(folder.iterdir())
    before = kept.read_bytes()
    store_path.with_name(kept.name).write_text("written since")
    (warning,) = put_back(home, RealDisk(), report.action_id).report.warnings
    assert warning.startswith("1 transcript lives again under its name")
    assert store_path.with_name(kept.name).read_text() == "written since"
    assert kept.read_bytes() == before


@pytest.mark.parametrize("name", ["link", "file"])
def test_a_link_where_transcripts_are_kept_is_not_followed(store_path, home, tmp_path, name):
    make_store(store_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    names = list_transcripts(store_path)
    if name == "link":
        (store_path.parent / ".tailflip").symlink_to(elsewhere)
    else:
        (store_path.parent / ".tailflip").write_text("a file")
    report = compact(store_path, home)
    assert report.action_id
    assert report.transcripts == 0
    assert report.warnings
    assert list_transcripts(store_path) == names
    assert list(elsewhere.iterdir()) == []


def test_an_archive_that_expires_takes_the_note_with_it(home, names):
    assert names
    archive.expire(
        Workspace(home, RealDisk()), older_than_ms=0, now_ms=NOW_MS + HOUR_MS, apply=True
    )
    assert recover(Workspace(home, RealDisk())) == ()
    assert list(home.archives.iterdir()) == []


@pytest.mark.parametrize("theirs", ["names it", "cannot be read", "names another"])
def test_a_transcript_that_an_entry_of_another_agent_names_stays(
    store_path: Path, home: Home, theirs: str
) -> None:
    """The entries of one store were asked alone, and a session of another agent lost its text."""
    make_store(store_path, {run_key(n, "job"): make_entry(n, 60 * HOUR_MS) for n in ("r0", "r1")})
    before, gone = list_transcripts(store_path), "r0.jsonl"
    store, workspace = Store(store_path, "main"), Workspace(home, RealDisk())
    other = store_path.parents[2] / "other" / "sessions" / "sessions.json"
    other.parent.mkdir(parents=True)
    file = str(store_path.with_name(gone if theirs == "names it" else "elsewhere.jsonl"))
    entry = make_entry("of-other", 0, sessionFile=file)
    data = format_store({"agent:other:main": entry})
    other.write_bytes(b"{" if theirs == "cannot be read" else data)
    compact_store(store, Policy(), GONE, workspace=workspace, now_ms=NOW_MS)
    left = list_transcripts(store_path)
    assert (gone in left) is (theirs != "names another")
    assert (left == before) is (theirs == "cannot be read"), "unknown means keep"
