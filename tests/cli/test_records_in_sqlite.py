"""2026.6 and 2026.7: sessions in `sessions.json`, all else in the state database, and one truth."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from contextlib import closing

import pytest

from support.agent_database import connect, make_database
from support.state_rows import JSON_ONLY, SPLIT, StateRows
from support.stores import make_entries
from tailflip.base import clock
from tailflip.flow.observed import Gateway
from tailflip.observe.gateway.process import start_ticks

HOUR_MS = 3_600_000
JOB = "7c0f6b0e-0000-4000-8000-000000000001"
BASE = f"agent:main:cron:{JOB}"


class Era:
    """An installation of 2026.6.11: runs that say "running", and what the database says of them."""

    def __init__(self, place):
        self.place, self.now = place, clock.now_ms()
        place.state.mkdir(exist_ok=True)
        self.rows = StateRows(place.state, SPLIT)
        self.entries = {"agent:main:main": {"sessionId": "chat", "updatedAt": self.now - HOUR_MS}}

    def add_run(self, session, hours, *, ended=None, error=None):
        """A run that says "running"; `ended` is its status in the run history."""
        began = self.now - int(hours * HOUR_MS)
        key = f"{BASE}:run:{session}"
        self.entries[key] = {
            "sessionId": session,
            "updatedAt": began + 1000,
            "startedAt": began,
            "status": "running",
        }
        if ended:
            self.rows.add_run(
                JOB, began, lasted_ms=60_000, status=ended, error=error, key=key, session=session
            )

    def save(self):
        self.place.put(json.dumps(self.entries, indent=2).encode())

    def read(self):
        entries = json.loads(self.place.store.read_bytes()).values()
        return {entry["sessionId"]: entry for entry in entries}

    def hash_database(self):
        folder = self.rows.path.parent
        return {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()
        }


@pytest.fixture
def era(place):
    made = Era(place)
    made.add_run("ok", 3, ended="ok")
    made.add_run("bad", 4, ended="error", error="Error: 500")
    made.add_run("late", 5, ended="error", error="job timed out")
    made.add_run("gone", 6)  # no end on record: its gateway died
    made.add_run("old", 30, ended="ok")
    made.save()
    return made


def test_a_run_that_the_database_proves_finished_is_settled_with_its_own_end(place, era):
    """2026.7.35: six runs that its own run log called ok were written down as killed."""
    before = era.hash_database()
    code, out, err = place.run("reconcile", "--apply")
    assert code == 0, (out, err)
    found = era.read()
    assert {name: found[name]["status"] for name in ("ok", "bad", "late", "gone")} == {
        "ok": "done",
        "bad": "failed",
        "late": "timeout",
        "gone": "killed",
    }
    assert found["ok"]["endedAt"] == era.now - 3 * HOUR_MS + 60_000
    assert "old" not in found, "it ended, and is past the retention"
    assert "not read" not in out + err
    assert era.hash_database() == before


def test_a_compaction_takes_the_proof_from_the_database(place, era):
    before = era.hash_database()
    code, out, err = place.run("compact", "--apply")
    assert code == 0, err
    assert "force-expired" not in out
    found = era.read()
    assert "old" not in found
    assert found["chat"]["sessionId"] == "chat"
    assert era.hash_database() == before


@pytest.mark.parametrize("verb", ["check", "reconcile", "tasks"])
def test_a_living_gateways_run_is_in_flight_for_every_verb(place, era, monkeypatch, verb):
    """Its marker stands in a column of the database alone."""
    era.add_run("now", 0.1)
    era.save()
    era.rows.add_job(JOB, {"runningAtMs": era.entries[f"{BASE}:run:now"]["startedAt"] - 10})
    gateway = Gateway(True, os.getpid(), era.now - 2 * HOUR_MS, "it lives", in_the_way=True)
    monkeypatch.setattr("tailflip.stores.target.read_gateway", lambda *_: gateway)
    argv = (verb, "--apply") if verb == "reconcile" else (verb,)
    code, _, err = place.run(*argv)
    assert code in (0, 1), err
    assert era.read()["now"]["status"] == "running"


def test_a_compaction_beside_a_living_gateway_leaves_the_run_in_flight(place, era, monkeypatch):
    era.add_run("now", 2)
    era.save()
    era.rows.add_job(
        JOB,
        {"runningAtMs": era.entries[f"{BASE}:run:now"]["startedAt"] - 10},
        payload={"kind": "agentTurn", "timeoutSeconds": 0},
    )
    gateway = Gateway(True, os.getpid(), era.now - 3 * HOUR_MS, "it lives", in_the_way=True)
    monkeypatch.setattr("tailflip.stores.target.read_gateway", lambda *_: gateway)
    for _ in range(20):
        assert place.run("reconcile", "--apply")[0] in (0, 1)
    assert era.read()["now"]["status"] == "running"


def test_the_marker_of_a_dead_gateway_is_told_and_left_to_the_next_start(place, era):
    era.rows.add_job(JOB, {"runningAtMs": era.now - 2 * HOUR_MS}, name="nightly")
    before = era.hash_database()
    code, out, _ = place.run("check")
    assert code == 1
    assert "nightly" in out
    assert "marked as running" in out
    place.run("reconcile", "--apply")
    assert era.hash_database() == before


def test_tasks_lists_what_the_database_has(place, era):
    began = era.now - 6 * HOUR_MS
    era.rows.add_job(JOB, {}, name="nightly")
    era.rows.add_task(
        "t1",
        job_id=JOB,
        status="lost",
        began_ms=began,
        ended_ms=era.now - HOUR_MS,
        error="backing session missing",
    )
    era.rows.add_task("t2", job_id=JOB, status="running", began_ms=era.now - 3 * HOUR_MS)
    code, out, err = place.run("tasks", "--json")
    assert code == 0, err
    told = {each["task_id"]: each for each in json.loads(out)["tasks"]}
    assert set(told) == {"t1", "t2"}
    assert told["t2"]["true_status"] == "done", "the run history has its end"
    code, out, _ = place.run("tasks")
    assert str(era.rows.path) in out
    assert "run history: 4 runs that ended" in out


def test_a_ledger_that_is_wrong_is_told_and_not_written(place, era):
    era.rows.add_task("t2", job_id=JOB, status="running", began_ms=era.now - 3 * HOUR_MS)
    before = era.hash_database()
    code, out, err = place.run("reconcile", "--apply")
    assert code == 0
    assert "which tailflip does not write" in out + err
    assert era.hash_database() == before
    place.run("check")
    assert era.hash_database() == before


@pytest.mark.parametrize(("lives", "says"), [(True, "running"), (False, "interrupted")])
def test_a_run_whose_owner_lives_by_its_receipt_is_at_work(place, lives, says):
    """2026.8.1 and later write down the process that owns each run."""
    place.state.mkdir(exist_ok=True)
    rows, began = StateRows(place.state, JSON_ONLY), clock.now_ms() - 6 * HOUR_MS
    rows.add_receipt(JOB, began, os.getpid() if lives else 1 << 22, start_ticks(os.getpid()))
    rows.add_task("t", job_id=JOB, status="running", began_ms=began)
    place.put(b"{}")
    code, out, err = place.run("tasks", "--json")
    assert code == 0, err
    assert [each["true_status"] for each in json.loads(out)["tasks"]] == [says]


@pytest.fixture
def databases(place):
    """A state directory of 2026.9.6, where sessions are in a database, too."""
    place.state.mkdir(exist_ok=True)
    rows = StateRows(place.state, JSON_ONLY)
    make_database(place.state / "agents/main/agent/openclaw-agent.sqlite", make_entries())
    return rows


def test_sessions_in_sqlite_are_counted_by_every_verb(place, databases):
    """`check` said "1 store, 0 B ... it fits", and the others "no session store"."""
    code, out, _ = place.run("check")
    assert (code, "1 store, " in out) == (0, True)
    assert "records: sessions in SQLite (schema 23); cron jobs, " in " ".join(out.split())
    for verb in ("inspect", "compact"):
        code, out, err = place.run(verb)
        assert (code, "7 entries" in out) == (0, True), err


def test_inspect_tells_what_fills_a_database(place, databases):
    code, out, _ = place.run("inspect")
    assert code == 0
    assert "what fills the file" in out
    _, out, _ = place.run("inspect", "--json")
    (store,) = json.loads(out)["stores"]
    assert store["fill"]["events"] == 6, "two entries share a session"
    assert "session_nodes" in {table["name"] for table in store["fill"]["tables"]}


def test_an_event_that_is_no_json_is_found_by_check_and_not_by_a_quick_look(place, databases):
    database = place.state / "agents/main/agent/openclaw-agent.sqlite"
    with closing(connect(database)) as db, db:
        db.execute("UPDATE transcript_events SET event_json = '{' WHERE session_id = 'run-1'")
    _, out, _ = place.run("check", "--json")
    told = json.loads(out)
    (found,) = [f for f in told["findings"] if f["code"] == "event-unreadable"]
    assert "session run-1, seq 0" in found["evidence"][0]
    assert "event-unreadable" not in told["not_looked_for"]
    _, out, _ = place.run("status", "--json")
    assert "event-unreadable" in json.loads(out)["not_looked_for"]


def test_a_ledger_in_sqlite_is_not_offered_to_be_written(place, databases):
    databases.add_task("t", job_id=JOB, status="running", began_ms=clock.now_ms() - 3 * HOUR_MS)
    databases.add_run(JOB, clock.now_ms() - 3 * HOUR_MS)
    _, out, _ = place.run("check", "--json")
    (found,) = [f for f in json.loads(out)["findings"] if f["code"] == "ledgers-disagree"]
    assert "is not written" in found["hint"]
    assert "--apply" not in found["hint"]


@pytest.mark.parametrize("schema", [24, 99])
def test_an_agents_database_of_a_later_schema_is_a_finding(place, databases, schema):
    database = place.state / "agents/main/agent/openclaw-agent.sqlite"
    with closing(sqlite3.connect(database)) as db:
        db.execute(f"PRAGMA user_version = {schema}")
    code, out, _ = place.run("check")
    assert code == 1
    assert f"an agent's database has schema {schema}, newer than 23" in " ".join(out.split())


def test_a_history_that_breaks_while_it_is_read_ends_no_run(place, era, monkeypatch):
    """What was lost may have been the end of any run: none is taken for killed."""

    def break_off(*_):
        yield from ()
        raise sqlite3.DatabaseError("database disk image is malformed")

    monkeypatch.setattr("tailflip.observe.records.reading.read_run_rows", break_off)
    code, out, err = place.run("reconcile", "--apply")
    assert code == 0, err
    assert "run history cannot be read" in out + err
    found = era.read()
    assert {found[name]["status"] for name in ("ok", "bad", "late", "gone")} == {"running"}
