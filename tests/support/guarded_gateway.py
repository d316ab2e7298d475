"""A place for a fake gateway behind a real tailflip process: start both, look, end them all."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from support.folders import Folders
from support.heap import make_near
from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.workspace import Workspace
from tailflip.demo.incident import write_incident
from tailflip.ledger.history import History

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tailflip.base.state_dir import Home
    from tailflip.flow.lives import Death, Life

FAKE = Path(__file__).parents[1] / "fakes" / "fake_gateway.py"
DEADLINE_S = 15.0
# A heap limit at which a store of 3 MB fits by the forecast for an unknown release, and does not
# if the forecast is wrong by as much as it may be.
NEAR = f"{make_near(3_000_000)}b"
# Quick enough for a test; every test may override each.
SETTINGS: Mapping[str, object] = {
    "restart.first_delay_s": 0.05,
    "restart.jitter": 0,
    "restart.trial_first_s": 60,
    "health.interval_s": 0.1,
    "health.timeout_s": 0.3,
    "memory.interval_s": 0.2,
    "gateway.drain_s": 5,
}


def wait_until(
    condition: Callable[[], Any],
    what: str,
    deadline_s: float = DEADLINE_S,
    story: Callable[[], str] = str,
) -> Any:
    """Wait for a condition and return what it gave."""
    until = time.monotonic() + deadline_s
    while not (found := condition()):
        assert time.monotonic() < until, f"no {what} in {deadline_s} s\n{story()}"
        time.sleep(0.03)
    return found


def find_free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def is_there(pid: int) -> bool:
    """Alive, and not a zombie."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@dataclass
class Guarded:
    """A tailflip process that was started, and what it says."""

    process: subprocess.Popen[bytes]
    stderr: Path
    place: Place

    @property
    def pid(self) -> int:
        return self.process.pid

    def said(self) -> str:
        return self.stderr.read_text(errors="replace")

    def count(self, text: str) -> int:
        return self.said().count(text)

    def hear(self, text: str, times: int = 1, deadline_s: float = DEADLINE_S) -> None:
        """Wait until it has said something so often."""
        wait_until(
            lambda: self.count(text) >= times or self.process.poll() is not None,
            f"{times} x {text!r}",
            deadline_s,
            self.said,
        )
        assert self.count(text) >= times, f"ended without {text!r}:\n{self.said()}"

    def wait_ready(self, number: int = 1, deadline_s: float = DEADLINE_S) -> Life:
        """Wait until the `number`-th life on record, from 1, has answered."""

        def find() -> Life | None:
            lives = self.place.lives()[::-1]
            is_there = len(lives) >= number and lives[number - 1].ready_ms is not None
            assert is_there or self.process.poll() is None, f"it ended:\n{self.said()}"
            return lives[number - 1] if is_there else None

        life: Life = wait_until(find, f"answer of life {number}", deadline_s, self.said)
        return life

    def wait_watching(self, file: Path) -> None:
        """Wait until the kernel tells it of changes of this file: it watches the folder."""
        watch = re.compile(rf"^inotify wd:\w+ ino:{file.parent.stat().st_ino:x} ", re.MULTILINE)

        def is_watching() -> bool:
            with suppress(OSError):
                infos = Path(f"/proc/{self.pid}/fdinfo").iterdir()
                return any(watch.search(info.read_text()) for info in infos)
            return False

        wait_until(is_watching, f"watch of {file.parent}", story=self.said)

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, deadline_s: float = DEADLINE_S) -> int:
        try:
            return self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"did not end:\n{self.said()}") from None

    def stop(self) -> int:
        self.send(signal.SIGTERM)
        return self.wait()

    def die(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()


@dataclass
class Place(Folders):
    """Directories of OpenClaw and of tailflip, and every process that was started on them."""

    root: Path
    port: int = field(default_factory=find_free_port)
    env: dict[str, str] = field(default_factory=dict)
    started: list[Guarded] = field(default_factory=list)

    def __post_init__(self) -> None:
        for folder in (self.state, self.root / "tmp", self.root / "bin"):
            folder.mkdir(parents=True)
        self.configure()
        self.env = self.make_env() | {
            "TMPDIR": str(self.root / "tmp"),
            # Stores then change only where a start is in danger.
            "TAILFLIP_RECONCILE_ENABLED": "false",
        }

    @property
    def config(self) -> Path:
        return self.state / "openclaw.json"

    @property
    def home(self) -> Home:
        return self.own

    @property
    def deaths_file(self) -> Path:
        return self.root / "lives"

    @property
    def history(self) -> History:
        return History(Workspace(self.home, RealDisk()), os.path.realpath(self.state))

    def configure(self, **gateway: Any) -> None:
        """Write OpenClaw's configuration."""
        about = {"mode": "local", "port": self.port, **gateway}
        self.config.write_text(json.dumps({"gateway": about}))

    def fill(self, size_bytes: int = 3_000_000) -> bytes:
        """Write the incident's store in small; return its bytes."""
        write_incident(self.state, size_bytes=size_bytes, now_ms=clock.now_ms())
        self.configure()
        return self.store.read_bytes()

    def put(self, data: bytes) -> None:
        """Write a store of these bytes, in one go: a gateway may live on it."""
        self.store.parent.mkdir(parents=True, exist_ok=True)
        self.store.write_bytes(data)

    def install(self, version: str) -> str:
        """Install the fake as the package `openclaw` of a version; return its program."""
        package = self.root / "lib" / "node_modules" / "openclaw"
        package.mkdir(parents=True)
        (package / "package.json").write_text(json.dumps({"name": "openclaw", "version": version}))
        entry = package / "openclaw.mjs"
        # Run as itself, and through `node`, which is a Python here.
        entry.write_text(f"#!{sys.executable}\n{FAKE.read_text()}")
        entry.chmod(0o755)
        program = self.root / "bin" / "openclaw"
        program.symlink_to(entry)
        node = self.root / "bin" / "node"
        node.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        node.chmod(0o755)
        return str(program)

    def command(self, *options: str) -> list[str]:
        """The fake gateway, of a version that nobody can know."""
        return [sys.executable, str(FAKE), *self.options(*options)]

    def options(self, *options: str) -> list[str]:
        return ["--port", str(self.port), "--deaths-file", str(self.deaths_file), *options]

    def run(
        self,
        *options: str,
        command: Sequence[str] | None = None,
        flags: Sequence[str] = (),
        settings: Mapping[str, object] | None = None,
        env: Mapping[str, str] | None = None,
        **popen: Any,
    ) -> Guarded:
        """Start `tailflip run` with the fake gateway, or with another command."""
        chosen = {**SETTINGS, **(settings or {})}
        sets = [word for key, value in chosen.items() for word in ("--set", f"{key}={value}")]
        command = command if command is not None else self.command(*options)
        return self.start("run", *sets, *flags, "--", *command, env=env, **popen)

    def start(
        self,
        *words: str,
        program: Sequence[str] = ("-m", "tailflip"),
        env: Mapping[str, str] | None = None,
        **popen: Any,
    ) -> Guarded:
        """Start any verb of tailflip, or a program of Python's that does it in its own way."""
        stderr = self.root / f"stderr-{len(self.started)}"
        with stderr.open("wb") as file:
            options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": file}
            process = subprocess.Popen(
                [sys.executable, *program, *words],
                env={**self.env, **(env or {})},
                **(options | popen),
            )
        guarded = Guarded(process, stderr, self)
        self.started.append(guarded)
        return guarded

    # --- what came of it -----------------------------------------------------------------

    def lives(self) -> tuple[Life, ...]:
        """The lives on record, newest first."""
        return self.history.lives.read()

    def deaths(self) -> list[Death]:
        """The verdicts on record, oldest first."""
        return [life.death for life in reversed(self.lives()) if life.death is not None]

    def pids(self) -> list[int]:
        """The pids of all fake gateways that were started, oldest first."""
        if not self.deaths_file.exists():
            return []
        return [int(line.split()[0]) for line in self.deaths_file.read_text().splitlines()]

    def living(self) -> list[int]:
        """The fake gateways that live."""
        return [pid for pid in self.pids() if is_there(pid)]

    def doubles(self) -> str:
        """What fake gateways wrote that met a living one."""
        path = self.state / "doubles"
        return path.read_text() if path.exists() else ""

    def listener(self) -> int | None:
        """Who listens on the port."""
        for pid in self.living():
            with suppress(psutil.Error):
                for link in psutil.Process(pid).net_connections("tcp"):
                    if link.status == psutil.CONN_LISTEN and link.laddr.port == self.port:
                        return pid
        return None

    def is_alone(self) -> int | None:
        """The pid of the one fake gateway that lives, if it has the port."""
        living = self.living()
        return living[0] if len(living) == 1 and self.listener() == living[0] else None

    def family(self) -> list[psutil.Process]:
        """Every process that was started for this place, whoever its parent is now."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get("OPENCLAW_STATE_DIR") == str(self.state):
                    found.append(process)
        return found

    def end(self) -> None:
        """Kill whatever is left."""
        for guarded in self.started:
            guarded.process.kill()
            guarded.process.wait()
        while left := [p for p in self.family() if p.status() != psutil.STATUS_ZOMBIE]:
            for process in left:
                with suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(left, 5)
        for guarded in self.started:
            for pipe in (guarded.process.stdin, guarded.process.stdout):
                if pipe is not None:
                    with suppress(BrokenPipeError):
                        pipe.close()
