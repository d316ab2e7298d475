"""Lost tasks: the truth is shown always, and written only while the gateway is stopped."""

from __future__ import annotations

import json
import socket
import sqlite3
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.sqlite_records import TASKS_SCHEMA
from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.flow.observed import Gateway, Job, Schedule
from tailflip.ledger.runs import Runs, SeenRun
from tailflip.observe.records.runlog import RunLine
from tailflip.reconcile.judge.tasks import TaskEvidence, follow_runs

MIN_MS = 60_000
DAY_MS = 86_400_000


class Tasks:
    def __init__(self, place):
        self.place = place
        self.now = clock.now_ms()
        place.put(b"{}")
        (place.state / "cron" / "runs").mkdir(parents=True)
        (place.state / "tasks").mkdir()
        self.path = place.state / "tasks" / "runs.sqlite"
        with closing(sqlite3.connect(self.path, isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute(TASKS_SCHEMA)
        self.path.chmod(0o600)

    def add(self, name, status, age_ms, *, log=None, ended_ms=None, error=None, runtime="cron"):
        began = self.now - age_ms
        row = (name, runtime, name, f"cron:{name}:{began}", f"the {name}", status)
        with closing(sqlite3.connect(self.path, isolation_level=None)) as db:
            db.execute(
                "INSERT INTO task_runs (task_id, runtime, source_id, run_id, label, status, "
                "created_at, started_at, ended_at, last_event_at, error, owner_key, scope_kind, "
                "task, delivery_status, notify_policy) VALUES "
                "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', 'system', 't', 'not_applicable', 'silent')",
                (*row, began, began, ended_ms, began, error),
            )
        if log is not None:
            line = {"action": "finished", "jobId": name, "status": log, "runAtMs": began}
            line |= {"durationMs": 7 * MIN_MS}
            path = self.place.state / "cron" / "runs" / f"{name}.jsonl"
            path.write_text(json.dumps(line) + "\n")

    def read(self):
        with closing(sqlite3.connect(self.path)) as db:
            return db.execute("SELECT * FROM task_runs ORDER BY task_id").fetchall()

    def status(self):
        with closing(sqlite3.connect(self.path)) as db:
            return dict(db.execute("SELECT task_id, status FROM task_runs").fetchall())

    def run(self, *argv):
        code, out, err = self.place.run("reconcile", "tasks", "--json", *argv)
        assert code == 0, err
        return json.loads(out)


@pytest.fixture
def tasks(place):
    return Tasks(place)


def fill(tasks):
    lost = {"error": "backing session missing"}
    tasks.add("finished", "lost", 60 * MIN_MS, log="ok", ended_ms=tasks.now - 55 * MIN_MS, **lost)
    tasks.add("broke", "lost", 60 * MIN_MS, log="error", ended_ms=tasks.now - 55 * MIN_MS, **lost)
    tasks.add("killed", "running", 50 * MIN_MS)
    tasks.add("fine", "succeeded", 40 * MIN_MS, log="ok", ended_ms=tasks.now - 33 * MIN_MS)
    tasks.add("other", "lost", 60 * MIN_MS, runtime="acp", **lost)


def test_check_sees_tasks_that_are_not_lost(tasks):
    """It said that nothing was wrong, where `reconcile` had three ends to write."""
    fill(tasks)
    before = tasks.read()
    code, out, _ = tasks.place.run("check")
    told = " ".join(out.split())
    assert code == 1
    assert "warning: 3 tasks are called lost or running, and all ledgers together prove" in told
    assert "[ledgers-disagree] hint: `tailflip reconcile` gives the reason of each" in told
    assert tasks.read() == before
    tasks.run("--apply")
    assert "ledgers-disagree" not in tasks.place.run("check")[1]


def test_lost_tasks_are_told_their_true_end_and_it_can_be_undone(tasks):
    fill(tasks)
    before = tasks.read()
    (planned,) = tasks.run()["steps"]
    assert planned["counts"] == {"tasks told their true end": 3}
    assert tasks.read() == before
    beside = [path.name for path in tasks.path.parent.iterdir()]
    assert beside == ["runs.sqlite"], "read without a trace"

    (done,) = tasks.run("--apply")["steps"]
    assert tasks.status() == {
        "finished": "succeeded",
        "broke": "failed",
        "killed": "lost",
        "fine": "succeeded",
        "other": "lost",
    }
    with closing(sqlite3.connect(tasks.path)) as db:
        error = db.execute("SELECT error FROM task_runs WHERE task_id = 'killed'").fetchone()[0]
        ended = db.execute("SELECT ended_at FROM task_runs WHERE task_id = 'finished'").fetchone()[
            0
        ]
    assert error.startswith("interrupted: its gateway died")
    assert ended == tasks.now - 53 * MIN_MS
    assert tasks.run("--apply")["steps"] == [], "a second run does nothing"
    backup = tasks.place.home / "archive" / done["action_id"] / "before"
    with closing(sqlite3.connect(backup)) as db:
        assert db.execute("SELECT * FROM task_runs ORDER BY task_id").fetchall() == before

    for verb in (("status",), ("archive", "list")):
        assert "reconcile: 3 tasks fixed" in tasks.place.run(*verb)[1]
    code, out, err = tasks.place.run("restore", done["action_id"], "--apply")
    assert code == 0, err
    assert "3 changes are taken back" in out
    assert tasks.read() == before
    assert tasks.path.stat().st_mode & 0o777 == 0o600


def test_a_task_tells_the_end_that_the_run_log_has_lost(tasks):
    """The gateway keeps the last 2,000 lines of a run log, and tasks for a week."""
    entries = {}
    for name, theirs in {"fine": "succeeded", "slow": "timed_out", "lost": "lost"}.items():
        tasks.add(name, theirs, 40 * MIN_MS, ended_ms=tasks.now - 33 * MIN_MS)
        updated = tasks.now - 40 * MIN_MS + 900
        key = f"agent:main:cron:{name}:run:r"
        entries[key] = {"sessionId": "r", "updatedAt": updated, "status": "running"}
    tasks.place.put(json.dumps(entries, indent=2).encode())
    code, out, err = tasks.place.run("reconcile", "zombies", "--apply", "--json")
    assert code == 0, err
    after = json.loads(tasks.place.store.read_bytes())
    assert [entry["status"] for entry in after.values()] == ["done", "timeout", "killed"]
    assert after["agent:main:cron:fine:run:r"]["endedAt"] == tasks.now - 33 * MIN_MS
    words = json.loads(out)["steps"][0]["reasons"]
    assert "the task ledger says it ended done" in words[0]
    assert "(by job and time)" in words[0]


def test_error_of_a_run_that_was_called_lost_and_then_ended_well_goes(tasks):
    """The gateway calls a manual run lost after five minutes, and lets that stand at its end."""
    ended_ms, lost = tasks.now - 33 * MIN_MS, {"error": "backing session missing"}
    tasks.add("long", "succeeded", 40 * MIN_MS, log="ok", ended_ms=ended_ms, **lost)
    tasks.add("unlogged", "succeeded", 40 * MIN_MS, ended_ms=ended_ms, **lost)
    tasks.add("cancelled", "cancelled", 40 * MIN_MS, log="ok", ended_ms=ended_ms, **lost)
    before = tasks.read()
    (done,) = tasks.run("--apply")["steps"]
    assert done["counts"] == {"tasks told their true end": 1}
    with closing(sqlite3.connect(tasks.path)) as db:
        errors = dict(db.execute("SELECT task_id, error FROM task_runs"))
    assert errors == {"long": None, "unlogged": lost["error"], "cancelled": lost["error"]}
    assert tasks.run("--apply")["steps"] == [], "a second run does nothing"
    code, _, err = tasks.place.run("restore", done["action_id"], "--apply")
    assert code == 0, err
    assert tasks.read() == before


def test_undo_leaves_what_the_gateway_wrote_since(tasks):
    fill(tasks)
    (done,) = tasks.run("--apply")["steps"]
    with closing(sqlite3.connect(tasks.path, isolation_level=None)) as db:
        db.execute("UPDATE task_runs SET status = 'cancelled' WHERE task_id = 'broke'")
    code, out, err = tasks.place.run("restore", done["action_id"], "--apply", "--json")
    assert code == 0, err
    outcome = json.loads(out)
    assert (outcome["replaced"], outcome["conflict_keys"]) == (2, ["broke"])
    assert tasks.status()["broke"] == "cancelled"


def test_truth_is_shown_beside_what_openclaw_says(tasks):
    fill(tasks)
    code, out, err = tasks.place.run("tasks")
    assert code == 0, err
    rows = {line.split()[1]: line for line in out.splitlines() if line.startswith("the ")}
    for name, words in {
        "finished": ("lost", "done", "7 min", "the run log says it ended done"),
        "broke": ("lost", "failed", "the run log says it ended failed"),
        "killed": ("running", "interrupted", "no gateway is running"),
        "fine": ("succeeded", "done"),
    }.items():
        for word in words:
            assert word in rows[name], out
    assert "other" not in rows
    code, out, _ = tasks.place.run("tasks", "--json")
    assert {each["task_id"] for each in json.loads(out)["tasks"]} == rows.keys()


def test_beside_a_gateway_that_may_live_the_ledger_is_only_read(tasks, monkeypatch):
    fill(tasks)
    before = tasks.read()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        (tasks.place.state / "openclaw.json").write_text(json.dumps({"gateway": {"port": port}}))
        monkeypatch.delenv("OPENCLAW_GATEWAY_PORT")
        answer = tasks.run("--apply")
    assert answer["steps"][0]["counts"] == {}
    assert "only while the gateway is stopped" in answer["notes"][-1]
    assert tasks.read() == before


def test_broken_task_ledger_is_a_note(tasks):
    tasks.path.write_bytes(b"no database" * 100)
    answer = tasks.run("--apply")
    assert answer["steps"] == []
    assert "task ledger cannot be read" in answer["notes"][0]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(["lost", "running", "queued", "succeeded", "failed", "timed_out"]),
            st.integers(1, 3 * 24 * 60),
            st.sampled_from([None, "ok", "error"]),
        ),
        max_size=6,
    )
)
def test_doing_it_twice_is_doing_it_once_and_undo_is_undo(tasks, rows):
    with closing(sqlite3.connect(tasks.path, isolation_level=None)) as db:
        db.execute("DELETE FROM task_runs")
    for n, (status, age_min, log) in enumerate(rows):
        tasks.add(f"j{n}", status, age_min * MIN_MS, log=log)
    before = tasks.read()
    steps = tasks.run("--apply")["steps"]
    once = tasks.read()
    assert tasks.run("--apply")["steps"] == []
    assert tasks.read() == once
    for step in steps:
        code, _, err = tasks.place.run("restore", step["action_id"], "--apply")
        assert code == 0, err
    assert tasks.read() == before


NOW = 1_800_000_000_000


def job(name, running_at_ms):
    return Job(
        name, name, True, "isolated", Schedule("every"), 0, 0, running_at_ms, None, None, None
    )


def ledgers(gateway, jobs=(), lines=(), deaths=()):
    return TaskEvidence(NOW, gateway, lines, {each.job_id: each for each in jobs}, deaths)


def test_runs_in_flight_are_followed_to_their_end():
    living = Gateway(True, 7, NOW - DAY_MS, "x")
    restarted = Gateway(True, 8, NOW - MIN_MS, "x")
    began = NOW - 10 * MIN_MS
    (seen,) = follow_runs((), ledgers(living, [job("j", began)]))
    assert (seen.job_id, seen.began_ms, seen.verdict) == ("j", began, None)
    still = follow_runs((seen,), ledgers(living, [job("j", began)]))
    assert [run.verdict for run in still] == [None]

    line = RunLine("j", None, None, "done", began + 40, began + MIN_MS)
    (ended,) = follow_runs((seen,), ledgers(living, [job("j", None)], [line]))
    assert (ended.verdict, ended.ended_ms) == ("done", began + MIN_MS)
    assert follow_runs((seen,), ledgers(living, [job("j", None)])) == (), "its line may come yet"

    old = SeenRun("j", began, "j", began + MIN_MS)
    (dead,) = follow_runs((old,), ledgers(restarted, deaths=[(began - 5, began + 2 * MIN_MS)]))
    assert (dead.verdict, dead.ended_ms) == ("interrupted", began + 2 * MIN_MS)
    (gone,) = follow_runs((SeenRun("j", 5, "j", 5),), ledgers(living))
    assert gone.verdict == "interrupted"
    assert follow_runs((), ledgers(restarted, [job("j", began)])) == (), "marker of the dead"


def test_what_is_in_flight_is_on_record_before_it_ends(tasks, monkeypatch):
    jobs = {"version": 1, "jobs": [{"id": "j", "name": "n", "state": {"runningAtMs": tasks.now}}]}
    (tasks.place.state / "cron" / "jobs.json").write_text(json.dumps(jobs))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        (tasks.place.state / "openclaw.json").write_text(json.dumps({"gateway": {"port": port}}))
        monkeypatch.delenv("OPENCLAW_GATEWAY_PORT")
        tasks.run("--apply")
    runs = Runs(Workspace(Home(tasks.place.home), RealDisk()), str(tasks.place.state.resolve()))
    assert [(run.job_id, run.verdict) for run in runs.read()] == [("j", None)]
