"""What a gateway has on record is found wherever it stands, and without a trace."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from support.sqlite_records import (
    DEFERRED,
    PLUGINS,
    change_database,
    defer_import,
    fill_agent_database,
    make_state_database,
    record_source,
    state_database,
    write_manifest,
)
from support.stores import GONE, NOW_MS, list_tree, make_store
from tailflip.base.durable import RealDisk
from tailflip.base.errors import OnRecord
from tailflip.base.workspace import Workspace
from tailflip.flow.observed import Store
from tailflip.observe.records.receipts import find_state_dirs, read_receipts
from tailflip.plan.policy import Policy
from tailflip.stores.ownership import Owners, find_claim
from tailflip.stores.transaction import compact_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "openclaw"


@pytest.fixture
def store(state: Path) -> Path:
    path = state / "agents" / "main" / "sessions" / "sessions.json"
    make_store(path)
    return path


def test_a_deferred_import_claims_the_store_and_names_its_plugins(state, store):
    defer_import(state, store)
    claim = find_claim(store)
    assert claim is not None
    assert claim.is_waiting
    assert claim.receipt.plugins == PLUGINS
    assert not claim.is_changed
    assert all(plugin in claim.hint for plugin in PLUGINS)
    assert DEFERRED in claim.reason


def test_a_deferred_import_claims_every_transcript_with_its_digest(state, store):
    defer_import(state, store)
    owners = Owners(store)
    for path in store.parent.glob("*.jsonl"):
        claim = owners.find(path)
        assert claim is not None, path
        assert claim.receipt.sha256 is not None


@pytest.mark.parametrize("kind", [DEFERRED, "deferred-plugin-acp-metadata", "a-kind-of-next-year"])
@pytest.mark.parametrize("status", ["completed", "prepared", "pending", "failed", ""])
@pytest.mark.parametrize("removed", [0, 1])
def test_every_kind_and_status_counts(state, store, kind, status, removed):
    record_source(state, store, kind=kind, status=status, removed=removed)
    claim = find_claim(store)
    assert claim is not None
    assert claim.receipt.sha256 is not None


def test_a_path_anywhere_in_a_report_counts(state, store):
    other = state / "exec-approvals.json"
    other.write_text("{}")
    record_source(state, other, kind="x", report={"a": [{"b": {"statePath": str(store)}}]})
    assert find_claim(store) is not None
    assert find_claim(other) is not None


def test_a_run_without_a_source_counts(state, store):
    make_state_database(state)
    report = f'{{"sources": [{{"path": "{store}", "identity": {{"sha256": "0", "size": 1}}}}]}}'
    change_database(
        state_database(state),
        "INSERT INTO migration_runs VALUES ('any', 1, NULL, 'pending', ?)",
        (report,),
    )
    assert find_claim(store) is not None


def test_any_table_with_a_path_beside_a_digest_counts(state, store):
    make_state_database(state)
    change_database(
        state_database(state),
        "INSERT INTO outbound_media_provenance VALUES (?, 'file', 'aa', 1)",
        (str(store),),
    )
    assert find_claim(store) is not None


def test_a_path_without_a_proof_beside_it_is_no_record(state, store):
    """Releases of the JSON era name living stores there; they are theirs to be healed."""
    make_state_database(state)
    change_database(
        state_database(state),
        "INSERT INTO session_watch_cursors VALUES (?, 'c')",
        (str(store),),
    )
    assert find_claim(store) is None


def test_a_state_database_with_nothing_on_record_claims_nothing(state, store):
    make_state_database(state)
    assert find_claim(store) is None
    assert find_claim(state / "cron" / "jobs.json") is None


def test_a_planned_move_of_a_manifest_counts(state, store):
    write_manifest(state, store, over=False, moves=[store])
    claim = find_claim(store)
    assert claim is not None
    assert claim.receipt.sha256 is not None


def test_a_finished_import_counts_and_an_unfinished_one_without_moves_does_not(state, store):
    """What an import still reads may be made smaller, or it dies at every start for ever."""
    fill_agent_database(state)
    write_manifest(state, store, over=False, number=1)
    assert find_claim(store) is None
    write_manifest(state, store, over=True, number=2)
    assert find_claim(store) is not None


def test_a_store_beside_a_filled_database_is_evidence(state, store):
    """2026.8.1 to 2026.9.6 do not start beside it, and `doctor --fix` takes it over."""
    fill_agent_database(state)
    claim = find_claim(store)
    assert claim is not None
    assert claim.receipt.taken_over
    assert "doctor --fix" in claim.hint


def test_a_store_elsewhere_beside_a_filled_database_is_evidence(state, tmp_path):
    fill_agent_database(state)
    elsewhere = tmp_path / "data" / "all.json"
    make_store(elsewhere)
    assert find_claim(elsewhere) is None  # nobody said whose it is
    assert find_claim(elsewhere, state) is not None


def test_a_database_beside_a_store_that_lies_elsewhere_counts(state, tmp_path):
    """2026.9.6 puts it there where `session.store` leads out of the state directory."""
    make_state_database(state)
    elsewhere = tmp_path / "data" / "main" / "sessions.json"
    make_store(elsewhere)
    filled = fill_agent_database(tmp_path / "other", "main")
    assert find_claim(elsewhere, state) is None
    filled.rename(elsewhere.parent / filled.name)
    assert find_claim(elsewhere, state) is not None


def test_another_agents_database_says_nothing(state, store):
    fill_agent_database(state, "other")
    assert find_claim(store) is None


def test_a_cron_store_and_a_task_ledger_that_were_taken_over_are_evidence(state):
    make_state_database(state)
    jobs, tasks = state / "cron" / "jobs.json", state / "tasks" / "runs.sqlite"
    for path, table in ((jobs, "cron_jobs"), (tasks, "task_runs")):
        path.parent.mkdir()
        path.write_bytes(b"{}")
        assert find_claim(path) is None
        change_database(state_database(state), f"INSERT INTO {table} VALUES ('1', '')")  # noqa: S608
        assert find_claim(path) is not None


def test_a_record_under_another_name_of_the_directory_counts(state, store):
    """A container sees it as /home/node/.openclaw, the host as something else."""
    inside = "/home/node/.openclaw/agents/main/sessions/sessions.json"
    record_source(state, store, recorded_as=inside)
    assert find_claim(store) is not None


def test_a_record_under_the_name_of_a_link_counts(state, store, tmp_path):
    real = tmp_path / "data" / "store.json"
    real.parent.mkdir()
    store.rename(real)
    store.symlink_to(real)
    record_source(state, store)
    assert find_claim(store) is not None
    assert find_claim(real, state) is not None


def test_a_store_outside_is_found_by_the_installation_it_belongs_to(state, tmp_path):
    outside = tmp_path / "elsewhere" / "sessions.json"
    make_store(outside)
    record_source(state, outside)
    assert find_state_dirs(outside) == ()
    assert find_claim(outside) is None
    assert find_claim(outside, state) is not None


def _damage(path: Path) -> None:
    path.write_bytes(b"this is no database" * 300)


def _half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 - 100)


def _empty(path: Path) -> None:
    os.truncate(path, 0)


def _later_schema(path: Path) -> None:
    change_database(path, "CREATE TABLE later (x)")
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 19")


def _other_form(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("ALTER TABLE migration_sources RENAME COLUMN source_path TO origin")


def _no_file(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("harm", [_damage, _half, _empty, _no_file])
def test_what_cannot_be_read_may_hold_a_record(state, store, harm: Callable[[Path], None]):
    defer_import(state, store)
    shutil.rmtree(state / "agents" / "main" / "agent")
    harm(state_database(state))
    claim = find_claim(store)
    assert claim is not None
    assert claim.receipt is None
    assert "cannot be told" in claim.reason


@pytest.mark.parametrize("harm", [_later_schema, _other_form])
def test_a_form_that_is_not_known_may_hold_more_records(state, store, harm):
    """What is named in it is told with all that is known; what is not named may be all the same."""
    defer_import(state, store)
    harm(state_database(state))
    named = find_claim(store)
    assert named is not None
    assert named.receipt is not None
    unnamed = find_claim(state / "cron" / "jobs.json")
    assert unnamed is not None
    assert unnamed.receipt is None


def test_one_report_that_cannot_be_read_hides_no_other(state, store):
    defer_import(state, store)
    change_database(
        state_database(state), "INSERT INTO migration_runs VALUES ('x', 1, 1, '', '{\"path\": ')"
    )
    named = find_claim(store)
    assert named is not None
    assert named.receipt is not None
    assert named.receipt.plugins == PLUGINS
    unnamed = find_claim(state / "cron" / "jobs.json")
    assert unnamed is not None
    assert "cannot be told" in unnamed.reason


def test_a_damaged_manifest_may_hold_a_record(state, store):
    write_manifest(state, store, over=False)
    next((state / "session-sqlite-migration-runs").iterdir()).write_text('{"targets": [')
    claim = find_claim(store)
    assert claim is not None
    assert claim.receipt is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may search every folder")
def test_a_folder_that_may_not_be_searched_may_hold_a_record(state, store):
    make_state_database(state)
    (state / "state").chmod(0)
    try:
        assert find_claim(store) is not None
    finally:
        (state / "state").chmod(0o700)


def test_without_any_database_nothing_is_on_record(store):
    assert find_claim(store) is None


def test_reading_leaves_no_trace(state, store):
    defer_import(state, store)
    before = list_tree(state)
    assert find_claim(store) is not None
    assert list_tree(state) == before


_WRITER = """
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA journal_mode = WAL")
db.execute("PRAGMA wal_autocheckpoint = 0")
db.execute("INSERT INTO cron_jobs VALUES ('a', '')")
db.execute("BEGIN EXCLUSIVE")
db.execute("INSERT INTO cron_jobs VALUES ('b', '')")
print("ready", flush=True)
sys.stdin.readline()
db.execute("COMMIT")
db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
print("done", flush=True)
sys.stdin.readline()
"""


def test_a_writer_with_an_exclusive_lock_neither_stops_us_nor_is_stopped(state, store):
    """Also what only its WAL holds is seen, but nothing that it has not committed."""
    make_state_database(state)
    record_source(state, store)
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(state_database(state))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        before = list_tree(state)
        began = time.monotonic()
        found = read_receipts(state)
        assert time.monotonic() - began < 1
        assert found.problem is None
        assert found.find(store) is not None
        assert found.tables == {"cron_jobs"}
        assert list_tree(state) == before
        writer.stdin.write("\n")
        writer.stdin.flush()
        assert writer.stdout.readline() == "done\n"
        writer.stdin.close()
    assert writer.returncode == 0


@pytest.mark.parametrize("has_room", [True, False])
def test_what_a_killed_gateway_left_in_its_wal_is_seen(
    state, store, tmp_path, monkeypatch, has_room
):
    """Also where there is no room for a copy."""
    if not has_room:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    make_state_database(state)
    database = state_database(state)
    copy = tmp_path / "copy"
    with closing(sqlite3.connect(database, isolation_level=None)) as db:
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute(
            "INSERT INTO migration_runs VALUES ('r', 1, 1, 'completed', ?)",
            (f'{{"sourcePath": "{store}"}}',),
        )
        shutil.copytree(state / "state", copy)  # as it lies there when the process is killed
    shutil.rmtree(state / "state")
    copy.rename(state / "state")
    assert (state / "state" / "openclaw.sqlite-wal").stat().st_size > 0
    before = list_tree(state)
    claim = find_claim(store)
    assert claim is not None
    assert claim.receipt is not None
    assert list_tree(state).keys() == before.keys()
    if has_room:
        assert list_tree(state) == before


def test_moved_transcripts(state, store):
    """Beside a store on record no transcript goes or comes; what is on record may come back."""
    defer_import(state, store)
    owners = Owners(store)
    kept = owners.find(store)
    transcript = next(store.parent.glob("*.jsonl"))
    gone = transcript.with_name(f"{transcript.name}.deleted.{NOW_MS}")
    assert not owners.may_move(kept, transcript, gone)
    shutil.copy(transcript, gone)
    assert owners.may_move(kept, gone, transcript)
    gone.write_text("other bytes")
    assert not owners.may_move(kept, gone, transcript)
    stranger = store.parent / "stranger.jsonl"
    assert not owners.may_move(kept, stranger.with_name("stranger.jsonl.deleted.1"), stranger)


class ImportingDisk(RealDisk):
    """A gateway starts, imports and records the store while the new one is being written."""

    def __init__(self, state: Path, store: Path) -> None:
        self._state, self._store = state, store

    def set_owner(self, fd: int, mode: int, uid: int, gid: int) -> None:
        super().set_owner(fd, mode, uid, gid)
        defer_import(self._state, self._store)


def test_a_record_that_appears_while_we_write_is_seen_before_the_rename(state, store, home):
    before = list_tree(store.parent)
    disk = ImportingDisk(state, store)
    with pytest.raises(OnRecord, match="the original is in place"):
        compact_store(
            Store(store, "main"), Policy(), GONE, workspace=Workspace(home, disk), now_ms=NOW_MS
        )
    assert list_tree(store.parent) == before
    assert not list(home.archives.iterdir())
