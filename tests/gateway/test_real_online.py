"""A living 2026.9.6 with `watch` beside it, which has it delete the run of its dead predecessor."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest
import real_gateway
from held_runs import prepare, until

from support.agent_database import NODES, WINDOWS, connect, dump
from tailflip.base.errors import TryLater
from tailflip.observe.gateway.access import Access
from tailflip.reconcile.write.rpc import CallRefused, Method, Scope, calling

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from held_runs import Scene

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(900)]
INTERVAL_S = 10
WATCHED_S = 60


class Sessions:
    """The main agent's database, read behind everybody's back."""

    def __init__(self, scene: Scene) -> None:
        self.path = scene.state / "agents" / "main" / "agent" / "openclaw-agent.sqlite"

    def read(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        if not self.path.exists():
            return []
        with closing(connect(self.path)) as db:
            return db.execute(statement, values).fetchall()

    def running(self) -> set[str]:
        rows = self.read(f"SELECT session_key FROM {NODES} WHERE status = 'running'")
        return {str(key) for (key,) in rows if ":run:" in str(key)}

    def begin_run(self, scene: Scene, job: str) -> str:
        """Start a run that stays in flight; returns its key once it says that it runs."""
        until(lambda: not is_marked(scene, job), "the gateway to clear the dead run's mark")
        before = self.running()
        scene.model.forget_calls()
        scene.model.hold()
        scene.call("cron", "run", job)
        scene.model.wait_for_call()
        until(lambda: self.running() - before, "the run's row to say running")
        (key,) = self.running() - before
        return key


def is_marked(scene: Scene, job: str) -> bool:
    with closing(connect(scene.state / "state" / "openclaw.sqlite")) as db:
        (state,) = db.execute(
            "SELECT state_json FROM cron_jobs WHERE job_id = ?", (job,)
        ).fetchone()
    return "runningAtMs" in json.loads(state)


@contextmanager
def watching(scene: Scene, **settings: str) -> Iterator[Path]:
    """Stand beside the gateway as a process of its own; yields its log."""
    log = scene.state.parent / "watch.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "tailflip", "watch", "--interval", f"{INTERVAL_S}s"],
            env=scene.install.environment(scene.state) | settings,
            stdout=out,
            stderr=out,
        )
    try:
        yield log
    finally:
        process.terminate()
        assert process.wait(60) == 0, log.read_text()


def test_dead_runs_go_and_one_in_flight_stays(sqlite_install, tmp_path):
    """A minute beside it, with a run of two jobs left by a dead gateway.

    One job has run again since: its dead run is gone within a round. The other has a run in flight,
    which the deletion of its dead run would abort: that one goes when the run has ended. Then all
    comes back, and the gateway starts on it.
    """
    with prepare(sqlite_install, tmp_path) as scene:
        sessions = Sessions(scene)
        with scene.started():
            jobs = []
            for _ in range(2):
                scene.add_job()
                jobs.append(scene.job)
            dead = [sessions.begin_run(scene, job) for job in jobs]
            scene.kill()
        with scene.started():
            over = sessions.begin_run(scene, jobs[0])
            scene.model.release()
            until(lambda: over not in sessions.running(), "the run of the first job to end")
            living = sessions.begin_run(scene, jobs[1])
            assert sessions.running() == {*dead, living}
            before = dump(sessions.path)
            with watching(scene, TAILFLIP_RECONCILE_DELETE_ONLINE="true") as log:
                began = time.monotonic()
                until(lambda: dead[0] not in sessions.running(), "the dead run to go", 60)
                assert time.monotonic() - began < 3 * INTERVAL_S, log.read_text()
                while time.monotonic() - began < WATCHED_S:
                    assert sessions.running() == {dead[1], living}
                    assert scene.running.is_healthy()
                    time.sleep(2)
                scene.model.release()
                until(lambda: not sessions.running(), "the other dead run to go", 120)
            told = log.read_text()
            assert told.count("1 run of a dead gateway deleted by the living one") == 2
            assert real_gateway.TOKEN not in told
            assert "error" not in told
            ends = {each["status"] for each in list_tasks(scene) if each["sourceId"] == jobs[1]}
            assert ends == {"failed", "completed"}, "killed with its gateway, and undisturbed"
        logs = "".join(path.read_text(errors="replace") for path in tmp_path.glob("gateway-*.log"))
        for word in ("database is locked", "SQLITE_BUSY", "aborted"):
            assert word not in logs
        ran = real_gateway.tailflip(scene.install, scene.state, "restore", "--all", "--apply")
        assert ran.returncode == 0, ran.stderr
        after = dump(sessions.path)
        for table in (NODES, WINDOWS, "transcript_events", "session_transcript_fts_rows"):
            marks = {*dead, *(key.rpartition(":")[2] for key in dead)}
            of_dead = [row for row in before[table] if marks & set(map(str, row))]
            assert [row for row in after[table] if marks & set(map(str, row))] == of_dead, table
        with scene.started():
            assert scene.running.is_healthy()


def list_tasks(scene: Scene) -> list[dict[str, object]]:
    access = Access(scene.port, secret={"token": real_gateway.TOKEN})
    with calling(access) as rpc:
        return list(rpc.call(Method.TASKS, {"limit": 50})["tasks"])


def takes_calls(access: Access) -> bool:
    """It answers /healthz some seconds before."""
    try:
        with calling(access):
            return True
    except TryLater as e:
        if "takes no calls yet (startup-sidecars)" not in e.message:
            raise
        return False


def test_the_client_speaks_with_the_real_gateway(sqlite_install, tmp_path):
    """Each method that it names, each kind of refusal, and no row of a device or a pairing."""
    with prepare(sqlite_install, tmp_path) as scene, scene.started():
        right = Access(scene.port, secret={"token": real_gateway.TOKEN})
        until(lambda: takes_calls(right), "the gateway to take calls")
        with calling(right) as rpc:
            assert rpc.version == "2026.9.6"
            assert rpc.call(Method.HEALTH)["ok"] is True
            assert rpc.call(Method.SESSIONS)["sessions"] == []
            assert isinstance(rpc.call(Method.JOBS, {"includeDisabled": True})["jobs"], list)
            assert rpc.call(Method.TASKS, {"status": "running"})["tasks"] == []
            with pytest.raises(Exception, match="grants no scope"):
                rpc._ask(Method.DELETE, {"key": "agent:main:cron:j:run:r"}, 20)
        with calling(right, Scope.ADMIN) as rpc:
            key = "agent:main:cron:j:run:r"
            with pytest.raises(CallRefused, match="session-changed"):
                rpc.call(Method.DELETE, {"key": key, "expectedSessionId": "r"})
        for secret, words in (({}, "connect"), ({"token": "wrong"}, "AUTH_TOKEN_MISMATCH")):
            with (
                pytest.raises(Exception, match=words) as caught,
                calling(Access(scene.port, secret=secret)),
            ):
                pass
            assert type(caught.value).__name__ == "NoPermission"
        with closing(connect(scene.state / "state" / "openclaw.sqlite")) as db:
            for name in ("device_pairing_pending", "device_pairing_paired", "device_auth_tokens"):
                assert db.execute(f"SELECT count(*) FROM {name}").fetchone() == (0,), name
