"""Cron runs of a dead gateway, beside a living one that is asked to delete them.

This very process passes for the gateway: it holds the lock, listens on the port, and deletes rows
when its RPC is called. What a real one does: `tests/gateway/test_real_online.py`.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import time
from contextlib import closing

import pytest

from fakes.rpc_server import Refuse, rpc_server
from support.agent_database import (
    FTS,
    NODES,
    WINDOWS,
    add_entry,
    connect,
    dump,
    make_database,
    read_entries,
)
from support.state_rows import JSON_ONLY, StateRows
from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.ledger.actions import Ledger, State
from tailflip.observe.gateway.process import start_ticks, started_ms
from tailflip.reconcile.steps import online
from tailflip.stores import online as stores_online

JOB = "7c0f6b0e-0000-4000-8000-000000000001"
BASE = f"agent:main:cron:{JOB}"
TOKEN = "CANARY-9f8e7d6c5b4a"  # noqa: S105 - guards a server of this test
HOUR_MS = 3_600_000


def run_key(name: str) -> str:
    return f"{BASE}:run:{name}"


class Beside:
    """A database with runs of before this process, and this process as its gateway."""

    def __init__(self, place, server, monkeypatch):
        self.place, self.server, self.monkeypatch = place, server, monkeypatch
        self.began = started_ms(os.getpid())
        self.path = place.state / "agents" / "main" / "agent" / "openclaw-agent.sqlite"
        base = {"sessionId": "now", "updatedAt": self.began + 1}
        make_database(self.path, {BASE: base})
        self.rows = StateRows(place.state, JSON_ONLY)
        self.rows.add_job(JOB)
        monkeypatch.setenv("TMPDIR", str(place.root))
        monkeypatch.setenv("OPENCLAW_GATEWAY_PORT", str(server.port))
        auth = {"mode": "token", "token": TOKEN}
        config = place.state / "openclaw.json"
        config.write_text(json.dumps({"gateway": {"auth": auth}}))
        name = hashlib.sha256(str(config).encode()).hexdigest()[:8]
        folder = place.root / f"openclaw-{os.getuid()}"
        folder.mkdir()
        lock = {"pid": os.getpid(), "startTime": start_ticks(os.getpid())}
        (folder / f"gateway.{name}.lock").write_text(json.dumps(lock))
        server.secret = {"token": TOKEN}
        server.answers |= {"tasks.list": self.list_tasks, "cron.list": self.list_jobs}
        server.answers |= {"sessions.delete": self.delete}
        self.tasks, self.jobs = [], [{"id": JOB, "state": {}}]

    def add(self, name, **more):
        entry = {
            "sessionId": name,
            "lifecycleRevision": f"rev-{name}",
            "updatedAt": self.began - HOUR_MS,
            "status": "running",
            **more,
        }
        with closing(connect(self.path)) as db, db:
            add_entry(db, run_key(name), entry)
        return entry

    def list_tasks(self, params):
        assert params["status"] == ["queued", "running"]
        at = int(params.get("cursor", 0))
        more = {"nextCursor": str(at + 1)} if at + 1 < len(self.tasks) else {}
        return {"tasks": self.tasks[at : at + 1], **more}

    def list_jobs(self, params):
        assert params["includeDisabled"] is True
        return {"jobs": self.jobs[params["offset"] :][: params["limit"]]}

    def delete(self, params):
        """Do as the real one: compare, then delete the node with what hangs on it."""
        entry = read_entries(self.path).get(params["key"], {})
        seen = {
            "expectedSessionId": entry.get("sessionId"),
            "expectedLifecycleRevision": entry.get("lifecycleRevision"),
            "expectedSessionUpdatedAt": entry.get("updatedAt"),
        }
        assert seen.keys() <= params.keys()
        if any(params[name] != value for name, value in seen.items()):
            details = {"reason": "session-changed"}
            raise Refuse("INVALID_REQUEST", f"Session {params['key']} changed", details)
        with closing(connect(self.path)) as db, db:
            db.execute(f"DELETE FROM {FTS}_rows WHERE session_id = ?", (entry["sessionId"],))
            db.execute(f"DELETE FROM {NODES} WHERE session_key = ?", (params["key"],))
        return {"ok": True, "deleted": True, "archived": []}

    @property
    def deleted(self):
        return [
            params["key"] for method, params in self.server.calls if method == "sessions.delete"
        ]

    def reconcile(self, *argv):
        code, out, err = self.place.run("reconcile", "--json", *argv)
        assert TOKEN not in out + err
        return code, json.loads(out)

    def allow(self):
        self.monkeypatch.setenv("TAILFLIP_RECONCILE_DELETE_ONLINE", "true")

    def act(self, *argv):
        self.allow()
        code, answer = self.reconcile("--apply", *argv)
        (step,) = [each for each in answer["steps"] if each["kind"] == "zombies"]
        return code, step, answer


@pytest.fixture
def beside(place, monkeypatch):
    with rpc_server() as server:
        yield Beside(place, server, monkeypatch)


def test_without_the_setting_the_gateway_is_not_asked_and_nothing_is_written(beside):
    beside.add("old")
    before = dump(beside.path)
    beside.reconcile("--apply")
    assert beside.server.connects == []
    assert dump(beside.path) == before


def test_without_apply_what_would_go_is_told_and_the_gateway_is_not_asked(beside):
    beside.add("old")
    beside.allow()
    code, answer = beside.reconcile()
    (step,) = [each for each in answer["steps"] if each["kind"] == "zombies"]
    assert (code, step["counts"]) == (0, {"online": 1})
    assert beside.server.connects == []


def test_a_dead_run_is_archived_then_deleted_and_comes_back_when_its_gateway_is_gone(beside):
    beside.add("old")
    before = dump(beside.path)
    code, step, _ = beside.act()
    assert (code, step["counts"]) == (0, {"online": 1})
    assert beside.deleted == [run_key("old")]
    assert set(read_entries(beside.path)) == {BASE}
    assert [each["scopes"] for each in beside.server.connects] == [
        ["operator.read"],
        ["operator.admin", "operator.read"],
    ]
    _, out, _ = beside.place.run("archive", "show", step["action_id"], "--json")
    (entry,) = [json.loads(line) for line in out.splitlines()][1:]
    assert entry["key"] == run_key("old")
    for lock in beside.place.root.glob("openclaw-*/gateway.*.lock"):
        lock.unlink()
    beside.monkeypatch.setenv("OPENCLAW_GATEWAY_PORT", "1")
    code, out, err = beside.place.run("restore", step["action_id"], "--apply")
    assert code == 0, err
    assert dump(beside.path) == before


def test_what_may_live_or_is_needed_stays(beside):
    """In the order of the reasons that `steps/online.py` gives."""
    beside.add("ended", status="failed", endedAt=beside.began - HOUR_MS)
    beside.add("of-this-gateway", updatedAt=beside.began + 1)
    beside.add("elsewhere")
    with closing(sqlite3.connect(beside.rows.path)) as db, db:
        db.execute("CREATE TABLE worker_session_placements (session_id, state, environment_id)")
        db.execute("INSERT INTO worker_session_placements VALUES ('elsewhere', 'active', 'e')")
        db.execute("INSERT INTO worker_session_placements VALUES ('dead', 'local', NULL)")
    beside.add("named", sessionId="now")
    beside.add("pinned")
    beside.add("unproven")
    with closing(connect(beside.path)) as db, db:
        db.execute(f"UPDATE {NODES} SET pinned_at = 1 WHERE session_key = ?", (run_key("pinned"),))
        unproven = (run_key("unproven"),)
        db.execute(f"UPDATE {NODES} SET entry_valid = 0 WHERE session_key = ?", unproven)
    before = read_entries(beside.path)
    beside.add("dead")
    _, step, answer = beside.act()
    assert beside.deleted == [run_key("dead")]
    assert step["counts"] == {"online": 1}
    assert read_entries(beside.path) == before
    assert answer["errors"] == []


def make_busy_by_a_mark(beside):
    other = [{"id": f"other-{number}", "state": {}} for number in range(online._PAGE)]
    beside.jobs = [*other, {"id": JOB, "state": {"runningAtMs": beside.began + 1}}]


def make_busy_by_a_task(beside):
    beside.tasks = [{"sourceId": "other"}, {"sourceId": JOB, "childSessionKey": run_key("new")}]


@pytest.mark.parametrize("make_busy", [make_busy_by_a_mark, make_busy_by_a_task])
def test_a_job_with_a_run_in_flight_keeps_its_dead_runs(beside, make_busy):
    """On the real gateway the deletion of the run before aborted the one in flight."""
    beside.add("old")
    make_busy(beside)
    assert beside.act()[1]["counts"] == {}
    assert beside.deleted == []
    assert [each["scopes"] for each in beside.server.connects] == [["operator.read"]]
    beside.tasks, beside.jobs = [], []
    assert beside.act()[1]["counts"] == {"online": 1}


@pytest.mark.parametrize("make_busy", [make_busy_by_a_mark, make_busy_by_a_task])
def test_a_run_that_begins_while_the_archive_is_written_keeps_them_too(
    beside, make_busy, monkeypatch
):
    beside.add("old")
    write = stores_online._write_manifest

    def begin_a_run(*args):
        make_busy(beside)
        write(*args)

    monkeypatch.setattr(stores_online, "_write_manifest", begin_a_run)
    assert beside.act()[1]["counts"] == {}
    assert beside.deleted == []
    assert run_key("old") in read_entries(beside.path)


@pytest.mark.parametrize("method", ["tasks.list", "cron.list"])
def test_a_gateway_that_does_not_tell_what_is_in_flight_deletes_nothing(beside, method):
    beside.add("old")
    beside.server.answers[method] = lambda _: {"rows": []}
    beside.allow()
    code, answer = beside.reconcile("--apply")
    assert code == 69
    assert "does not tell" in answer["errors"][0]["message"]
    assert beside.deleted == []


def test_a_row_that_changed_since_it_was_archived_is_refused_and_no_archive_is_left(beside):
    beside.add("old")

    def touch_then_delete(params):
        with closing(connect(beside.path)) as db, db:
            entry = read_entries(beside.path)[run_key("old")] | {"updatedAt": beside.began + 5}
            db.execute(
                f"UPDATE {NODES} SET entry_json = ?, updated_at = ?",
                (json.dumps(entry), entry["updatedAt"]),
            )
        return beside.delete(params)

    beside.server.answers["sessions.delete"] = touch_then_delete
    code, step, _ = beside.act()
    assert (code, step["counts"], step["action_id"]) == (0, {}, None)
    assert run_key("old") in read_entries(beside.path)
    home = Home(beside.place.home)
    assert list(home.archives.iterdir()) == []
    (action,) = Ledger(Workspace(home, RealDisk())).read_all()
    assert action.state is State.UNDONE


def test_where_no_answer_comes_the_archive_stays(beside, monkeypatch):
    """Nobody knows whether the gateway will still delete it."""
    monkeypatch.setattr(online, "_DELETE_S", 0.5)
    beside.add("old")
    beside.server.answers["sessions.delete"] = lambda _: time.sleep(1.5) or {"deleted": True}
    code, step, answer = beside.act()
    assert code != 0
    assert "no answer to sessions.delete in time" in answer["errors"][0]["message"]
    assert step["action_id"]
    code, out, _ = beside.place.run("archive", "verify", step["action_id"])
    assert code == 0, out


@pytest.mark.parametrize("error", ["auth", "scope", "gone"])
def test_a_gateway_that_may_not_be_asked_is_told_and_nothing_is_archived(beside, error):
    beside.add("old")
    if error == "auth":
        beside.server.secret = {"token": "other"}
    elif error == "scope":
        beside.server.grants = ("operator.read",)
    else:
        beside.monkeypatch.setenv("OPENCLAW_GATEWAY_PORT", "1")
    beside.allow()
    code, answer = beside.reconcile("--apply")
    assert code in (69, 77)
    assert answer["errors"]
    assert beside.deleted == []
    files = [path for path in beside.place.home.rglob("*") if path.is_file()]
    assert not [path for path in files if path.name == "records.zst"]
    assert not [path for path in files if TOKEN.encode() in path.read_bytes()]


def test_a_round_has_an_end_and_the_next_goes_on(beside, monkeypatch):
    monkeypatch.setattr(online, "MOST_AT_ONCE", 2)
    for name in ("a", "b", "c"):
        beside.add(name)
    assert beside.act()[1]["counts"] == {"online": 2}
    assert beside.act()[1]["counts"] == {"online": 1}
    assert set(read_entries(beside.path)) == {BASE}
    with closing(connect(beside.path)) as db:
        assert db.execute(f"SELECT count(*) FROM {WINDOWS}").fetchone() == (1,)
    assert clock.now_ms() > beside.began
