"""Tasks that the real gateway calls lost, by its own clock: five minutes are waited for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import real_gateway
from held_runs import counts, prepare, read_tasks, until

if TYPE_CHECKING:
    from pathlib import Path

    from held_runs import Scene

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1200)]

# 5 min since the last event, and a look every 60 s.
LOST_S = 420


def tell_truth(scene: Scene) -> dict[str, str]:
    """Return what `tailflip tasks` says of each job's last run."""
    ran = real_gateway.tailflip(scene.install, scene.state, "tasks", "--json")
    assert ran.returncode == 0, ran.stderr
    listed: list[dict[str, Any]] = json.loads(ran.stdout)["tasks"]
    return {each["task_id"]: each["true_status"] for each in listed}


def list_theirs(scene: Scene) -> dict[str, dict[str, Any]]:
    """Return what `openclaw tasks list` says."""
    ran = scene.install.openclaw(scene.state, "tasks", "list", "--json")
    assert ran.returncode == 0, ran.stderr
    text = ran.stdout or ran.stderr  # where it writes depends on its loggers
    document = json.JSONDecoder().raw_decode(text, text.index("{"))[0]
    return {task["taskId"]: task for task in document["tasks"]}


def test_lost_runs_get_their_true_end(json5_install: real_gateway.Install, tmp_path: Path) -> None:
    """One run died with its gateway, the other goes on for longer than five minutes."""
    with prepare(json5_install, tmp_path) as scene:
        with scene.started():
            scene.add_job()
            scene.begin_run()
            began_ms = scene.read_job()["state"]["runningAtMs"]
            scene.kill()
        (killed,) = read_tasks(scene.state)
        assert read_tasks(scene.state)[killed] == "running"

        with scene.gated():
            scene.add_job()
            scene.begin_run()
            (going_on,) = read_tasks(scene.state).keys() - {killed}
            until(lambda: read_tasks(scene.state)[killed] == "lost", "the killed one lost", LOST_S)
            assert tell_truth(scene)[killed] == "interrupted"
            until(lambda: read_tasks(scene.state)[going_on] == "lost", "the other lost", LOST_S)
            assert tell_truth(scene) == {killed: "interrupted", going_on: "running"}
            assert counts(scene.reconcile("tasks", "--apply")) == {}, "it holds them in memory"
            scene.end_run()
            line = scene.lines()[-1]
            assert line["status"] == "ok"
            assert line["durationMs"] > 300_000
            assert tell_truth(scene) == {killed: "interrupted", going_on: "done"}

        error = list_theirs(scene)[going_on]["error"]
        assert error == "backing session missing", "the real thing's lie"
        scene.reconcile("tasks", "--apply")
        theirs = list_theirs(scene)
        assert theirs[killed]["status"] == "lost"
        assert theirs[killed]["error"].startswith("interrupted: its gateway died")
        assert began_ms <= theirs[killed]["endedAt"] <= began_ms + 60_000
        assert theirs[going_on]["status"] == "succeeded"
        assert theirs[going_on]["endedAt"] == line["runAtMs"] + line["durationMs"]
        assert theirs[going_on].get("error") is None
        assert counts(scene.reconcile("tasks", "--apply")) == {}
