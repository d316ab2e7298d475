"""Rows change in place, and are put back where nobody changed them since."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from support.agent_database import connect, dump, make_database
from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.errors import IoFailed, StoreChanged, TailflipError
from tailflip.base.workspace import Workspace
from tailflip.flow.outcomes import ActionKind
from tailflip.flow.work import Killer, Work, WorkKind
from tailflip.ledger.actions import Ledger, State
from tailflip.observe.installation import locate
from tailflip.reconcile.judge.killers import plan_session_hold
from tailflip.reconcile.write.cron_store import Hands
from tailflip.reconcile.write.rows import apply_rows, is_as_left, read_rows, undo_rows
from tailflip.stores.recovery import recover

MAIN = "agent:main:main"
WORK = Work(kind=WorkKind.SESSION, key=MAIN)
ENTRY = {
    "sessionId": "s1",
    "updatedAt": 5,
    "status": "running",
    "odd": [1.50, "\u00e9"],
    "mainRestartRecovery": {"revision": 1},
}


class Place:
    def __init__(self, root, home):
        self.state = root / "oc"
        self.path = self.state / "agents" / "main" / "agent" / "openclaw-agent.sqlite"
        (self.state / "state").mkdir(parents=True)
        make_database(self.path, {MAIN: ENTRY, "agent:main:other": {"sessionId": "s2"}})
        env = {"HOME": str(root), "OPENCLAW_GATEWAY_PORT": "9"}
        installation = locate(env, state_dir=self.state)
        self.workspace = Workspace(home, RealDisk())
        self.workspace.create()
        self.hands = Hands(installation, env, self.workspace)

    def plan(self):
        def make(db):
            return plan_session_hold(db, self.path, Killer(work=WORK, deaths=3), 9)

        return read_rows(self.path, make)

    def apply(self, plan):
        now_ms = clock.now_ms()
        return apply_rows(plan, kind=ActionKind.HOLD, hands=self.hands, now_ms=now_ms)

    def undo(self, action_id):
        action = Ledger(self.workspace).find(action_id)
        return undo_rows(action, hands=self.hands, apply=True, now_ms=clock.now_ms())

    def read(self):
        with closing(connect(self.path)) as db:
            row = db.execute(
                "SELECT entry_json, status, entry_valid FROM session_nodes WHERE session_key = ?",
                (MAIN,),
            ).fetchone()
        return json.loads(row[0]), row[1], row[2]

    def change(self, statement):
        with closing(connect(self.path)) as db, db:
            db.execute(statement)


@pytest.fixture
def place(tmp_path, home):
    return Place(tmp_path, home)


def test_rows_change_and_come_back_as_they_were(place):
    before = dump(place.path)
    plan = place.plan()
    inode = place.path.stat().st_ino
    action_id = place.apply(plan)
    entry, status, valid = place.read()
    assert (entry["status"], status, valid) == ("failed", "failed", 1), "proven as before"
    assert entry["mainRestartRecovery"]["tombstone"]["reason"]
    assert entry["odd"] == ENTRY["odd"]
    assert place.path.stat().st_ino == inode, "another file would be proven anew"
    assert read_rows(place.path, lambda db: is_as_left(db, plan.rows))
    assert Ledger(place.workspace).find(action_id).state is State.DONE

    outcome = place.undo(action_id)
    assert (outcome.replaced, outcome.conflicts) == (2, 0)
    assert dump(place.path) == before


def test_what_somebody_changed_since_stays_as_a_whole(place):
    action_id = place.apply(place.plan())
    place.change("UPDATE session_windows SET status = 'done' WHERE session_id = 's1'")
    after = dump(place.path)
    outcome = place.undo(action_id)
    assert (outcome.replaced, outcome.report) == (0, None)
    assert outcome.conflict_keys == ("session_windows s1",)
    assert dump(place.path) == after


def test_a_plan_that_is_out_of_date_changes_nothing(place):
    plan = place.plan()
    place.change("UPDATE session_windows SET ended_at = 3 WHERE session_id = 's1'")
    before = dump(place.path)
    with pytest.raises(StoreChanged, match="row changed"):
        place.apply(plan)
    assert dump(place.path) == before
    assert Ledger(place.workspace).read_all() == ()


class FailingDisk(RealDisk):
    """Fails at one effect, from 1; `count` says how many there were."""

    def __init__(self, at):
        self.at, self.count = at, 0

    def __getattribute__(self, name):
        found = super().__getattribute__(name)
        if name.startswith("_") or name in ("at", "count"):
            return found
        self.count += 1
        if self.count == self.at:
            raise OSError(5, "made up")
        return found


def test_a_failure_at_any_effect_leaves_all_rows_or_none_changed(place):
    before, real = dump(place.path), place.workspace
    after = None
    for at in range(1, 200):
        place.workspace = replace(real, disk=FailingDisk(at))
        place.hands = replace(place.hands, workspace=place.workspace)
        try:
            action_id = place.apply(place.plan())
        except (OSError, TailflipError):
            action_id = None
        failed = place.workspace.disk.count >= at
        place.workspace = real
        place.hands = replace(place.hands, workspace=real)
        recover(real)
        for left in place.state.glob("tmp/*/gateway.state.lock"):
            left.unlink()  # it falls with its process, which is this one
        now = dump(place.path)
        if now != before:
            after = after or now
            assert now == after, f"half of it at effect {at}"
            done = next(a for a in Ledger(real).read_all() if a.kind is ActionKind.HOLD)
            assert place.undo(done.id).replaced == 2, f"no undo at effect {at}"
            assert dump(place.path) == before
        if not failed:
            break
    assert action_id is not None
    assert at > 15


def test_what_is_no_database_is_told(tmp_path):
    path = tmp_path / "x.sqlite"
    path.write_text("no database at all, whatever its name says")
    with pytest.raises(IoFailed, match="cannot be read"):
        read_rows(path, lambda db: db.execute("SELECT 1 FROM sqlite_master").fetchall())
    assert sqlite3.sqlite_version_info >= (3, 38), "`->` reads a member as JSON"
