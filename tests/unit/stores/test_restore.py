"""One damaged archive keeps no other entry from coming back, and can be told and let go alone."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.stores import GONE, HOUR_MS, NOW_MS, format_store, make_entry, make_store, run_key
from tailflip.base.durable import RealDisk
from tailflip.base.errors import ArchiveDamaged, TailflipError, Usage
from tailflip.base.workspace import Workspace
from tailflip.flow.observed import Store
from tailflip.plan.policy import Policy
from tailflip.stores import archive
from tailflip.stores.recovery import recover
from tailflip.stores.restore import restore
from tailflip.stores.transaction import compact_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from tailflip.base.state_dir import Home

DISK = RealDisk()
PAGE = Path(__file__).parents[3] / "docs" / "undo.md"
OLD_JOB, NEW_JOB = "job-old", "job-new"


class Place:
    """A store that lost an old job's runs to one archive, and a new job's to another."""

    def __init__(self, store_path: Path, home: Home) -> None:
        self.store, self.home = store_path, home
        self.entries: dict[str, object] = {}
        make_store(store_path, {})
        self.old, self.new = self.compact(OLD_JOB, 0), self.compact(NEW_JOB, 1)
        self.folder = home.archive(self.old)

    def compact(self, job: str, number: int) -> str:
        runs = {run_key(f"{job}{n}", job): make_entry(f"{job}{n}", 60 * HOUR_MS) for n in range(3)}
        self.entries |= runs
        self.store.write_bytes(format_store(runs))
        for entry in runs.values():
            self.store.with_name(f"{entry['sessionId']}.jsonl").write_text(f"{job}\n")
        store = Store(self.store, "main")
        now_ms = NOW_MS + number
        report = compact_store(
            store, Policy(), GONE, workspace=Workspace(self.home, DISK), now_ms=now_ms
        )
        return report.action_id

    def restore(self, **what: object):
        return restore(Workspace(self.home, DISK), apply=True, now_ms=NOW_MS + 10, **what)

    def keys(self) -> set[str]:
        return set(json.loads(self.store.read_bytes()))

    def keys_of(self, job: str) -> set[str]:
        return {key for key in self.entries if f":{job}:" in key}


@pytest.fixture
def place(store_path: Path, home: Home) -> Place:
    return Place(store_path, home)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def turn_into_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "inside").write_text("x")


def turn_into_file(path: Path) -> None:
    shutil.rmtree(path)
    path.write_text("x")


RECORDS: dict[str, Callable[[Path], object]] = {
    "a flipped bit": lambda folder: flip(folder / "records.zst"),
    "cut off": lambda folder: os.truncate(folder / "records.zst", 40),
    "emptied": lambda folder: os.truncate(folder / "records.zst", 0),
    "gone": lambda folder: (folder / "records.zst").unlink(),
    "a folder": lambda folder: turn_into_folder(folder / "records.zst"),
    "a FIFO": lambda folder: (
        (folder / "records.zst").unlink(),
        os.mkfifo(folder / "records.zst"),
    ),
    "folder gone": shutil.rmtree,
    "folder is a file": turn_into_file,
}
MANIFEST: dict[str, Callable[[Path], object]] = {
    "gone": lambda folder: (folder / "manifest.json").unlink(),
    "no JSON": lambda folder: (folder / "manifest.json").write_bytes(b'{"version": 1, \xff'),
    "other JSON": lambda folder: (folder / "manifest.json").write_text("[]"),
    "a folder": lambda folder: turn_into_folder(folder / "manifest.json"),
}


@pytest.mark.parametrize("damage", RECORDS)
def test_what_lies_whole_elsewhere_comes_back_and_the_damage_is_told(
    place: Place, damage: str
) -> None:
    RECORDS[damage](place.folder)
    key = min(place.keys_of(NEW_JOB))
    outcome = place.restore(keys=[key])
    assert place.keys() == {key}
    assert [each.action for each in outcome.damaged] == [place.old]
    assert place.restore(jobs=[NEW_JOB]).damaged
    assert place.keys() == place.keys_of(NEW_JOB)
    place.store.write_bytes(b"{}")
    outcome = place.restore(everything=True)
    assert (outcome.added, outcome.actions) == (3, (place.new,))
    assert [each.action for each in outcome.damaged] == [place.old]
    assert place.store.with_name(f"{NEW_JOB}0.jsonl").read_text() == f"{NEW_JOB}\n"


@pytest.mark.parametrize("damage", RECORDS)
def test_what_only_a_damaged_archive_can_hold_is_told_so(place: Place, damage: str) -> None:
    RECORDS[damage](place.folder)
    for what in ({"jobs": [OLD_JOB]}, {"keys": sorted(place.keys_of(OLD_JOB))}):
        with pytest.raises(ArchiveDamaged, match=place.old):
            place.restore(**what)
    with pytest.raises(TailflipError) as caught:
        place.restore(action_id=place.old)
    assert not isinstance(caught.value, Usage)
    assert place.keys() == set()


@pytest.mark.parametrize("damage", RECORDS)
def test_a_damaged_archive_is_listed_verified_and_let_go_alone(place: Place, damage: str) -> None:
    RECORDS[damage](place.folder)
    listed = {each.action.id: each for each in archive.survey_archives(Workspace(place.home, DISK))}
    assert set(listed) == {place.old, place.new}
    assert listed[place.new].damage is None
    if damage != "a flipped bit":  # that is seen by reading all of it
        assert str(place.folder) in (listed[place.old].damage or "")
    with pytest.raises(TailflipError):
        archive.verify(Workspace(place.home, DISK), place.old)
    archive.verify(Workspace(place.home, DISK), place.new)
    expire(place, place.old)


def expire(place: Place, action_id: str) -> None:
    """Let one go; the other stays, and nothing is left to be said about it."""
    gone = archive.expire(
        Workspace(place.home, DISK), action_ids=[action_id], now_ms=NOW_MS, apply=True
    )
    assert [action.id for action in gone.actions] == [action_id]
    assert gone.errors == ()
    assert not os.path.lexists(place.home.archive(action_id))
    assert recover(Workspace(place.home, DISK)) == ()
    assert place.restore(everything=True).damaged == ()
    assert place.keys() == place.keys_of(NEW_JOB)


@pytest.mark.parametrize("damage", MANIFEST)
def test_without_its_manifest_everything_still_comes_back(place: Place, damage: str) -> None:
    MANIFEST[damage](place.folder)
    shown = archive.show(Workspace(place.home, DISK), place.old)
    assert shown.manifest is None
    assert shown.damage is not None
    assert {header.key for header in shown.headers} == place.keys_of(OLD_JOB)
    listed = {each.action.id: each for each in archive.survey_archives(Workspace(place.home, DISK))}
    assert listed[place.old].damage
    with pytest.raises(TailflipError):
        archive.verify(Workspace(place.home, DISK), place.old)
    outcome = place.restore(everything=True)
    assert (outcome.added, outcome.damaged) == (6, ())
    assert place.keys() == set(place.entries)
    gone = archive.expire(
        Workspace(place.home, DISK), action_ids=[place.old], now_ms=NOW_MS, apply=True
    )
    assert gone.errors == ()
    assert not place.folder.exists()


def test_one_bit_anywhere_never_brings_back_something_else(place: Place) -> None:
    """Either the archive is passed over, or every entry of it is as it was."""
    records = place.folder / "records.zst"
    whole = records.read_bytes()
    passed_over = 0
    for at in range(len(whole)):
        records.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        place.store.write_bytes(b"{}")
        outcome = place.restore(everything=True)
        passed_over += len(outcome.damaged)
        found = json.loads(place.store.read_bytes())
        wanted = place.keys_of(NEW_JOB) | (set() if outcome.damaged else place.keys_of(OLD_JOB))
        assert found == {key: place.entries[key] for key in wanted}
    assert passed_over > len(whole) * 9 // 10


def test_an_archive_that_cannot_be_deleted_keeps_no_other_from_it(place: Place) -> None:
    stranger = place.home.archive(place.new) / "notes of a person"
    stranger.write_text("mine")
    gone = archive.expire(
        Workspace(place.home, DISK), older_than_ms=0, now_ms=NOW_MS + HOUR_MS, apply=True
    )
    assert len(gone.actions) == 2
    assert len(gone.errors) == 1
    assert stranger.exists()
    assert not place.folder.exists()


def test_an_action_that_is_not_there_is_named(place: Place) -> None:
    with pytest.raises(Usage, match="no such action"):
        archive.expire(Workspace(place.home, DISK), action_ids=["x"], now_ms=NOW_MS, apply=True)
    assert place.folder.exists()


def test_restored_entries_come_last_and_the_page_says_so(place: Place) -> None:
    living = {"agent:main:main": make_entry("living", 0)}
    place.store.write_bytes(format_store(living))
    place.restore(action_id=place.old)
    assert next(iter(json.loads(place.store.read_bytes()))) == "agent:main:main"
    first = dict(list(place.entries.items())[:1])
    place.store.write_bytes(format_store(first | living))
    place.restore(action_id=place.old)
    keys = list(json.loads(place.store.read_bytes()))
    assert keys[:2] == [*first, *living], "those that were there stay where they are"
    assert "come last in the store" in PAGE.read_text()
