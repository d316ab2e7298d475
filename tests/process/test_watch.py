"""`tailflip watch` as a process of its own, beside stores that others write."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from support.sqlite_records import defer_import
from support.stores import list_tree
from tailflip.base.durable import RealDisk
from tailflip.base.sdnotify import Notifier
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.observe.gateway.process import start_ticks
from tailflip.supervise import watch as module
from tailflip.supervise.watch import Watch, Where

BASE = "agent:main:cron:j"
HOUR_MS = 3_600_000


class Place:
    def __init__(self, root):
        self.root = root
        self.state = root / "openclaw"
        self.store = self.state / "agents" / "main" / "sessions" / "sessions.json"
        self.store.parent.mkdir(parents=True)
        self.logs = self.state / "cron" / "runs" / "j.jsonl"
        self.logs.parent.mkdir(parents=True)
        self.jobs = self.state / "cron" / "jobs.json"
        self.now = int(time.time() * 1000)
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("OPENCLAW_", "TAILFLIP_"))},
            "HOME": str(root),
            "OPENCLAW_STATE_DIR": str(self.state),
            "OPENCLAW_GATEWAY_PORT": "1",
            "TAILFLIP_STATE_DIR": str(root / "tailflip"),
            "PATH": str(root),
        }
        self.put({})

    def put(self, entries):
        part = self.store.with_name("part")
        part.write_text(json.dumps(entries, indent=2))
        part.rename(self.store)

    def zombie(self, name, **more):
        return {
            f"{BASE}:run:{name}": {
                "sessionId": name,
                "updatedAt": self.now - HOUR_MS,
                "status": "running",
                **more,
            }
        }

    def status(self, name):
        return json.loads(self.store.read_text())[f"{BASE}:run:{name}"].get("status")

    @contextmanager
    def watching(self, *argv, **env):
        log = self.root / "watch.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "tailflip", "watch", *argv],
                env={**self.env, **env},
                stdout=out,
                stderr=out,
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def log_text(self):
        return (self.root / "watch.log").read_text()


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def until(condition, what, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what() if callable(what) else what
        time.sleep(0.02)


def test_watch_ends_what_is_over_at_once_and_after_changes(place):
    place.put(place.zombie("first"))
    with place.watching("--interval", "1s") as process:
        until(lambda: place.status("first") == "killed", place.log_text)
        place.put({**place.zombie("second"), **json.loads(place.store.read_text())})
        until(lambda: place.status("second") == "killed", place.log_text)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert "1 run ended" in place.log_text()
    assert "undo=" in place.log_text()


def test_watch_speaks_to_the_service_manager(place):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        path = str(place.root / "notify")
        manager.bind(path)
        manager.settimeout(20)
        with place.watching(NOTIFY_SOCKET=path, WATCHDOG_USEC="400000") as process:
            said = set()
            while not {"READY=1", "WATCHDOG=1"} <= said:
                said |= set(manager.recv(4096).decode().split("\n"))
            process.send_signal(signal.SIGTERM)
            while "STOPPING=1" not in said:
                said |= set(manager.recv(4096).decode().split("\n"))
            assert process.wait(10) == 0
    assert any(line.startswith("STATUS=no gateway") for line in said), said


def test_a_second_watch_is_refused(place):
    with place.watching():
        until(lambda: "watching" in place.log_text(), place.log_text)
        ran = subprocess.run(
            [sys.executable, "-m", "tailflip", "watch"],
            env=place.env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ran.returncode == 75
    assert "guarded already, by tailflip watch" in ran.stderr


def test_sighup_makes_it_look_at_once_and_a_broken_configuration_ends_nothing(place):
    config = place.root / "config.toml"
    config.write_text("")
    with place.watching("--interval", "1h", TAILFLIP_CONFIG=str(config)) as process:
        until(lambda: "watching" in place.log_text(), place.log_text)
        config.write_text("broken = ")
        process.send_signal(signal.SIGHUP)
        until(lambda: "error: " in place.log_text(), place.log_text)
        config.write_text("")
        place.logs.write_text("")
        process.send_signal(signal.SIGHUP)
        assert process.poll() is None


def in_process(place, **more):
    home = Home(place.root / "tailflip")
    where = Where({**place.env, **more}, interval_s=1.0)
    return Watch(where, home, RealDisk(), Notifier())


def test_a_run_in_flight_survives_twenty_sweeps(place):
    live = place.zombie("live")
    place.put({**live, **place.zombie("dead")})
    me = {"pid": os.getpid(), "starttime": start_ticks(os.getpid())}
    (place.store.parent / "live.jsonl.lock").write_text(json.dumps(me))
    watch = in_process(place)
    watch.where = Where(watch.where.env, max_lifetime="1s", interval_s=0.01)
    watch.run(20)
    assert watch.rounds == 20
    assert place.status("live") == "running"
    assert place.status("dead") == "killed"


def test_entries_that_come_back_are_told_and_swept_again(place, monkeypatch):
    """A heartbeat saves the whole store as it was before the sweep."""
    monkeypatch.setattr(module, "RECHECK_S", 0.0)
    old = place.zombie("old", updatedAt=place.now - 50 * HOUR_MS)
    before = {**place.zombie("z"), **old}
    place.put(before)
    watch = in_process(place)
    watch.run(1)
    assert place.status("z") == "killed"
    assert f"{BASE}:run:old" not in json.loads(place.store.read_text())

    place.put(before)
    assert watch._recheck() <= time.monotonic(), "again at once"
    findings = watch._look(apply=False).history.findings.read()
    assert [f.finding.code for f in findings] == ["entries-resurrected"]
    assert findings[0].finding.message.startswith("2 entries came back")
    watch.run(watch.rounds + 1)
    assert place.status("z") == "killed"
    assert watch._recheck() > time.monotonic()
    assert watch._look(apply=False).history.findings.read() == ()


def test_what_lies_around_is_told_once_and_is_on_record_until_it_is_over(place, caplog):
    """A leftover file was once found by `check` alone."""
    place.put({})
    left = place.store.with_name("sessions.json.0a1b2c3d-0000-4000-8000-000000000000.tmp")
    left.write_text("12345")
    os.utime(left, (1, 1))
    watch = in_process(place)
    watch.where = Where(watch.where.env, interval_s=0.01)
    watch.run(3)
    findings = watch._look(apply=False).history.findings.read()
    assert [each.finding.code for each in findings] == ["leftovers"]
    assert caplog.text.count("1 file of killed writers beside the store") == 1
    left.unlink()
    watch.run(watch.rounds + 1)
    assert watch._look(apply=False).history.findings.read() == ()


def test_what_is_in_flight_goes_on_record_when_the_cron_store_changes(place):
    watch = in_process(place)
    watch.run(1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        watch.where = Where({**place.env, "OPENCLAW_GATEWAY_PORT": port}, interval_s=900.0)
        job = {"id": "j", "name": "n", "state": {"runningAtMs": place.now}}
        place.jobs.write_text(json.dumps({"version": 1, "jobs": [job]}))
        due_s = watch._answer(frozenset({place.jobs}))
    assert due_s > time.monotonic() + 800, "the cron store alone asks for no sweep"
    with_record = module.begin(
        place.env,
        workspace=Workspace(watch.home, watch.disk),
        apply=False,
        on_progress=lambda *_: None,
    )
    runs = with_record.history.runs
    assert [run.job_id for run in runs.read_open()] == ["j"]


def test_a_store_that_changes_all_the_time_is_swept_every_five_minutes(place):
    watch = in_process(place)
    watch.where = Where(watch.where.env, interval_s=900.0)
    watch.run(1)
    due_s = watch._answer(frozenset({place.store}))
    assert 290 < due_s - time.monotonic() < 301


def test_disabled_watch_only_looks(place):
    place.put(place.zombie("z"))
    watch = in_process(place, TAILFLIP_RECONCILE_ENABLED="false")
    watch.run(1)
    assert place.status("z") == "running"


def test_a_state_directory_that_goes_away_ends_nothing(place):
    watch = in_process(place)
    watch.where = Where(watch.where.env, interval_s=0.01)
    watch.run(1)
    place.state.rename(place.root / "elsewhere")
    watch.run(3)
    assert watch.rounds == 3


def test_watch_writes_nothing_that_a_gateway_has_on_record(place):
    """Round after round beside a deferred import: a store of dead runs stays as it is."""
    place.put(place.zombie("first"))
    defer_import(place.state, place.store)
    other = place.state / "agents" / "other" / "sessions" / "sessions.json"
    other.parent.mkdir(parents=True)
    over = {"status": "done", "updatedAt": place.now - 48 * HOUR_MS}
    other.write_text(json.dumps(place.zombie("theirs", **over)))
    before = list_tree(place.store.parent)
    recorded = list_tree(place.state / "state")
    with place.watching("--interval", "1s") as process:
        # Another agent's store shows that rounds are made. Its runs are over: how a run ended that
        # says "running" stands in the database, which is not read.
        until(lambda: "theirs" not in other.read_text(), place.log_text)
        other.write_text(json.dumps(place.zombie("more", **over)))
        until(lambda: "more" not in other.read_text(), place.log_text)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert list_tree(place.store.parent) == before
    assert list_tree(place.state / "state") == recorded
