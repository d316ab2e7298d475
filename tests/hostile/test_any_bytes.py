"""Whatever lies where OpenClaw's small files should: an answer or a TailflipError, never a bug.

Each file begins as a true one and is then damaged: bytes changed, cut, doubled; members
given values of any other type.
"""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from support.fuzzing import fuzzed
from support.hostile_installation import OLD_MS
from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.errors import TailflipError
from tailflip.base.render import format_error
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.config.load import Config, load
from tailflip.diagnose.storms import find_storms
from tailflip.flow.observed import Gateway, Job
from tailflip.observe.gateway.capabilities import find_capabilities
from tailflip.observe.gateway.liveness import read_dead_lock, read_gateway
from tailflip.observe.gateway.lock_owner import read_owner
from tailflip.observe.gateway.process import start_ticks
from tailflip.observe.host.nodereport import find_report
from tailflip.observe.host.unitfile import UnitUnreadable, read_command
from tailflip.observe.installation import locate
from tailflip.observe.records.cron import parse_jobs, read_cron_store
from tailflip.observe.records.runlog import RunLine, is_text, read_run_logs
from tailflip.observe.records.subagents import read_subagents
from tailflip.reconcile.judge.markers import plan_hold, plan_markers
from tailflip.reconcile.judge.stuck import find_stuck, pick_ends
from tailflip.reconcile.write.jsonedit import MISSING, Edit, edit_jobs
from tailflip.stores import archive
from tailflip.stores.lock import is_stale
from tailflip.stores.proof.ledgers import gather_lines

quick = settings(
    max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
JOB = "7c0f6b0e-0000-4000-8000-000000000001"
odd = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=12)
    | st.sampled_from([10**400, -1, 2**63, 1e308, "\ud800", "\0", "", "24h", OLD_MS, JOB])
)
values = st.recursive(
    odd,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8) | st.sampled_from(["id", "state"]), inner, max_size=3)
    ),
    max_leaves=6,
)
TRUE_JOBS: dict[str, Any] = {
    "version": 1,
    "jobs": [
        {
            "id": JOB,
            "name": "a job",
            "enabled": True,
            "createdAtMs": OLD_MS,
            "schedule": {"kind": "cron", "expr": "0 * * * *", "tz": "UTC"},
            "sessionTarget": "isolated",
            "payload": {"kind": "agentTurn", "message": "m", "timeoutSeconds": 30},
            "state": {"runningAtMs": OLD_MS, "nextRunAtMs": OLD_MS, "lastStatus": "ok"},
        }
    ],
}
TRUE_LINE: dict[str, Any] = {
    "ts": OLD_MS,
    "jobId": JOB,
    "action": "finished",
    "status": "ok",
    "runAtMs": OLD_MS,
    "durationMs": 1_000,
    "sessionId": "s",
    "sessionKey": f"agent:main:cron:{JOB}:run:s",
}
TRUE_LOCK: dict[str, Any] = {
    "pid": 1,
    "createdAt": "2026-03-28T10:00:00.000Z",
    "starttime": 5,
    "startTime": 5,
    "configPath": "/x/openclaw.json",
}
OUR_LOCK = {**TRUE_LOCK, "pid": os.getpid(), "starttime": start_ticks(os.getpid())}
TRUE_AGENTS: dict[str, Any] = {
    "version": 2,
    "runs": {"r": {"runId": "r", "childSessionKey": "agent:main:subagent:x", "createdAt": OLD_MS}},
}
TRUE_CONFIG: dict[str, Any] = {
    "gateway": {"port": 1, "mode": "local", "tls": {"enabled": False}},
    "session": {
        "store": "/x/{agentId}.json",
        "maintenance": {"mode": "enforce", "rotateBytes": "1mb"},
    },
    "cron": {"store": "~/jobs.json", "sessionRetention": "24h"},
    "agents": {"list": [{"id": "main", "default": True}, {"id": "Other One"}]},
    "env": {"$include": "./other.json5"},
    "channels": ["${NAME}", "$${NAME}"],
}
TRUE_SETTINGS = b"""
[heal]
enabled = true
retention = "24h"
max_lifetime = false
pressure = true
[restart]
first_delay_s = 0.5
cap_s = 300
"""
TRUE_REPORT: dict[str, Any] = {
    "header": {"event": "e", "trigger": "OOMError", "processId": 1, "commandLine": ["node"]}
}


def list_places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Name every member of a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    found = [at]
    if isinstance(value, dict | list):
        for name, each in inner:
            found += list_places(each, (*at, name)) if isinstance(each, dict | list) else [
                (*at, name)
            ]  # fmt: skip
    return found


def put(value: Any, at: tuple[Any, ...], new: Any) -> Any:
    """Return a document with one member replaced."""
    if not at:
        return new
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[at[0]] = put(value[at[0]], at[1:], new)
    return changed


@st.composite
def damaged(draw: st.DrawFn, true: dict[str, Any]) -> bytes:
    """Make of a true document one that is odd in a member or two, or broken in its bytes."""
    document: Any = true
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.sampled_from(list_places(document) if document else [()]))
        document = put(document, place, draw(values))
        if not isinstance(document, dict | list):
            break
    return draw(broken(json.dumps(document).encode()))


@st.composite
def broken(draw: st.DrawFn, true: bytes) -> bytes:
    """Break a true text in a place or two."""
    data = bytearray(true)
    for _ in range(draw(st.integers(0, 2))):
        if not data:
            break
        at = draw(st.integers(0, len(data) - 1))
        how = draw(st.sampled_from(["byte", "cut", "drop", "double", "insert"]))
        if how == "byte":
            data[at] = draw(st.integers(0, 255))
        elif how == "cut":
            del data[at:]
        elif how == "drop":
            del data[at : at + draw(st.integers(1, 8))]
        elif how == "double":
            data += data[at:]
        else:
            data[at:at] = draw(st.binary(max_size=6))
    return bytes(data)


@pytest.fixture
def folder() -> Path:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def parse(data: bytes) -> Any:
    """Read JSON as Python does; None if it is none."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def judge_cron(
    folder: Path, data: bytes, log: bytes
) -> tuple[tuple[Job, ...], str | None, list[RunLine]]:
    """Do with a cron store and a run log all that is done with them; return what was read."""
    cron = folder / "jobs.json"
    cron.write_bytes(data)
    runs = folder / "runs"
    runs.mkdir(exist_ok=True)
    (runs / f"{JOB}.jsonl").write_bytes(log)
    found = read_cron_store(cron)
    jobs, problem = found.jobs, found.problem
    assert jobs == () or problem is None
    notes: list[str] = []
    lines = list(read_run_logs(runs, notes))
    gather_lines(lines, ())
    now_ms = clock.now_ms()
    changes = plan_markers(jobs, lines, now_ms, find_capabilities((2026, 3, 28)))
    changes += tuple(plan_hold(job, "why", now_ms, may_disable=False) for job in jobs)
    starts = sorted(line.started_ms for line in lines)
    list(find_storms([[(0, at) for at in starts]], dict(enumerate(jobs))))
    gateway = Gateway(alive=True, pid=1, started_ms=OLD_MS, evidence="test")
    find_stuck(jobs, pick_ends(jobs, lines), gateway, now_ms, set())
    for text in (*(job.title for job in jobs), *(line.job_id for line in lines), *notes):
        text.encode()  # what goes on record must be UTF-8
    edits = [edit for change in changes for edit in change.edits]
    with suppress(TailflipError):
        parse_jobs(edit_jobs(data, edits))
    return jobs, problem, lines


@fuzzed()
@given(data=damaged(TRUE_JOBS))
def test_any_cron_store(folder: Path, data: bytes) -> None:
    """Of a file that Python reads too, exactly the jobs with an id are found, in their order."""
    jobs, problem, _ = judge_cron(folder, data, json.dumps(TRUE_LINE).encode() + b"\n")
    root = parse(data)
    if isinstance(root, dict):
        assert problem is None
        listed = root.get("jobs") if isinstance(root.get("jobs"), list) else []
        # As the gateway takes it: trimmed, and `jobId` where `id` is blank or no text.
        objects = [job for job in listed if isinstance(job, dict)]
        names = [
            [job[name].strip() for name in ("id", "jobId") if isinstance(job.get(name), str)]
            for job in objects
        ]
        ids = [first for each in names if (first := next(filter(None, each), None)) is not None]
        assert [job.job_id for job in jobs] == [each for each in ids if is_text(each)]


@fuzzed()
@given(line=damaged(TRUE_LINE))
def test_any_run_log(folder: Path, line: bytes) -> None:
    """Whatever stands above it, a true line is read, and no run ends before it began."""
    log = line + b"\n" + json.dumps(TRUE_LINE).encode() + b"\n"
    jobs, _, lines = judge_cron(folder, json.dumps(TRUE_JOBS).encode(), log)
    assert [job.job_id for job in jobs] == [JOB]
    ended_ms = OLD_MS + TRUE_LINE["durationMs"]
    true = RunLine(JOB, TRUE_LINE["sessionKey"], "s", "done", OLD_MS, ended_ms)
    assert lines[-1] == true
    assert len(lines) <= log.count(b"\n")
    assert all(0 <= each.started_ms <= each.ended_ms for each in lines)


@quick
@given(data=damaged(TRUE_JOBS), value=odd, name=st.sampled_from(["runningAtMs", "new", "id"]))
def test_an_edit_changes_what_it_says_or_nothing(data: bytes, value: Any, name: str) -> None:
    if isinstance(value, str | float):
        value = MISSING
    try:
        new = edit_jobs(data, [Edit(JOB, ("state", name), value)])
    except TailflipError:
        return
    before, after = (json.loads(text.decode("utf-8-sig")) for text in (data, new))
    for root in (before, after):
        jobs = root.get("jobs") if isinstance(root, dict) else None
        for job in jobs if isinstance(jobs, list) else ():
            if not isinstance(job, dict) or job.get("id") != JOB:
                continue
            if isinstance(job.get("state"), dict):
                job["state"].pop(name, None)
            if job.get("state") in ({}, None):
                job.pop("state", None)
    assert repr(before) == repr(after)


@fuzzed()
@given(data=damaged(TRUE_LOCK) | damaged(OUR_LOCK))
@example(data=json.dumps({**TRUE_LOCK, "configPath": "/\ud800"}).encode())
@example(data=json.dumps({**TRUE_LOCK, "configPath": "/\0"}).encode())
def test_any_lock(folder: Path, data: bytes) -> None:
    """A fresh lock is never taken from a living owner, nor while nobody can tell whose it is."""
    lock = folder / "sessions.json.lock"
    lock.write_bytes(data)
    owner = read_owner(lock)
    assert owner is not None
    said = parse(data)
    names = tuple(said.get(name) for name in ("pid", "starttime")) if type(said) is dict else None
    if names is None or names == (OUR_LOCK["pid"], OUR_LOCK["starttime"]):
        assert not is_stale(owner, clock.now_ms())
    is_stale(owner, clock.now_ms())
    owner.describe(clock.now_ms())
    state = folder / "state"
    state.mkdir(exist_ok=True)
    env = {"HOME": str(folder), "OPENCLAW_STATE_DIR": str(state), "TMPDIR": str(folder)}
    env |= {"OPENCLAW_GATEWAY_PORT": "1"}
    installation = locate(env, state_dir=state)
    (state / "gateway.state.lock").write_bytes(data)
    locks = folder / f"openclaw-{os.getuid()}"
    locks.mkdir(exist_ok=True)
    (locks / "gateway.12345678.lock").write_bytes(data)
    read_gateway(installation, env)
    read_dead_lock(installation, env)


@quick
@given(agents=damaged(TRUE_AGENTS), report=damaged(TRUE_REPORT))
def test_any_record_of_sub_agents_and_report_of_node(
    folder: Path, agents: bytes, report: bytes
) -> None:
    (folder / "runs.json").write_bytes(agents)
    read_subagents(folder / "runs.json", [])
    (folder / "report.20260328.100000.1.0.001.json").write_bytes(report)
    find_report([folder], 0, [1])


@fuzzed()
@given(data=damaged(TRUE_CONFIG) | st.binary(max_size=200), own=broken(TRUE_SETTINGS))
@example(data=b'{"session": {"store": "/\\ud800"}}', own=b"")
@example(data=b'{"cron": {"store": "/\\ud800"}}', own=b"")
@example(data=b'{"$include": "./\\ud800"}', own=b"")
@example(data=b'{"$include": "./\\u0000"}', own=b"")
def test_any_configuration_of_openclaw_and_of_ours(folder: Path, data: bytes, own: bytes) -> None:
    (folder / "openclaw.json").write_bytes(data)
    (folder / "other.json5").write_text("{a: 1}")
    env = {"HOME": str(folder), "OPENCLAW_STATE_DIR": str(folder)}
    try:
        found = locate(env, state_dir=folder)
    except TailflipError as error:
        format_error(error).encode()
    else:
        for path in (found.cron_store, *(store.path for store in (*found.stores, *found.missing))):
            os.path.lexists(os.fsencode(path))
        assert found.retention_ms is None or found.retention_ms >= 0
        assert 0 < found.port < 65_536
        for text in (*found.agents, *found.notes, found.retention_problem or ""):
            text.encode()
    (folder / "config.toml").write_bytes(own)
    try:
        config = load({"TAILFLIP_CONFIG": str(folder / "config.toml")}).config
    except TailflipError as error:
        format_error(error).encode()
    else:
        assert Config.model_validate(config.model_dump()) == config
    unit = folder / "a.service"
    unit.write_bytes(b"[Service]\nExecStart=" + data)
    with suppress(UnitUnreadable, OSError, TailflipError):
        read_command(unit, env)


@quick
@given(data=damaged({"version": 1, "action": "a", "kind": "compact", "rewrite": {"bytes": 1}}))
def test_any_manifest_and_any_ledger(folder: Path, data: bytes) -> None:
    home = Home(folder / "home")
    home.create(RealDisk())
    (home.archive("a")).mkdir(exist_ok=True)
    (home.archive("a") / "manifest.json").write_bytes(data)
    with suppress(TailflipError):
        archive.read_manifest(home, "a")
    home.ledger.write_bytes(data)
    with suppress(TailflipError):
        archive.list_actions(Workspace(home, RealDisk()))
