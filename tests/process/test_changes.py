"""The kernel's own notices: replaced stores, vanished folders, silence while nothing happens."""

from __future__ import annotations

import os
import queue
import shutil
import sys
import threading
import time
from pathlib import Path

import pytest

from tailflip.observe.host import changes
from tailflip.observe.host.changes import ChangeWatcher

DEADLINE_S = 15
QUIET_S = 0.05


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "state/agents/main/sessions"
    path.mkdir(parents=True)
    return path


@pytest.fixture
def watch():
    """Starts watchers and stops them after the test; each has its calls on a queue."""
    started = []

    def start(*paths, quiet_s=QUIET_S):
        calls = queue.Queue()
        watcher = ChangeWatcher(paths, calls.put, quiet_s=quiet_s)
        watcher.calls = calls
        watcher.start()
        started.append(watcher)
        return watcher

    yield start
    for watcher in started:
        watcher.stop()
    names = {t.name for t in threading.enumerate()}
    assert not any(name.startswith("tailflip-changes") for name in names)


def expect(watcher, *paths, doing=lambda: None):
    """Wait until every path was told of; `doing` is repeated as long as it was not."""
    wanted, told = set(paths), set()
    deadline = time.monotonic() + DEADLINE_S
    while not wanted <= told:
        assert time.monotonic() < deadline, f"told of {told} only"
        doing()
        try:
            told |= watcher.calls.get(timeout=0.2)
        except queue.Empty:
            continue
    return told


def replace(path, text="{}"):
    """Write a store as the gateway does."""
    aside = path.with_name(f"{path.name}.x.tmp")
    aside.write_text(text)
    aside.replace(path)


def test_a_replaced_store_is_told_of(folder, watch):
    store = folder / "sessions.json"
    store.write_text("{}")
    watcher = watch(store)
    replace(store)
    assert expect(watcher, store) == {store}


def test_changes_in_place_new_and_deleted_files_are_told_of(folder, watch):
    store, config = folder / "sessions.json", folder.parents[2] / "openclaw.json"
    config.write_text("{}")
    watcher = watch(store, config)
    config.open("a").close()
    with config.open("a") as file:
        file.write(" ")
    expect(watcher, config)
    store.write_text("{}")
    expect(watcher, store)
    store.unlink()
    expect(watcher, store)
    store.with_name("other").write_text("{}")
    store.with_name("other").rename(store)
    expect(watcher, store)
    store.rename(store.with_name("other"))
    expect(watcher, store)


def test_other_files_of_the_folder_are_not_told_of(folder, watch):
    """Transcripts grow all day long beside the store."""
    store = folder / "sessions.json"
    watcher = watch(store)
    for n in range(20):
        with (folder / "a.jsonl").open("a") as file:
            file.write(f"{n}\n")
    replace(store)
    assert watcher.calls.get(timeout=DEADLINE_S) == {store}
    assert watcher.calls.empty()


def test_many_changes_are_one_call_and_cannot_put_it_off(folder, watch):
    store, other = folder / "sessions.json", folder / "b.json"
    watcher = watch(store, other, quiet_s=0.5)
    began = time.monotonic()
    while watcher.calls.empty():
        assert time.monotonic() - began < DEADLINE_S
        replace(store)
        replace(other)
        time.sleep(0.02)
    assert time.monotonic() - began >= 0.5
    assert watcher.calls.get() == {store, other}


def test_reading_is_no_change(folder, watch):
    store, marker = folder / "sessions.json", folder / "marker.json"
    store.write_text("{}")
    watcher = watch(store, marker)
    for _ in range(10):
        store.read_text()
        list(folder.iterdir())
    marker.write_text("{}")  # events come in order: a call for the reads would hold the store
    assert watcher.calls.get(timeout=DEADLINE_S) == {marker}


def test_a_folder_that_is_deleted_and_made_again_is_watched_again(folder, watch):
    store = folder / "sessions.json"
    store.write_text("{}")
    watcher = watch(store)
    for _ in range(3):
        shutil.rmtree(folder)
        expect(watcher, store)
        folder.mkdir()
        # The folder is noticed and its files count as changed, written before or after.
        store.write_text("{}")
        expect(watcher, store)
        replace(store)
        expect(watcher, store, doing=lambda: replace(store))
        drain(watcher)


def drain(watcher):
    """Wait until the watcher has said all it has to say."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        try:
            watcher.calls.get(timeout=1.0)
        except queue.Empty:
            return
    raise AssertionError("it never ends")


def test_a_whole_tree_that_goes_and_comes_back_is_watched_again(folder, watch):
    """As `rm -rf` and a restored backup do."""
    store, root = folder / "sessions.json", folder.parents[2]
    store.write_text("{}")
    watcher = watch(store)
    shutil.copytree(root, root.with_name("backup"))
    shutil.rmtree(root)
    expect(watcher, store)
    root.with_name("backup").rename(root)
    expect(watcher, store)
    drain(watcher)
    replace(store)
    expect(watcher, store)


def test_a_folder_made_after_the_start_is_found_from_above(tmp_path, watch):
    store = tmp_path / "a/b/c/sessions.json"
    watcher = watch(store)
    store.parent.mkdir(parents=True)
    store.write_text("{}")
    expect(watcher, store)
    drain(watcher)
    replace(store)
    expect(watcher, store)


def test_a_folder_above_that_is_moved_away_is_found_by_check(folder, watch):
    """No event tells the watch of a folder that its parent was moved; `check` looks."""
    store, root = folder / "sessions.json", folder.parents[2]
    store.write_text("{}")
    watcher = watch(store)
    root.rename(root.with_name("old"))
    folder.mkdir(parents=True)
    watcher.check()
    expect(watcher, store)
    drain(watcher)
    replace(store)
    expect(watcher, store)


def test_a_store_behind_a_symlink_is_told_of_by_its_given_name(folder, tmp_path, watch):
    real = tmp_path / "elsewhere/real.json"
    real.parent.mkdir()
    real.write_text("{}")
    store = folder / "sessions.json"
    store.symlink_to(real)
    watcher = watch(store)
    with real.open("a") as file:
        file.write(" ")
    assert expect(watcher, store) == {store}


def test_no_call_comes_after_stop(folder, watch):
    store = folder / "sessions.json"
    watcher = watch(store, quiet_s=30)
    replace(store)
    watcher.stop()
    assert watcher.calls.empty()


def test_stop_without_start_and_twice_is_no_error(folder):
    watcher = ChangeWatcher([folder / "sessions.json"], lambda _: None)
    watcher.stop()
    watcher.stop()


def test_folders_that_are_too_many_are_named(tmp_path, watch, monkeypatch):
    monkeypatch.setattr(changes, "_MAX_FOLDERS", 2)
    stores = [tmp_path / name / "sessions.json" for name in "abc"]
    for store in stores:
        store.parent.mkdir()
    watcher = watch(*stores)
    assert watcher.unwatched == {tmp_path / "c"}


def test_a_system_that_gives_no_watches_is_no_error(folder, watch, monkeypatch):
    """128 instances a user is soon reached on a desktop; being told is only a matter of time."""

    def refuse(*_, **__):
        raise OSError(24, "inotify instance limit reached")

    monkeypatch.setattr("watchdog.observers.api.BaseObserver.schedule", refuse)
    watcher = watch(folder / "sessions.json")
    assert watcher.unwatched == {folder}
    monkeypatch.undo()
    watcher.check()
    expect(watcher, folder / "sessions.json", doing=lambda: replace(folder / "sessions.json"))
    assert watcher.unwatched == frozenset()


def wake_ups():
    total = 0
    for task in Path("/proc/self/task").iterdir():
        if int(task.name) == threading.get_native_id():
            continue
        for line in (task / "status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                total += int(line.split()[1])
    return total


@pytest.mark.skipif(sys.platform != "linux", reason="wake-ups are counted by /proc")
def test_nothing_wakes_up_while_nothing_changes(folder, watch):
    """A watcher that polls would cost more than the gateway it guards."""
    others = len(os.listdir("/proc/self/task"))  # noqa: PTH208 - of tests that ran before
    watcher = watch(folder / "sessions.json", folder.parent / "openclaw.json")
    drain(watcher)
    before, cpu = wake_ups(), time.process_time()
    time.sleep(2)
    assert wake_ups() - before <= 1
    assert time.process_time() - cpu < 0.02
    assert len(os.listdir("/proc/self/task")) - others <= 8  # noqa: PTH208
