"""What is asked of one release: a killed run, a death by a small heap, a compaction, its undo."""

from __future__ import annotations

import json
import subprocess
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import guarded
import held_runs
import real_gateway

from matrix.databases import ask_of_database, keeps_databases, list_running
from matrix.incidents import ask_of_compaction, ask_of_death
from matrix.lines import NotServed, NotThere
from matrix.runs import crash_in_mid_run, is_marked
from matrix.trial import BOOT, INSTALL, KILLED, Trial
from tailflip.flow.findings import Code
from tailflip.observe.records.forms import NOT_READ

if TYPE_CHECKING:
    from pathlib import Path

    from held_runs import Scene
    from real_gateway import Install

    from matrix.lines import Line

NOT_WRITTEN = "which tailflip does not write"
_FIRST_BOOTS_S = 700  # some compile their plugins in it, or install packages
_RESTS_WITHIN_S = 120  # a machine may be busy


def try_release(line: Line, folder: Path) -> None:
    """Ask everything of one release; whatever happens is in the line."""
    with line.asking(INSTALL, 900) as told:
        install = real_gateway.install(line.release)
        told.append(f"Node {_node_version(install)}")
        told += [
            f"with `{name}`, which it lacks" for name in real_gateway.LACKS.get(line.release, ())
        ]
    if not line.went_well(INSTALL):
        return
    trial = Trial(install, folder, line)
    try:
        ask_of_killed_run(trial)
        ask_of_death(trial)
        ask_of_compaction(trial)
        if keeps_databases(line.release):
            ask_of_database(line, install, folder)
    finally:
        for state in folder.glob("*/state"):
            guarded.end_all(state)


def _node_version(install: Install) -> str:
    ran = subprocess.run([install.node, "--version"], capture_output=True, text=True, check=True)
    return ran.stdout.strip().removeprefix("v")


# A run that is killed, and what is told of it.


def ask_of_killed_run(trial: Trial) -> None:
    line, place = trial.line, trial.folder / "killed"
    place.mkdir()
    with held_runs.prepare(trial.install, place) as scene, ExitStack() as running:
        with line.asking(BOOT, 900):
            scene.running = running.enter_context(
                real_gateway.gateway(scene.install, scene.state, port=scene.port)
            )
            assert scene.running.settle(_FIRST_BOOTS_S), scene.running.output()[-600:]
            trial.has_healthz = scene.running.has_healthz
        with line.asking(KILLED, 1200):
            line.need(BOOT)
            crash_in_mid_run(scene)
        with line.asking("check or reconcile tell of the killed run", 150) as told:
            line.need(KILLED)
            _check(trial, scene, told)
        with line.asking("tasks are those of `openclaw tasks list`", 240) as told:
            line.need(KILLED)
            _compare_tasks(trial, scene, told)
        with line.asking("reconcile settles the killed run", 150) as told:
            line.need(KILLED)
            _reconcile(trial, scene, told)
        with line.asking("boots after that; `cron list` has the job, not running", 450) as told:
            line.need(KILLED)
            scene.model.release()
            with scene.started():
                job = _job_at_rest(scene)
                told.append(f"last status: {job['state'].get('lastStatus')}")
                assert "runningAtMs" not in job["state"], "it is said to run"


def _refuse_unless_read(answer: dict[str, Any], what: str) -> None:
    """Raise NotServed where tailflip says itself that it cannot read what it would need."""
    codes = {each["code"] for each in answer.get("findings", ())}
    if "records-unread" in codes or any(note.startswith(NOT_READ) for note in answer["notes"]):
        raise NotServed(f"{what}; tailflip says that it cannot read the gateway's records")
    raise AssertionError(what)


def _check(trial: Trial, scene: Scene, told: list[str]) -> None:
    """Ask `check`, which tells a dead gateway's marker, and what `reconcile` would do."""
    answer = trial.ask(scene.state, "check")
    codes = [finding["code"] for finding in answer["findings"]]
    would = [x["kind"] for x in trial.ask(scene.state, "reconcile")["steps"] if x["counts"]]
    told.append(f"{answer['verdict']['state']}: {', '.join(codes) or 'no finding'}")
    told.append(f"reconcile would change: {', '.join(would) or 'nothing'}")
    if Code.MARKER_ORPHANED not in codes and "markers" not in would:
        _need_marker(scene)
        _refuse_unless_read(answer, "the job's marker is not told")


def _need_marker(scene: Scene) -> None:
    if not is_marked(scene.state):
        raise NotThere("it writes nothing of a run before the run's end")


def _compare_tasks(trial: Trial, scene: Scene, told: list[str]) -> None:
    apart = trial.copy(scene.state, "tasks")  # the real command may write
    ran = trial.install.openclaw(apart, "tasks", "list", "--json")
    if ran.returncode and ("unknown command" in ran.stderr or "nknown" in ran.stdout):
        raise NotThere("this release has no `openclaw tasks`")
    assert ran.returncode == 0, f"openclaw tasks list: {ran.stderr[-300:]}"
    listed = _document(f"{ran.stdout}\n{ran.stderr}")["tasks"]  # 2026.4.14 writes it to stderr
    theirs = {each["taskId"]: each["status"] for each in listed}
    answer = trial.ask(scene.state, "tasks", "--limit", "5000")
    ours = {each["task_id"]: each["status"] for each in answer["tasks"]}
    told.append(f"OpenClaw lists {len(theirs)}, tailflip {len(ours)}")
    if ours != theirs:
        _refuse_unless_read(answer, "they differ")


def _reconcile(trial: Trial, scene: Scene, told: list[str]) -> None:
    answer = trial.ask(scene.state, "reconcile", "--apply")
    done = {step["kind"]: step["counts"] for step in answer["steps"] if step["counts"]}
    told.append(f"changed: {json.dumps(done) if done else 'nothing'}")
    again = trial.ask(scene.state, "reconcile")
    assert not any(step["counts"] for step in again["steps"]), "a second one would change more"
    stuck = list_running(scene.state)
    if scene.store.exists():
        stuck += [key for key, x in scene.entries().items() if x.get("status") == "running"]
    kept = [note for note in answer["notes"] if NOT_WRITTEN in note]
    if kept and not stuck and not done:
        raise NotServed(f"{'; '.join(kept)}; the gateway's next start ends the run")
    if not stuck and not done:
        _need_marker(scene)
    if stuck or not done:
        _refuse_unless_read(answer, f"{len(stuck)} entries say running, of a gateway that is dead")


def _job_at_rest(scene: Scene) -> dict[str, Any]:
    """Ask for the job until it does not run: some gateways settle it a while after their start."""
    until = time.monotonic() + _RESTS_WITHIN_S
    while True:
        jobs = _document(scene.call("cron", "list", "--all", "--json"))["jobs"]
        job: dict[str, Any] = next(each for each in jobs if each["id"] == scene.job)
        if "runningAtMs" not in job["state"] or time.monotonic() > until:
            return job


def _document(text: str) -> dict[str, Any]:
    """Read the document that a command wrote, among lines of its log."""
    found: dict[str, Any] = json.JSONDecoder().raw_decode(text, text.index("{\n"))[0]
    return found
