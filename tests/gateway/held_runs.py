"""A real gateway whose runs are in flight for as long as a test wants, and its own ledgers."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import guarded
import psutil
import real_gateway

from fakes.held_model import held_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fakes.held_model import Model

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
            assert running.settle(240), running.output()[-2000:]
            self.running = running
            yield
        self.running = None

    @contextmanager
    def gated(self, *options: str) -> Iterator[None]:
        """Start it through `tailflip gate`, which mends its ledgers first."""
        with guarded.gate(self.install, self.state, *options, port=self.port) as running:
            assert running.settle(), running.tell()
            self.running = running
            yield
        self.running = None

    def call(self, *args: str) -> str:
        where = ("--url", f"ws://127.0.0.1:{self.port}", "--token", real_gateway.TOKEN)
        # It waits for 30 s by itself, which a busy machine takes.
        ran = self.install.openclaw(self.state, *args, *where, "--timeout", "150000")
        assert ran.returncode == 0, ran.stdout[-1000:] + ran.stderr[-1000:]
        return ran.stdout

    def add_job(self, *flags: str) -> None:
        """Add a job, which is the scene's from now on; it is due when a test says so."""
        out = self.call("cron", "add", "--name", "j", *(flags or JOB_FLAGS), "--json")
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

    def crash_in_mid_run(self) -> None:
        """Leave what a killed gateway leaves of a job's first run."""
        with self.started():
            self.add_job()
            self.begin_run()
            self.kill()

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
        jobs = json.loads((self.state / "cron" / "jobs.json").read_bytes())["jobs"]
        return next(job for job in jobs if job["id"] == self.job)

    def change_job(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Edit the job where its gateway does not hold it in memory, or will read it anew."""
        path = self.state / "cron" / "jobs.json"
        root = json.loads(path.read_bytes())
        for job in root["jobs"]:
            if job["id"] == self.job:
                change(job)
        path.write_text(json.dumps(root, indent=2))

    def lines(self) -> list[dict[str, Any]]:
        path = self.state / "cron" / "runs" / f"{self.job}.jsonl"
        if not path.exists():
            return []
        return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]

    def reconcile(self, *args: str) -> dict[str, Any]:
        ran = real_gateway.tailflip(self.install, self.state, "reconcile", "--json", *args)
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)


def until(condition: Callable[[], object], what: str, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.1)


def read_tasks(state: Path) -> dict[str, str]:
    """Read what the gateway's own ledger says of each task."""
    path = state / "tasks" / "runs.sqlite"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return dict(db.execute("SELECT task_id, status FROM task_runs ORDER BY created_at"))


def counts(answer: dict[str, Any]) -> dict[str, dict[str, int]]:
    return {step["kind"]: step["counts"] for step in answer["steps"] if step["counts"]}


@contextmanager
def prepare(install: real_gateway.Install, folder: Path) -> Iterator[Scene]:
    """Make a state directory with a model that can be held; nothing is started yet."""
    state = folder / "state"
    state.mkdir()
    with held_model() as model:
        port = real_gateway.configure(state, model.port)
        yield Scene(install, state, port, model)
