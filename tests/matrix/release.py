"""What is asked of one release: a killed run, a death by a small heap, a compaction, its undo."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import guarded
import held_runs
import real_gateway

from matrix import page
from matrix.databases import ask_of_database, keeps_databases, list_keys, list_running
from matrix.lines import Line, NotServed, NotThere
from matrix.runs import crash_in_mid_run, is_marked
from support.stores import split_members
from tailflip.demo.incident import write_incident
from tailflip.flow.findings import Code
from tailflip.flow.lives import Cause
from tailflip.observe.records.forms import NOT_READ

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from held_runs import Scene
    from real_gateway import Install, Running

MB = 1_000_000
# What a release says that keeps sessions in databases and does not import a `sessions.json`.
REFUSES = "Legacy session store requires migration"
NOT_WRITTEN = "which tailflip does not write"
INSTALL = "is installed"
BOOT = "boots on an empty directory"
KILLED = "is killed in mid-run"
DIES = "dies of a store alone"
COMPACTS = "compact --apply"
_HEAPS_MIB = (256, 400, 640, 1024)
_SIZES_MB = (20, 60, 120, 185)
_BOOTS_S, _RESTS_WITHIN_S = 240, 120  # a machine may be busy
_SURELY = 1.2  # a store just too large does not kill: the gateway collects garbage for minutes
_LATER_S = 15  # some die a while after their first answer


@dataclass
class Trial:
    install: Install
    folder: Path
    line: Line
    heap_mib: int = 0
    dies_with: int = 0
    has_healthz: bool = True

    def copy(self, state: Path, name: str) -> Path:
        """Copy a state directory, so that what is asked of it changes nothing for the next."""
        place = self.folder / name
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        return shutil.copytree(state, place / "state", symlinks=True)


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
        with line.asking(BOOT, 900) as told:
            able = (mib for mib in _HEAPS_MIB if _boots(running, scene, mib))
            trial.heap_mib = next(able, 0)
            assert trial.heap_mib, scene.running and scene.running.output()[-300:]
            trial.has_healthz = scene.running is not None and scene.running.has_healthz
            told.append(f"with {trial.heap_mib} MiB of heap")
        with line.asking(KILLED, 900):
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


def _boots(running: ExitStack, scene: Scene, heap_mib: int) -> bool:
    """Start the gateway and leave it running; True if it lives with this heap."""
    started = real_gateway.gateway(scene.install, scene.state, heap_mib=heap_mib, port=scene.port)
    scene.running = running.enter_context(started)
    return scene.running.settle(_BOOTS_S) and scene.running.stays_up(5)


def _ask(trial: Trial, state: Path, *words: str) -> dict[str, Any]:
    ran = real_gateway.tailflip(trial.install, state, *words, "--json")
    assert ran.returncode in {0, 1}, f"exit {ran.returncode}: {ran.stderr[-600:]}"
    answer: dict[str, Any] = json.loads(ran.stdout)
    return answer


def _refuse_unless_read(answer: dict[str, Any], what: str) -> None:
    """Raise NotServed where tailflip says itself that it cannot read what it would need."""
    codes = {each["code"] for each in answer.get("findings", ())}
    if "records-unread" in codes or any(note.startswith(NOT_READ) for note in answer["notes"]):
        raise NotServed(f"{what}; tailflip says that it cannot read the gateway's records")
    raise AssertionError(what)


def _check(trial: Trial, scene: Scene, told: list[str]) -> None:
    """Ask `check`, which tells a dead gateway's marker, and what `reconcile` would do."""
    answer = _ask(trial, scene.state, "check")
    codes = [finding["code"] for finding in answer["findings"]]
    would = [x["kind"] for x in _ask(trial, scene.state, "reconcile")["steps"] if x["counts"]]
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
    answer = _ask(trial, scene.state, "tasks", "--limit", "5000")
    ours = {each["task_id"]: each["status"] for each in answer["tasks"]}
    told.append(f"OpenClaw lists {len(theirs)}, tailflip {len(ours)}")
    if ours != theirs:
        _refuse_unless_read(answer, "they differ")


def _reconcile(trial: Trial, scene: Scene, told: list[str]) -> None:
    answer = _ask(trial, scene.state, "reconcile", "--apply")
    done = {step["kind"]: step["counts"] for step in answer["steps"] if step["counts"]}
    told.append(f"changed: {json.dumps(done) if done else 'nothing'}")
    again = _ask(trial, scene.state, "reconcile")
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


# A small heap and a small store stand for the incident's.


def ask_of_death(trial: Trial) -> None:
    line = trial.line
    with line.asking(DIES, 600) as told:
        line.need(BOOT)
        for size in _SIZES_MB:
            if page.forecast_mib(line.release, size) < _SURELY * page.limit_mib(trial.heap_mib):
                continue
            end = _how_it_ends(trial, size, trial.heap_mib)
            if end == "died":
                trial.dies_with = size
                break
        assert trial.dies_with, f"lives with {_SIZES_MB[-1]} MB at {trial.heap_mib} MiB"
        told.append(f"{trial.dies_with} MB at {trial.heap_mib} MiB")
    with line.asking("is cured under `tailflip run`", 900) as told:
        line.need(DIES)
        _cure(trial, told)


@contextmanager
def incident(trial: Trial, name: str, size_mb: int) -> Iterator[tuple[Path, Path, int]]:
    """A state directory with an incident's store; it is gone afterwards."""
    place = trial.folder / name
    state = place / "state"
    state.mkdir(parents=True)
    try:
        now_ms = int(time.time() * 1000)
        store = write_incident(state, size_bytes=size_mb * MB, now_ms=now_ms)["store"]
        yield state, store, real_gateway.configure(state)
    finally:
        guarded.end_all(state)
        shutil.rmtree(place, ignore_errors=True)


def _how_it_ends(trial: Trial, size_mb: int, heap_mib: int) -> str:
    with (
        incident(trial, "alone", size_mb) as (state, _, port),
        real_gateway.gateway(trial.install, state, heap_mib=heap_mib, port=port) as running,
    ):
        if running.settle(_BOOTS_S) and running.stays_up(_LATER_S):
            return "lived"
        running.process.wait(30)
        tell_refusal(running)
        assert real_gateway.HEAP_DEATH in running.output(), running.output()[-300:]
        return "died"


def tell_refusal(running: Running) -> None:
    """Raise NotThere if a gateway ended because it does not import a `sessions.json`."""
    if REFUSES in running.output():
        code = running.process.wait()
        raise NotThere(f"as it should, it refuses with exit {code} and keeps the file: {REFUSES}")


def _cure(trial: Trial, told: list[str]) -> None:
    with incident(trial, "guarded", trial.dies_with) as (state, store, port):
        chats = {key for key in json.loads(store.read_bytes()) if ":cron:" not in key}
        with guarded.run(
            trial.install,
            state,
            *guarded.WITHOUT_ADMISSION,
            port=port,
            heap_mib=trial.heap_mib,
        ) as running:
            # From 7.1 on a start that was killed leaves a lease behind, which lasts for 5 minutes.
            running.wait_for(
                lambda: any(life.ready_ms for life in running.lives()[1:]), 800, "answer after it"
            )
            running.has_healthz = trial.has_healthz
            death = running.lives()[0].death
            assert death is not None
            assert death.cause is Cause.V8_HEAP, f"taken for {death.cause}"
            assert running.stays_up(3), f"it does not stay: {running.tell()}"
            ends = ", ".join(each.signature for each in running.deaths())
            told.append(f"{ends}; then it lives")
        listed = trial.install.listed_sessions(state)
        assert chats <= listed, f"{len(chats - listed)} chats are not listed"


# A compaction, a boot on what is left, and the way back.


def ask_of_compaction(trial: Trial) -> None:
    line = trial.line
    with incident(trial, "compacted", 20) as (state, store, port):
        before = dict(split_members(store.read_bytes()))
        chats = {key for key in before if ":cron:" not in key}
        with line.asking(COMPACTS, 150) as told:
            line.need(BOOT)
            answer = _ask(trial, state, "compact", "--apply")
            assert answer["applied"], "nothing was applied"
            after = dict(split_members(store.read_bytes()))
            told.append(f"{len(before)} entries to {len(after)}")
        with line.asking("boots, and `sessions` lists every chat", 300) as told:
            line.need(COMPACTS)
            with real_gateway.gateway(trial.install, state, port=port) as running:
                if not running.settle(_BOOTS_S):
                    tell_refusal(running)
                    raise AssertionError(running.output()[-300:])
                assert running.stays_up(3)
            listed = trial.install.listed_sessions(state)
            told.append(f"{len(listed)} listed")
            assert chats <= listed, f"{len(chats - listed)} chats are not listed"
        with line.asking("restore puts everything back", 300) as told:
            line.need(COMPACTS)
            _restore(trial, state, before, after, told)
    with line.asking("compacts the sessions that it keeps itself", 150) as told:
        line.need(KILLED)
        answer = _ask(trial, trial.folder / "killed" / "state", "compact")
        told.append(f"{len(answer['stores'])} stores")
        assert answer["stores"], "none of its sessions is found"


def _restore(
    trial: Trial, state: Path, before: dict[str, str], after: dict[str, str], told: list[str]
) -> None:
    """Undo the compaction: in the file, or in the database that the release has made of it."""
    store = state / "agents" / "main" / "sessions" / "sessions.json"
    is_file = store.exists()
    _ask(trial, state, "restore", "--all", "--apply")
    assert store.exists() is is_file, "a file lies beside a database"
    again = dict(split_members(store.read_bytes())) if is_file else dict.fromkeys(list_keys(state))
    lost = before.keys() - again.keys()
    if is_file:
        same = sum(again.get(key) == text for key, text in before.items())
        told.append(f"{same} of {len(before)} entries byte for byte")
    else:
        told.append(f"{len(before) - len(lost)} of {len(before)} entries, into its database")
    assert not lost, f"{len(lost)} entries are not there"
    removed = before.keys() - after.keys() if is_file else ()
    changed = [key for key in removed if again[key] != before[key]]
    assert not changed, f"{len(changed)} archived entries differ"
