"""A change in many transactions, killed at every effect: what left is in the archive, whole."""

from __future__ import annotations

import os
import shutil
from contextlib import closing

import pytest

from support.agent_database import connect, dump, make_database, read_entries
from support.stores import GONE, HOUR_MS, NOW_MS, FaultyDisk, make_entries, make_entry, run_key
from tailflip.base.durable import RealDisk
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.flow.observed import Store
from tailflip.ledger.actions import Ledger, State
from tailflip.plan.policy import Policy
from tailflip.stores import archive
from tailflip.stores.recovery import recover
from tailflip.stores.restore import restore
from tailflip.stores.sqlite import change
from tailflip.stores.transaction import compact_store

RUNS = 6
KILLED = 9


def compact(path, home, disk):
    compact_store(
        Store(path, "main"), Policy(), GONE, workspace=Workspace(home, disk), now_ms=NOW_MS
    )


def put_back(path, home, disk):
    restore(Workspace(home, disk), everything=True, apply=True, now_ms=NOW_MS + 1, store=path)


def prepare(root, act):
    path, home = root / "agents" / "main" / "agent" / "openclaw-agent.sqlite", Home(root / "own")
    make_database(path, make_entries(old_runs=RUNS))
    if act is put_back:
        compact(path, home, RealDisk())
    return path, home


def run_until(at, act, path, home):
    """Act in a child process that dies at the `at`-th effect; return how it ended."""
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            act(path, home, FaultyDisk(at))
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def list_archived(home):
    workspace = Workspace(home, RealDisk())
    kept = [a for a in Ledger(workspace).read_all() if a.state in archive.KEPT]
    return {
        header.key
        for action in kept
        if action.kind == "compact"
        for header in archive.show(workspace, action.id).headers
    }


def check(path):
    with closing(connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []


@pytest.mark.parametrize("act", [compact, put_back])
def test_store_and_archive_together_hold_everything(tmp_path, monkeypatch, act):
    monkeypatch.setattr(change, "BATCH_STEPS", 1)
    whole_path, _ = prepare(tmp_path / "whole", compact)
    whole, every = dump(whole_path), set(read_entries(whole_path))
    halves = 0
    for at in range(1, 200):
        root = tmp_path / f"{at}"
        path, home = prepare(root, act)
        code = run_until(at, act, path, home)
        check(path)
        recover(Workspace(home, RealDisk()))
        assert recover(Workspace(home, RealDisk())) == ()
        check(path)
        left, archived = set(read_entries(path)), list_archived(home)
        assert left | archived == every, at
        halves += 0 < len(every - left) < RUNS
        assert not list(path.parent.glob("*.tmp"))
        states = {action.state for action in Ledger(Workspace(home, RealDisk())).read_all()}
        assert states <= {State.DONE, State.UNDONE}, at
        if archived:
            put_back(path, home, RealDisk())
        assert dump(path) == whole, at
        shutil.rmtree(root)
        if code == 0:
            break
        assert code == KILLED, at
    assert code == 0
    assert halves > 3, "some were killed between two transactions"


def end_runs(path, home, disk):
    policy = Policy(slim=False, retention_ms=None, max_lifetime_ms=None, single_flight=False)
    compact_store(Store(path, "main"), policy, GONE, workspace=Workspace(home, disk), now_ms=NOW_MS)


def read_statuses(path):
    """Read what entry, column and window say of each run, and whether its node is proven."""
    with closing(connect(path)) as db:
        return db.execute(
            "SELECT json_extract(node.entry_json, '$.status'), node.status, own.status, entry_valid"
            " FROM session_nodes AS node JOIN session_windows AS own"
            " ON own.session_id = node.current_session_id WHERE node.session_key LIKE '%:stuck-%'"
        ).fetchall()


def test_a_run_is_ended_in_all_places_or_in_none(tmp_path, monkeypatch):
    monkeypatch.setattr(change, "BATCH_STEPS", 1)
    entries = make_entries() | {
        run_key(f"stuck-{n}"): make_entry(f"stuck-{n}", HOUR_MS // 2, status="running")
        for n in range(3)
    }
    halves = 0
    for at in range(1, 200):
        root = tmp_path / f"{at}"
        path, home = root / "agents" / "main" / "agent" / "openclaw-agent.sqlite", Home(root / "o")
        make_database(path, entries)
        whole = dump(path)
        code = run_until(at, end_runs, path, home)
        check(path)
        recover(Workspace(home, RealDisk()))
        said = read_statuses(path)
        assert set(said) <= {("running",) * 3 + (1,), ("killed",) * 3 + (1,)}, at
        halves += len(set(said)) > 1
        if list_archived(home):
            put_back(path, home, RealDisk())
        assert dump(path) == whole, at
        shutil.rmtree(root)
        if code == 0:
            break
        assert code == KILLED, at
    assert code == 0
    assert halves > 1, "some were killed between two transactions"
