"""Every start asks whether work was left; only a start that finds some loads what ends it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from support.stores import GONE, NOW_MS, make_store
from tailflip.base.durable import RealDisk
from tailflip.base.workspace import Workspace
from tailflip.flow.observed import Store
from tailflip.ledger.actions import Ledger, State
from tailflip.plan.policy import Policy
from tailflip.stores.recovery import recover
from tailflip.stores.transaction import compact_store
from tailflip.stores.unfinished import PENDING, is_unfinished

if TYPE_CHECKING:
    from pathlib import Path

    from tailflip.base.state_dir import Home
    from tailflip.ledger.actions import Action


@pytest.fixture
def workspace(home: Home) -> Workspace:
    return Workspace(home, RealDisk())


@pytest.fixture
def done(store_path: Path, workspace: Workspace) -> Action:
    """A compaction that ended well."""
    make_store(store_path)
    store = Store(store_path, "main")
    report = compact_store(store, Policy(), GONE, workspace=workspace, now_ms=NOW_MS)
    return next(each for each in Ledger(workspace).read_all() if each.id == report.action_id)


def test_nothing_is_left_before_the_first_action_and_after_a_whole_one(workspace, request):
    assert not is_unfinished(workspace)
    request.getfixturevalue("done")
    assert not is_unfinished(workspace)


def test_an_action_that_was_begun_and_not_ended_is_unfinished(workspace, done):
    Ledger(workspace).advance(done, State.COMMITTED)
    assert is_unfinished(workspace)
    recover(workspace)
    assert not is_unfinished(workspace)


def test_an_expired_archive_whose_files_are_still_there_is_unfinished(workspace, done):
    Ledger(workspace).advance(done, State.EXPIRED)
    assert is_unfinished(workspace)
    recover(workspace)
    assert not is_unfinished(workspace)


def test_a_transcript_that_is_still_to_return_is_unfinished(workspace, done):
    (workspace.home.archive(done.id) / PENDING).touch()
    assert is_unfinished(workspace)


def test_a_healthy_start_loads_nothing_that_only_a_repair_needs():
    repair = {
        f"tailflip.{name}"
        for name in (
            "ledger.findings",
            "stores.json.beside",
            "stores.lock",
            "stores.recovery",
            "stores.replace",
            "stores.transaction",
            "stores.transcripts",
        )
    }
    script = "import sys, tailflip.cli.front, tailflip.supervise.gate; print(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(ran.stdout.split())
    assert "tailflip.supervise.admission" in loaded
    assert loaded & repair == set()
