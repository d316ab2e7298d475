"""Archives that hold one key in several generations: a plan says what a restore will do."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from support.stores import GONE, HOUR_MS, NOW_MS, format_store, make_entry, run_key
from tailflip.base.durable import RealDisk
from tailflip.base.errors import CannotCreate
from tailflip.base.workspace import Workspace
from tailflip.flow.observed import Store
from tailflip.plan.policy import Policy
from tailflip.stores import generations, preflight
from tailflip.stores.restore import restore
from tailflip.stores.transaction import compact_store

KEYS = [run_key(f"r{n}", "job") for n in range(3)]


@pytest.fixture
def archive(store_path, home):
    """Archive a generation of each key; return the action's id."""
    workspace = Workspace(home, RealDisk())
    store_path.parent.mkdir(parents=True, exist_ok=True)

    def compact(number, **more):
        runs = {key: make_entry(key[-2:], 60 * HOUR_MS, **more) for key in KEYS}
        store_path.write_bytes(format_store(runs))
        now_ms = NOW_MS + number
        report = compact_store(
            Store(store_path, "main"), Policy(), GONE, workspace=workspace, now_ms=now_ms
        )
        assert report.entries_after == 0
        return report.action_id

    def put_back(**how):
        return restore(workspace, everything=True, store=store_path, now_ms=NOW_MS + 99, **how)

    compact.put_back = put_back
    return compact


def numbers(outcome):
    return outcome.added, outcome.unchanged, outcome.conflicts


def test_an_older_generation_of_a_key_is_a_conflict(archive, store_path):
    """`restore --all` said that six come back. Three did, and three older ones stayed archived."""
    archive(0, note="old")
    archive(1, note="new")
    planned = archive.put_back(apply=False)
    assert numbers(planned) == (3, 0, 3)
    assert set(planned.conflict_keys) == set(KEYS)
    done = archive.put_back(apply=True)
    assert numbers(done) == (3, 0, 3)
    assert set(done.conflict_keys) == set(KEYS)
    assert store_path.read_text().count('"new"') == 3
    assert planned.bytes_after == done.bytes_after == store_path.stat().st_size


def test_the_same_generation_twice_is_none(archive, store_path):
    archive(0)
    archive(1)
    planned = archive.put_back(apply=False)
    assert numbers(planned) == (3, 3, 0)
    assert numbers(archive.put_back(apply=True)) == (3, 3, 0)
    assert planned.bytes_after == store_path.stat().st_size


def test_what_lives_again_is_a_conflict_with_each_generation(archive, store_path):
    archive(0, note="old")
    archive(1, note="new")
    living = {KEYS[0]: make_entry("living", 0)}
    store_path.write_bytes(format_store(living))
    planned = archive.put_back(apply=False)
    assert numbers(planned) == (2, 0, 4)
    assert numbers(archive.put_back(apply=True)) == (2, 0, 4)


def test_without_room_to_find_out_each_archive_counts_alone(archive, monkeypatch):
    archive(0, note="old")
    archive(1, note="new")
    monkeypatch.setattr(generations, "open_scratch", lambda: -1)
    assert numbers(archive.put_back(apply=False)) == (6, 0, 0)


@pytest.mark.parametrize("has_room", [True, False])
def test_room_is_asked_for_what_comes_back_and_not_for_each_generation(
    archive, store_path, monkeypatch, has_room
):
    """A full disk refused a `restore --all` that would have fitted."""
    for number in range(8):
        archive(number, note="x" * 1_000_000)
    bytes_after = archive.put_back(apply=False).bytes_after
    slack_bytes = preflight._SLACK_BYTES + (100_000 if has_room else -100_000)
    room = SimpleNamespace(f_frsize=1, f_bavail=2 * bytes_after + slack_bytes)
    monkeypatch.setattr(preflight.os, "statvfs", lambda path: room)
    if has_room:
        assert numbers(archive.put_back(apply=True))[0] == 3
    else:
        with pytest.raises(CannotCreate, match="not enough room"):
            archive.put_back(apply=True)


@pytest.mark.parametrize("most", [1, 2, 3])
def test_so_many_keys_are_in_memory_at_a_time(archive, store_path, monkeypatch, most):
    """All repeated keys were: with a million of them, that is a hundred megabytes."""
    archive(0, note="old")
    archive(1, note="new")
    living = {KEYS[0]: make_entry("living", 0)}
    store_path.write_bytes(format_store(living))
    monkeypatch.setattr(generations, "_MOST_KEYS", most)
    lots, follow = [], generations._follow

    def count(*args, narrow, **more):
        lots.append(len(narrow.keys))
        return follow(*args, narrow=narrow, **more)

    monkeypatch.setattr(generations, "_follow", count)
    planned = archive.put_back(apply=False)
    assert max(lots) <= most
    assert sum(lots) == len(KEYS)
    assert numbers(planned) == (2, 0, 4)
    assert numbers(archive.put_back(apply=True)) == (2, 0, 4)
    assert planned.bytes_after == store_path.stat().st_size
