"""Entries that came back after a compaction are counted, and those that did not are not."""

from __future__ import annotations

import json

import pytest

from support.stores import GONE, HOUR_MS, NOW_MS, format_store, make_entry, make_store, run_key
from tailflip.base.durable import RealDisk
from tailflip.base.workspace import Workspace
from tailflip.flow.observed import Store
from tailflip.plan.policy import Policy
from tailflip.stores.returned import count_returned
from tailflip.stores.transaction import compact_store


@pytest.fixture
def compacted(store_path, home):
    """A store that lost three old runs; its action, and the store as it was."""
    before = make_store(store_path)
    store = Store(store_path, "main")
    report = compact_store(
        store, Policy(), GONE, workspace=Workspace(home, RealDisk()), now_ms=NOW_MS
    )
    assert report.entries_before - report.entries_after == 3
    return store, report.action_id, json.loads(before)


def test_nothing_came_back(compacted, home):
    store, action, _ = compacted
    assert count_returned(home, store, [action]) == 0


def test_a_writer_saved_what_it_had_read_before(compacted, home):
    store, action, before = compacted
    store.path.write_bytes(format_store(before))
    assert count_returned(home, store, [action]) == 3
    assert count_returned(home, store, [action, action]) == 3
    assert count_returned(home, store, []) == 0


def test_only_what_left_counts(compacted, home):
    store, action, before = compacted
    new = {run_key("later"): make_entry("later", HOUR_MS, status="running")}
    one = {run_key("run-1"): before[run_key("run-1")]}
    store.path.write_bytes(format_store(json.loads(store.path.read_bytes()) | new | one))
    assert count_returned(home, store, [action]) == 1
