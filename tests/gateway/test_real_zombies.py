"""A run of the SQLite era whose gateway was killed: ended while it is stopped, accepted, undone.

The gateway's own commands say what is true afterwards. Twice it is started on what was written, in
place: what a first start forgives, a second one may not.
"""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
import real_gateway
from guarded import install_or_skip
from held_runs import Scene, counts, prepare, until

from support.agent_database import dump

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(1200)]


class SqliteScene(Scene):
    """A scene whose sessions, jobs and tasks lie in databases."""

    @property
    def database(self) -> Path:
        return self.state / "agents" / "main" / "agent" / "openclaw-agent.sqlite"

    def ask(self, query: str, *values: object, of_agent: bool = False) -> list[dict[str, Any]]:
        path = self.database if of_agent else self.state / "state" / "openclaw.sqlite"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute(query, values)]

    def read_job(self) -> dict[str, Any]:
        (row,) = self.ask("SELECT * FROM cron_jobs WHERE job_id = ?", self.job)
        return {"id": row["job_id"], "state": json.loads(row["state_json"])}

    def runs(self) -> list[dict[str, Any]]:
        """The nodes of the job's runs, each with the window of its session."""
        return self.ask(
            "SELECT node.session_key, node.status, node.entry_json, node.entry_valid,"
            " own.session_id, own.status AS window_status, own.ended_at, own.transcript_updated_at"
            " FROM session_nodes AS node JOIN session_windows AS own"
            " ON own.session_id = node.current_session_id WHERE node.session_key LIKE ?",
            f"agent:main:cron:{self.job}:run:%",
            of_agent=True,
        )

    def receipts(self) -> list[str]:
        rows = self.ask("SELECT status FROM cron_run_receipts ORDER BY started_at_ms")
        return [row["status"] for row in rows]

    def tasks(self) -> list[str]:
        rows = self.ask("SELECT status FROM task_runs WHERE runtime = 'cron' ORDER BY created_at")
        return [row["status"] for row in rows]

    def begin_run(self) -> None:
        """Start a run that stays in flight until the model is released."""
        self.model.forget_calls()
        self.model.hold()
        self.call("cron", "run", self.job)
        self.model.wait_for_call()
        until(lambda: [r for r in self.runs() if r["status"] == "running"], "a running node")

    def end_run(self) -> None:
        count = self.receipts().count("ok")
        self.model.release()
        until(lambda: self.receipts().count("ok") > count, "the receipt of a run that ended well")
        until(lambda: "runningAtMs" not in self.read_job()["state"], "the marker to go")

    def told(self, *verb: str) -> dict[str, Any]:
        ran = real_gateway.tailflip(self.install, self.state, *verb, "--json")
        assert ran.returncode in (0, 1), ran.stderr
        return json.loads(ran.stdout)

    def zombies(self, *args: str) -> dict[str, Any]:
        return next(s for s in self.reconcile(*args)["steps"] if s["kind"] == "zombies")

    def list_json(self, *verb: str) -> dict[str, Any]:
        ran = self.install.openclaw(self.state, *verb, "--json")
        assert ran.returncode == 0, ran.stdout[-1000:] + ran.stderr[-1000:]
        return json.JSONDecoder().raw_decode(ran.stdout, ran.stdout.index("{"))[0]

    def undo(self, action: str) -> dict[str, Any]:
        ran = real_gateway.tailflip(
            self.install, self.state, "restore", action, "--apply", "--json"
        )
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    def wait_for_repair(self) -> None:
        """Wait until the gateway has mended what is its own: marker, receipt and task."""
        until(lambda: "runningAtMs" not in self.read_job()["state"], "the marker to go")
        until(lambda: "running" not in self.receipts(), "the receipt to end")
        until(lambda: "running" not in self.tasks(), "the task to end")


@pytest.fixture(params=["2026.9.6", "2026.9.5", "2026.8.1"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqliteScene]:
    with prepare(install_or_skip(request.param), tmp_path) as made:
        yield SqliteScene(made.install, made.state, made.port, made.model)


def crash(scene: SqliteScene) -> tuple[int, int]:
    """Kill a gateway in the middle of a job's first run; return when that began and ended."""
    with scene.started():
        scene.add_job()
        began_ms = int(time.time() * 1000)
        scene.begin_run()
        scene.kill()
    return began_ms, int(time.time() * 1000)


def test_a_killed_run_is_ended_accepted_and_undone(scene: SqliteScene) -> None:
    with scene.started():
        scene.add_job()
        began_ms = int(time.time() * 1000)
        scene.begin_run()
        alive = scene.zombies("--apply", "--max-lifetime", "1s")
        assert (alive["counts"], alive["running_by_fate"]) == ({}, {"alive": 1}), alive
        assert [run["status"] for run in scene.runs()] == ["running"]
        scene.kill()
    died_ms = int(time.time() * 1000)
    marker = scene.read_job()["state"]["runningAtMs"]
    (zombie,) = scene.runs()
    assert (zombie["status"], zombie["window_status"]) == ("running", "running")
    before = dump(scene.database)

    told = scene.zombies()
    assert (told["counts"], told["running_by_fate"]) == ({"retire": 1}, {"dead": 1})
    assert dump(scene.database) == before
    codes = {finding["code"]: finding["message"] for finding in scene.told("check")["findings"]}
    assert codes["runs-stuck"].startswith("1 cron run claims")
    done = scene.zombies("--apply")
    assert done["counts"] == told["counts"]
    check_ended(scene, zombie, began_ms, died_ms)
    assert scene.read_job()["state"]["runningAtMs"] == marker, "the gateway's to mend"
    assert (scene.receipts(), scene.tasks()) == (["running"], ["running"])
    assert "runs-stuck" not in {each["code"] for each in scene.told("check")["findings"]}
    assert counts(scene.reconcile("--apply")).get("zombies") is None, "a second run does nothing"

    assert scene.undo(done["action_id"])["conflicts"] == 0
    assert dump(scene.database) == before
    done = scene.zombies("--apply")
    check_ended(scene, zombie, began_ms, died_ms)

    for _ in range(2):
        with scene.started():
            scene.wait_for_repair()
            check_ended(scene, zombie, began_ms, died_ms)
            check_agreed(scene)
    assert scene.receipts() == ["interrupted"]
    check_ended(scene, zombie, began_ms, died_ms)
    with scene.started():
        scene.begin_run()
        scene.end_run()
        check_agreed(scene)
    assert scene.receipts() == ["interrupted", "ok"]
    assert counts(scene.reconcile("--apply")).get("zombies") is None


def check_ended(scene: SqliteScene, zombie: dict[str, Any], began_ms: int, died_ms: int) -> None:
    """The run was killed while it was at work, says each place; all else is as it was."""
    (run,) = [r for r in scene.runs() if r["session_key"] == zombie["session_key"]]
    entry, old = json.loads(run["entry_json"]), json.loads(zombie["entry_json"])
    assert (run["status"], run["window_status"], run["entry_valid"]) == ("killed", "killed", 1)
    assert entry["status"] == "killed"
    assert began_ms <= entry["endedAt"] <= died_ms
    assert run["ended_at"] == entry["endedAt"]
    assert 0 <= entry["runtimeMs"] <= died_ms - began_ms
    changed = {"status", "endedAt", "runtimeMs", "lifecycleRunId", "activeWriterRunId"}
    assert {k: v for k, v in entry.items() if k not in changed} == {
        k: v for k, v in old.items() if k not in changed
    }


def check_agreed(scene: SqliteScene) -> None:
    """None of the gateway's own commands says that a run is at work."""
    sessions = scene.list_json("sessions", "--limit", "all")["sessions"]
    assert [s["key"] for s in sessions if s.get("status") == "running"] == []
    tasks = scene.list_json("tasks", "list")["tasks"]
    assert [t for t in tasks if t["status"] in ("running", "queued", "lost")] == []
    said = scene.call("cron", "list", "--json")
    jobs = json.JSONDecoder().raw_decode(said, said.index("{"))[0]["jobs"]
    assert jobs
    assert not [job for job in jobs if "runningAtMs" in job["state"]]


def test_what_the_gateway_repaired_itself_gets_the_time_of_the_death(scene: SqliteScene) -> None:
    """Its receipt and task have the moment of the repair, which may be hours after the end."""
    began_ms, died_ms = crash(scene)
    (zombie,) = scene.runs()
    time.sleep(5)
    with scene.started():
        scene.wait_for_repair()
        (still,) = scene.runs()
        assert (still["status"], still["window_status"]) == ("running", "running")
        beside = scene.zombies("--apply")
        assert beside["running_by_fate"] == {"over": 1}
        assert [run["status"] for run in scene.runs()] == ["running"], "beside it: left alone"
    assert scene.receipts() == ["interrupted"]
    done = scene.zombies("--apply")
    assert done["counts"] == {"retire": 1}
    assert "was killed" in done["reasons"][0]
    check_ended(scene, zombie, began_ms, died_ms)


def test_a_finished_task_is_the_verdict_of_run_and_gateway(scene: SqliteScene) -> None:
    """The gateway had written that the run ended well, and died before it wrote all else."""
    began_ms, _ = crash(scene)
    (zombie,) = scene.runs()
    (task,) = scene.ask("SELECT * FROM task_runs WHERE runtime = 'cron'")
    lasted_ms = zombie["transcript_updated_at"] + 500 - task["started_at"]
    detail = {
        "kind": "cron-run",
        "status": "ok",
        "sessionId": zombie["session_id"],
        "runAtMs": task["started_at"],
        "durationMs": lasted_ms,
        "storeKey": str(scene.state / "cron" / "jobs.json"),
    }
    with closing(sqlite3.connect(scene.state / "state" / "openclaw.sqlite")) as db, db:
        db.execute(
            "UPDATE task_runs SET status = 'succeeded', ended_at = ?, detail_json = ?"
            " WHERE task_id = ?",
            (task["started_at"] + lasted_ms, json.dumps(detail), task["task_id"]),
        )
    assert scene.zombies("--apply")["counts"] == {"retire": 1}
    (run,) = scene.runs()
    entry = json.loads(run["entry_json"])
    assert (run["status"], entry["status"], run["window_status"]) == ("done", "done", "done")
    assert entry["endedAt"] == task["started_at"] + lasted_ms
    assert entry["runtimeMs"] == lasted_ms
    assert began_ms <= entry["endedAt"]
    with scene.started():
        scene.wait_for_repair()
        check_agreed(scene)
        assert scene.receipts() == ["ok"]
        assert scene.read_job()["state"]["lastStatus"] == "ok"
