"""The real gateway's own ledgers after a kill, a later success, and a run in flight."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import real_gateway

from fakes.held_model import Model, held_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(900)]

JOB_FLAGS = ("--every", "1h", "--session", "isolated", "--message", "say ok", "--no-deliver")


@dataclass
class Scene:
    install: real_gateway.Install
    state: Path
    port: int
    model: Model
    job: str = ""
    running: real_gateway.Running | None = None

    @property
    def store(self) -> Path:
        return self.state / "agents" / "main" / "sessions" / "sessions.json"

    @contextmanager
    def started(self) -> Iterator[None]:
        with real_gateway.gateway(self.install, self.state, port=self.port) as running:
            assert running.settle(), running.output()[-2000:]
            self.running = running
            yield
        self.running = None

    def call(self, *args: str) -> str:
        where = ("--url", f"ws://127.0.0.1:{self.port}", "--token", real_gateway.TOKEN)
        ran = self.install.openclaw(self.state, *args, *where)
        assert ran.returncode == 0, ran.stdout[-1000:] + ran.stderr[-1000:]
        return ran.stdout

    def add_job(self) -> None:
        out = self.call("cron", "add", "--name", "j", *JOB_FLAGS, "--json")
        self.job = json.JSONDecoder().raw_decode(out, out.index("{"))[0]["id"]

    def begin_run(self) -> None:
        """Start a run that stays in flight until the model is released."""
        self.model.forget_calls()
        self.model.hold()
        self.call("cron", "run", self.job)
        self.model.wait_for_call()
        # Its life-cycle is written a moment later, with the start of this very run.
        marker = self.read_job()["state"]["runningAtMs"]
        until(lambda: self.base().get("startedAt", 0) >= marker, "the base entry to say running")

    def end_run(self) -> None:
        count = len(self.lines())
        self.model.release()
        until(lambda: len(self.lines()) > count, "a line in the run log")
        until(lambda: "runningAtMs" not in self.read_job()["state"], "the marker to go")

    def kill(self) -> None:
        """SIGKILL the whole tree, as the kernel does when memory runs out."""
        assert self.running is not None
        tree = psutil.Process(self.running.process.pid).children(recursive=True)
        for process in tree:
            process.kill()
        self.running.process.kill()
        self.running.process.wait()
        psutil.wait_procs(tree, 10)

    def entries(self) -> dict[str, Any]:
        return json.loads(self.store.read_bytes())

    def base(self) -> dict[str, Any]:
        return self.entries()[f"agent:main:cron:{self.job}"]

    def newest_run(self) -> tuple[str, dict[str, Any]]:
        session = self.base()["sessionId"]
        key = f"agent:main:cron:{self.job}:run:{session}"
        return key, self.entries()[key]

    def read_job(self) -> dict[str, Any]:
        return json.loads((self.state / "cron" / "jobs.json").read_bytes())["jobs"][0]

    def lines(self) -> list[dict[str, Any]]:
        path = self.state / "cron" / "runs" / f"{self.job}.jsonl"
        if not path.exists():
            return []
        return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]

    def reconcile(self, *args: str) -> dict[str, Any]:
        ran = real_gateway.tailflip(self.install, self.state, "reconcile", "--json", *args)
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)


def until(condition: Callable[[], object], what: str, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.1)


def counts(answer: dict[str, Any]) -> dict[str, dict[str, int]]:
    return {step["kind"]: step["counts"] for step in answer["steps"] if step["counts"]}


@pytest.fixture
def scene(gateway_install: real_gateway.Install, tmp_path: Path) -> Iterator[Scene]:
    state = tmp_path / "state"
    state.mkdir()
    port = real_gateway.configure(state)
    with held_model() as model:
        config = state / "openclaw.json"
        root = json.loads(config.read_bytes())
        provider = root["models"]["providers"]["fake"]
        provider["baseUrl"] = f"http://127.0.0.1:{model.port}/v1"
        config.write_text(json.dumps(root, indent=2))
        yield Scene(gateway_install, state, port, model)


def test_killed_mid_run_is_ended_and_nothing_is_already_running(scene: Scene) -> None:
    with scene.started():
        scene.add_job()
        scene.begin_run()
        marker = scene.read_job()["state"]["runningAtMs"]
        alive = scene.reconcile("--apply", "--max-lifetime", "1s")
        assert "markers" not in counts(alive), "beside a living gateway its ledgers are its own"
        assert scene.base()["status"] == "running"
        scene.kill()
    died_ms = int(time.time() * 1000)
    assert scene.base()["status"] == "running"
    jobs_before = (scene.state / "cron" / "jobs.json").read_bytes()
    assert f'"runningAtMs": {marker}'.encode() in jobs_before

    done = scene.reconcile("--apply")
    assert counts(done)["markers"] == {"markers of a dead gateway cleared": 1}
    assert counts(done)["zombies"]["retire"] >= 1
    assert "runningAtMs" not in scene.read_job()["state"]
    base = scene.base()
    assert base["status"] == "killed"
    assert marker <= base["endedAt"] <= died_ms
    assert counts(scene.reconcile("--apply")) == {}, "a second run does nothing"

    with scene.started():
        assert "clearing stale running marker" not in scene.running.output()
        scene.begin_run()
        scene.end_run()
        assert scene.lines()[-1]["status"] == "ok"
        key, entry = scene.newest_run()
        assert scene.lines()[-1]["sessionKey"] == key
        assert entry.get("status") != "running", "what was ended hands nothing on"

    markers = next(s for s in done["steps"] if s["kind"] == "markers")
    ran = real_gateway.tailflip(
        scene.install, scene.state, "restore", markers["action_id"], "--apply"
    )
    assert ran.returncode == 0, ran.stderr
    assert scene.read_job()["state"]["runningAtMs"] == marker


def test_sticky_running_is_ended_with_the_logs_time_beside_a_living_gateway(scene: Scene) -> None:
    with scene.started():
        scene.add_job()
        scene.begin_run()
        scene.kill()
    with scene.started():
        scene.begin_run()
        scene.end_run()
        key, sticky = scene.newest_run()
        assert sticky["status"] == "running", "the real thing's lie"

        done = scene.reconcile("--apply")
        line = scene.lines()[-1]
        entry = scene.entries()[key]
        assert entry["status"] == "done"
        assert entry["endedAt"] == line["runAtMs"] + line["durationMs"]
        assert entry["runtimeMs"] == line["durationMs"]
        assert scene.base()["status"] == "done"
        words = "\n".join(w for s in done["steps"] for w in s["words"])
        assert "the run log says it ended done" in words
        cut = {"status", "endedAt", "runtimeMs"}
        assert {k: v for k, v in entry.items() if k not in cut} == {
            k: v for k, v in sticky.items() if k not in cut
        }
        assert counts(scene.reconcile("--apply")) == {}
        scene.begin_run()
        scene.end_run()
        assert scene.newest_run()[1].get("status") != "running"


def test_a_run_in_flight_survives_two_minutes_of_sweeps(scene: Scene) -> None:
    """The worst case: it says "running" since a crash, and the limit is a second."""
    with scene.started():
        scene.add_job()
        scene.begin_run()
        scene.kill()
    with scene.started():
        scene.begin_run()
        key, before = scene.newest_run()
        assert before["status"] == "running"
        log = scene.state.parent / "watch.log"
        options = ("--interval", "5s", "--max-lifetime", "1s", "--rounds", "22")
        with log.open("wb") as out:
            watch = subprocess.Popen(
                [sys.executable, "-m", "tailflip", "watch", *options],
                env=scene.install.environment(scene.state),
                stdout=out,
                stderr=out,
            )
        try:
            assert watch.wait(300) == 0, log.read_text()
        finally:
            watch.kill()
        assert scene.entries()[key] == before, log.read_text()
        scene.end_run()
        assert scene.lines()[-1]["status"] == "ok"
        assert scene.lines()[-1]["sessionKey"] == key
        assert counts(scene.reconcile("zombies", "--apply")) != {}
        assert scene.entries()[key]["status"] == "done"


def test_provider_error_is_ended_as_failed(scene: Scene) -> None:
    with scene.started():
        scene.add_job()
        scene.begin_run()
        scene.kill()
    with scene.started():
        scene.model.status = 400
        scene.begin_run()
        scene.end_run()
        line = scene.lines()[-1]
        assert line["status"] == "error"
        key, entry = scene.newest_run()
        assert entry["status"] == "running", "sticky, whatever happened"
        scene.reconcile("--apply")
        assert scene.entries()[key]["status"] == "failed"
        assert scene.entries()[key]["endedAt"] == line["runAtMs"] + line["durationMs"]


def test_lost_tasks_get_their_true_end_and_openclaw_agrees(scene: Scene) -> None:
    if scene.install.version == "2026.3.28":
        pytest.skip("it has no task ledger")
    path = scene.state / "tasks" / "runs.sqlite"
    with scene.started():
        scene.add_job()
        scene.begin_run()
        scene.end_run()
        scene.begin_run()
        scene.kill()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        rows = db.execute("SELECT task_id, status FROM task_runs ORDER BY created_at").fetchall()
        assert [status for _, status in rows] == ["succeeded", "running"]
        finished, killed = (task_id for task_id, _ in rows)
        # As its maintenance writes it, and time goes by: five minutes need not be waited for.
        db.execute(
            "UPDATE task_runs SET status = 'lost', error = 'backing session missing' "
            "WHERE task_id = ?",
            (finished,),
        )
        db.execute("UPDATE task_runs SET last_event_at = last_event_at - 400000")
    with scene.started():
        until(lambda: read_status(path, killed) == "lost", "the gateway to call it lost")
        listed = json.loads(
            real_gateway.tailflip(scene.install, scene.state, "tasks", "--json").stdout
        )
        truth = {each["task"]["task_id"]: each["verdict"] for each in listed["tasks"]}
        assert truth[finished] == "done"
        assert truth[killed] == "interrupted"
        answer = scene.reconcile("tasks", "--apply")
        assert counts(answer) == {}, "beside a living gateway its ledger is only read"
    done = scene.reconcile("tasks", "--apply")
    assert counts(done)["tasks"] == {"tasks told their true end": 2}

    ran = scene.install.openclaw(scene.state, "tasks", "list", "--json")
    assert ran.returncode == 0, ran.stderr
    text = ran.stdout or ran.stderr  # where it writes depends on its loggers
    document = json.JSONDecoder().raw_decode(text, text.index("{"))[0]
    tasks = {task["taskId"]: task for task in document["tasks"]}
    assert tasks[finished]["status"] == "succeeded"
    assert tasks[finished].get("error") is None
    line = scene.lines()[0]
    assert tasks[finished]["endedAt"] == line["runAtMs"] + line["durationMs"]
    assert tasks[killed]["status"] == "lost"
    assert tasks[killed]["error"].startswith("interrupted: its gateway died")


def read_status(path: Path, task_id: str) -> str:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        row = db.execute("SELECT status FROM task_runs WHERE task_id = ?", (task_id,)).fetchone()
    return str(row[0])


def test_stuck_job_is_released_through_openclaw(scene: Scene) -> None:
    """A job whose results never come (its model hangs) is free again without a restart."""
    if scene.install.version == "2026.3.28":
        pytest.skip("one version is enough: the code is the same")
    bin_ = scene.state.parent / "bin"
    bin_.mkdir()
    script = bin_ / "openclaw"
    script.write_text(
        f'#!/bin/sh\nexec "{scene.install.node}" "{scene.install.package}/openclaw.mjs" "$@"\n'
    )
    script.chmod(0o755)
    with scene.started():
        scene.add_job()
        scene.begin_run()
        # The mark as it would be hours later; the gateway reads its file anew at the next tick.
        env = scene.install.environment(scene.state)
        env["PATH"] = f"{bin_}{os.pathsep}{env['PATH']}"
        env["TAILFLIP_RECONCILE_RELEASE_STUCK_JOBS"] = "true"
        path = scene.state / "cron" / "jobs.json"
        root = json.loads(path.read_bytes())
        root["jobs"][0]["payload"]["timeoutSeconds"] = 1
        root["jobs"][0]["state"]["runningAtMs"] -= 400_000
        path.write_text(json.dumps(root, indent=2))
        for lock in scene.store.parent.glob("*.jsonl.lock"):
            lock.unlink()
        ran = subprocess.run(
            [sys.executable, "-m", "tailflip", "reconcile", "stuck", "--apply", "--json"],
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        answer = json.loads(ran.stdout)
        assert [finding["code"] for finding in answer["findings"]] == ["job-stuck"]
        assert "runningAtMs" not in scene.read_job()["state"]
        assert scene.read_job()["enabled"] is True
        assert scene.running is not None
        assert scene.running.process.poll() is None
