"""The fence and a real 2026.9.6: each keeps the other out, and neither does so for good."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import real_gateway

from tailflip.base.durable import RealDisk
from tailflip.base.errors import TryLater
from tailflip.stores.sqlite.fence import fencing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(900)]

SETTLES_S = 150
_HOLD = """
import sys
from pathlib import Path
from tailflip.base.durable import RealDisk
from tailflip.stores.sqlite.fence import fencing
with fencing(*map(Path, sys.argv[1:]), RealDisk()):
    print("closed", flush=True)
    sys.stdin.read()
"""


class Scene:
    """An installation with one chat, which a first start imports into an agent's database."""

    def __init__(self, install: real_gateway.Install, root: Path) -> None:
        self.install, self.state = install, root / "state"
        agent = self.state / "agents" / "main"
        self.store = agent / "agent" / "openclaw-agent.sqlite"
        session = str(uuid.uuid4())
        (agent / "sessions").mkdir(parents=True)
        header = {"type": "session", "version": 3, "id": session, "cwd": "/tmp"}
        header["timestamp"] = "2026-11-01T00:00:00.000Z"
        (agent / "sessions" / f"{session}.jsonl").write_text(json.dumps(header) + "\n")
        entry = {"sessionId": session, "updatedAt": int(time.time() * 1000)}
        (agent / "sessions" / "sessions.json").write_text(json.dumps({"agent:main:main": entry}))
        self.port = real_gateway.configure(self.state)
        self.starts()
        assert self.store.exists()

    @contextmanager
    def started(self) -> Iterator[real_gateway.Running]:
        with real_gateway.gateway(self.install, self.state, port=self.port) as running:
            yield running

    def starts(self) -> None:
        with self.started() as running:
            assert running.settle(SETTLES_S), running.output()[-2000:]

    @contextmanager
    def fenced(self) -> Iterator[subprocess.Popen[str]]:
        """Hold the fence in a process, which is killed if it is not told to end."""
        with subprocess.Popen(
            [sys.executable, "-c", _HOLD, self.store, self.state],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "closed\n"
            try:
                yield child
            finally:
                child.kill()


@pytest.fixture
def scene(sqlite_install: real_gateway.Install, tmp_path: Path) -> Scene:
    return Scene(sqlite_install, tmp_path)


def test_a_gateway_that_starts_within_ends_with_1_and_starts_afterwards(scene: Scene) -> None:
    """Not with 78, after which a service manager does not try again."""
    with scene.fenced() as child:
        with scene.started() as running:
            assert not running.settle(SETTLES_S)
            assert running.process.returncode == 1, running.output()[-2000:]
            told = f"state directory is locked by sqlite-maintenance (pid {child.pid})"
            assert told in running.output()
        child.communicate("")
        assert child.returncode == 0
    assert not list(scene.state.glob("tmp/*/gateway.state.lock"))
    scene.starts()


def test_a_gateway_takes_over_what_a_killed_tailflip_left(scene: Scene) -> None:
    with scene.fenced() as child:
        child.kill()
        child.wait()
    assert list(scene.state.glob("tmp/*/gateway.state.lock"))
    scene.starts()


def test_its_doctor_and_the_fence_keep_each_other_out(scene: Scene) -> None:
    words = ("doctor", "--session-sqlite", "compact", "--non-interactive")
    with scene.fenced():
        ran = scene.install.openclaw(scene.state, *words)
        assert ran.returncode != 0
        assert "owns this OpenClaw state directory" in ran.stdout + ran.stderr
    ran = scene.install.openclaw(scene.state, *words)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_living_gateway_is_named_and_not_disturbed(scene: Scene) -> None:
    with scene.started() as running:
        assert running.settle(SETTLES_S), running.output()[-2000:]
        (lock,) = scene.state.glob("tmp/*/gateway.state.lock")
        text = lock.read_bytes()
        pid = json.loads(text)["pid"]
        with pytest.raises(TryLater, match=rf"locked by gateway, pid {pid}, since"):
            fencing(scene.store, scene.state, RealDisk()).__enter__()
        with pytest.raises(TryLater, match=rf"process {pid} has .* open"):
            # As if the lock were gone: the databases show it.
            fencing(scene.state / "state" / "openclaw.sqlite", None, RealDisk()).__enter__()
        assert lock.read_bytes() == text
        assert running.stays_up(2)
    with fencing(scene.store, scene.state, RealDisk()) as held_s:
        assert held_s() < 60
    scene.starts()
