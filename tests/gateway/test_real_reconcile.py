"""The real gateway's own ledgers after a kill, a later success, and a run in flight."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import real_gateway
from held_runs import counts, read_tasks, until
from test_real_lock import archived_keys, chat_key, library, run_key, write_store

from tailflip.base.durable import RealDisk
from tailflip.base.sdnotify import Notifier
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.flow.findings import Code
from tailflip.ledger.history import History
from tailflip.supervise import watch as watch_module
from tailflip.supervise.watch import Watch, Where

if TYPE_CHECKING:
    from pathlib import Path

    from held_runs import Scene

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(900)]


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
    scene.crash_in_mid_run()
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
        words = "\n".join(w for s in done["steps"] for w in s["reasons"])
        assert "the run log says it ended done" in words
        cut = {"status", "endedAt", "runtimeMs"}
        assert {k: v for k, v in entry.items() if k not in cut} == {
            k: v for k, v in sticky.items() if k not in cut
        }
        assert counts(scene.reconcile("--apply")) == {}
        scene.begin_run()
        scene.end_run()
        assert scene.newest_run()[1].get("status") != "running"


def test_gate_mends_what_a_kill_left_and_watch_ends_what_sticks(scene: Scene) -> None:
    with scene.started():
        scene.add_job()
        scene.begin_run()
        marker = scene.read_job()["state"]["runningAtMs"]
        zombie, _ = scene.newest_run()
        scene.kill()
    died_ms = int(time.time() * 1000)
    assert scene.read_job()["state"]["runningAtMs"] == marker

    with scene.gated():
        assert "1 marker of a dead gateway cleared" in scene.running.output()
        assert "clearing stale running marker" not in scene.running.output()
        base = scene.base()
        assert base["status"] == "killed"
        assert marker <= base["endedAt"] <= died_ms
        assert scene.entries()[zombie].get("status") != "running"
        scene.begin_run()  # fails on an answer like "already-running"
        scene.end_run()
        assert scene.lines()[-1]["status"] == "ok"
        assert scene.newest_run()[1].get("status") != "running", "nothing was handed on"
        scene.begin_run()
        scene.kill()
    with scene.started():
        scene.begin_run()
        scene.end_run()
        key, entry = scene.newest_run()
        assert entry["status"] == "running", "without a gate it sticks"
        ran = real_gateway.tailflip(scene.install, scene.state, "watch", "--rounds", "1")
        assert ran.returncode == 0, ran.stderr
        line = scene.lines()[-1]
        entry = scene.entries()[key]
        assert entry["status"] == "done"
        assert entry["endedAt"] == line["runAtMs"] + line["durationMs"]
        assert scene.base()["status"] == "done"


def test_watch_loses_no_update_and_tells_of_what_comes_back(
    gateway_install: real_gateway.Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library writes as fast as it can, and every update brings one entry back."""
    state, store = write_store(tmp_path)
    monkeypatch.setattr(watch_module, "RECHECK_S", 1.0)
    home = Home(tmp_path / "tailflip")
    env = gateway_install.environment(state)
    watch = Watch(Where(env, interval_s=4.0), home, RealDisk(), Notifier())
    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch.run)
        try:
            with library(gateway_install, state, store, "stale", 20) as writer:
                assert writer.wait(120) == 0
                assert writer.stdout is not None
                told = json.loads(writer.stdout.read())
            seen = watch.rounds
            until(lambda: watch.rounds > seen + 1, "one more whole round", 60)
        finally:
            watch.stop()
        watching.result(60)
    assert told["failed"] == []
    assert told["updates"] > 50
    assert watch.rounds >= 4

    left = json.loads(store.read_bytes())
    assert left["agent:main:main"]["counter"] == told["updates"]
    assert set(map(chat_key, range(told["updates"]))) <= left.keys()
    removed = archived_keys(gateway_install, state)
    runs = list(map(run_key, range(told["updates"])))
    assert [run for run in runs if run not in removed] == [], "gone, and in no archive"
    assert [run for run in runs if run in left] == [], "back, and not swept again"
    assert [run for run in runs[1:] if removed[run] > 1] == [], "back between"
    assert removed[runs[0]] > 1
    history = History(Workspace(home, RealDisk()), os.path.realpath(state))
    (finding,) = (
        each.finding
        for each in history.findings.read(open_only=False)
        if each.finding.code == Code.ENTRIES_RESURRECTED
    )
    assert "came back after they were changed" in finding.message
    assert not list(store.parent.glob("sessions.json.*")), "lock or temporary file left behind"


def test_a_run_in_flight_survives_two_minutes_of_sweeps(scene: Scene) -> None:
    """The worst case: it says "running" since a crash, and the limit is a second."""
    scene.crash_in_mid_run()
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
    scene.crash_in_mid_run()
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
        until(lambda: read_tasks(scene.state)[killed] == "lost", "the gateway to call it lost")
        listed = json.loads(
            real_gateway.tailflip(scene.install, scene.state, "tasks", "--json").stdout
        )
        truth = {each["task_id"]: each["true_status"] for each in listed["tasks"]}
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
