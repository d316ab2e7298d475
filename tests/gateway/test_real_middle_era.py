"""2026.6 and 2026.7: sessions in `sessions.json`, jobs, history and tasks in SQLite.

The gateway's own command line says what is true; tailflip must say the same, and end no run that
is in flight.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
import real_gateway
from guarded import install_or_skip
from held_runs import Scene, prepare, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(1200)]
SWEEPS = 20


class MiddleScene(Scene):
    """A scene whose job and run history are read from the state database."""

    def ask(self, query: str, *values: object) -> list[dict[str, Any]]:
        path = self.state / "state" / "openclaw.sqlite"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute(query, values)]

    def read_job(self) -> dict[str, Any]:
        (row,) = self.ask("SELECT * FROM cron_jobs WHERE job_id = ?", self.job)
        state = json.loads(row["state_json"])
        if row["running_at_ms"] is not None:
            state["runningAtMs"] = row["running_at_ms"]
        else:
            state.pop("runningAtMs", None)
        return {"id": row["job_id"], "state": state}

    def lines(self) -> list[dict[str, Any]]:
        return self.ask("SELECT * FROM cron_run_logs WHERE job_id = ? ORDER BY seq", self.job)

    def begin_run(self) -> None:
        """Start a run that stays in flight; its entry says nothing of it in these releases."""
        self.model.forget_calls()
        self.model.hold()
        self.call("cron", "run", self.job)
        self.model.wait_for_call()
        until(lambda: "runningAtMs" in self.read_job()["state"], "the marker")

    def told(self, *verb: str) -> dict[str, Any]:
        ran = real_gateway.tailflip(self.install, self.state, *verb, "--json")
        assert ran.returncode in (0, 1), ran.stderr
        return json.loads(ran.stdout)

    def say_running(self, line: dict[str, Any]) -> None:
        """Leave the entry that a crash of an older release leaves, for a run that ended."""
        began = line["run_at_ms"]
        entry = {"sessionId": line["session_id"], "status": "running"}
        times = {"startedAt": began, "updatedAt": began + 10}
        entries = self.entries() | {line["session_key"]: entry | times}
        self.store.write_text(json.dumps(entries, indent=2))


@pytest.fixture(params=["2026.6.11", "2026.7.35"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MiddleScene]:
    with prepare(install_or_skip(request.param), tmp_path) as made:
        yield MiddleScene(made.install, made.state, made.port, made.model)


def test_a_run_that_the_database_proves_finished_is_settled(scene):
    """On 7.35 a plain gate wrote "killed" into runs that the gateway's own log calls ok."""
    with scene.started():
        scene.add_job()
        scene.begin_run()
        scene.end_run()
        assert [line["status"] for line in scene.lines()] == ["ok"]
    (line,) = before = scene.lines()
    scene.say_running(line)
    scene.reconcile("--apply")
    entry = scene.entries()[line["session_key"]]
    assert entry["status"] == "done"
    assert abs(entry["endedAt"] - (line["run_at_ms"] + line["duration_ms"])) <= 1
    assert scene.lines() == before


def test_a_run_in_flight_is_untouched_by_every_verb_and_sweep(scene):
    with scene.started():
        scene.add_job()
        scene.begin_run()
        before = scene.entries()
        assert f"agent:main:cron:{scene.job}" in before
        scene.told("compact", "--apply")
        with subprocess.Popen(
            [
                *(sys.executable, "-m", "tailflip", "watch"),
                *("--interval", "1s", "--rounds", str(SWEEPS)),
            ],
            env=scene.install.environment(scene.state),
            stderr=subprocess.PIPE,
            text=True,
        ) as watch:
            _, said = watch.communicate(timeout=300)
        assert watch.returncode == 0, said
        assert scene.entries().keys() == before.keys()
        (task,) = scene.told("tasks")["tasks"]
        assert task["true_status"] == "running"
        scene.end_run()
        until(scene.lines, "the end of the run")
        assert scene.lines()[0]["status"] == "ok"


def test_the_marker_of_a_dead_gateway_is_told_and_its_run_is_ended(scene):
    with scene.started():
        scene.add_job()
        scene.begin_run()
        scene.kill()
    found = {each["code"] for each in scene.told("check")["findings"]}
    assert "marker-orphaned" in found
    tasks = scene.told("tasks")["tasks"]
    assert [task["true_status"] for task in tasks] == ["interrupted"]
    rows = scene.ask("SELECT task_id FROM task_runs")
    assert {task["task_id"] for task in tasks} == {row["task_id"] for row in rows}


def test_tasks_lists_what_the_real_command_lists(scene):
    with scene.started():
        scene.add_job()
        for _ in range(2):
            scene.begin_run()
            scene.end_run()
        said = scene.install.openclaw(scene.state, "tasks", "list", "--json").stdout
    listed = json.JSONDecoder().raw_decode(said, said.index("{"))[0]["tasks"]
    ours = scene.told("tasks")["tasks"]
    assert {task["task_id"] for task in ours} == {
        task["taskId"] for task in listed if task["runtime"] == "cron"
    }
    assert {task["true_status"] for task in ours} == {"done"}
