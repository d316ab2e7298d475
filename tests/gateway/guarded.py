"""A real gateway behind `tailflip run` or `tailflip gate`: start both, read the ledger, end all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil
import pytest
import real_gateway
from real_gateway import Install, Running

from tailflip.base.durable import RealDisk
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.diagnose.causes import WANTED
from tailflip.ledger.history import History

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tailflip.flow.lives import Death, Life

WRAPPER, DIRECT = "openclaw.mjs", "dist/index.js"  # what a user starts, what a service unit starts
# Without what we put into its environment, `openclaw.mjs` starts the gateway as its child.
TWO_PROCESSES = ("env", "-u", "OPENCLAW_NO_RESPAWN")
WITHOUT_ADMISSION = ("--set", "heal.admission=false")
_STOP_S = 45


@dataclass
class Guarded(Running):
    """A supervisor and its gateway. `process` is the supervisor's; after a gate, the gateway's."""

    install: Install
    state: Path

    @property
    def history(self) -> History:
        home = Home(self.state.parent / "tailflip")
        return History(Workspace(home, RealDisk()), os.path.realpath(self.state))

    def lives(self) -> list[Life]:
        """Every life on record, oldest first."""
        return list(reversed(self.history.lives.read()))

    def deaths(self) -> list[Death]:
        """Verdicts on all ends that nobody wanted, oldest first."""
        return [x.death for x in self.lives() if x.death and x.death.cause not in WANTED]

    def life(self) -> Life:
        return self.lives()[-1]

    def wait_for(self, condition: Callable[[], object], timeout_s: float, what: str) -> None:
        """Wait until something is so; fail with the whole story if it is not in time."""
        until = time.monotonic() + timeout_s
        while not condition():
            assert self.process.poll() is None, f"supervisor ended: {self.tell()}"
            assert time.monotonic() < until, f"no {what} within {timeout_s} s: {self.tell()}"
            time.sleep(0.2)

    def wait_for_life(self, number: int, timeout_s: float) -> None:
        """Wait until the `number`-th life, from 1, answers."""

        def is_ready() -> bool:
            lives = self.lives()
            return len(lives) >= number and lives[number - 1].ready_ms is not None

        self.wait_for(is_ready, timeout_s, f"answer of life {number}")

    def stays_up(self, seconds: float) -> bool:
        """Watch the newest life for a while: the same one answers at the end."""
        life, until = self.life(), time.monotonic() + seconds
        while time.monotonic() < until:
            if self.process.poll() is not None or self.life().id != life.id:
                return False
            time.sleep(0.5)
        return self.is_healthy() and self.life().ended_ms is None

    def worker(self) -> psutil.Process:
        """The gateway's own process, once the supervisor knows it."""
        self.wait_for(lambda: self.life().worker_pid is not None, 30, "worker")
        return psutil.Process(self.life().worker_pid)

    def tell(self) -> str:
        lives = "\n".join(str(life) for life in self.lives())
        return f"{lives}\n{self.output()[-4000:]}"


def install_or_skip(version: str) -> Install:
    """Install a version, or skip the test and say why it cannot be had."""
    try:
        return real_gateway.install(version)
    except real_gateway.NotInstallable as error:
        pytest.skip(f"no real gateway {version}: {error}")


def command(install: Install, form: str = WRAPPER) -> list[str]:
    return [str(install.node), str(install.package / form), "gateway", "run"]


@contextmanager
def run(
    install: Install,
    state: Path,
    *options: str,
    port: int,
    heap_mib: int | None = None,
    argv: Sequence[str] = (),
    prefix: Sequence[str] = (),
) -> Iterator[Guarded]:
    """Start `tailflip run` in front of a gateway; nothing of either is left when the block ends."""
    ours = _command("run", *options, "--", *(argv or command(install)), prefix=prefix)
    with _start(install, state, ours, port, install.environment(state, heap_mib)) as running:
        yield running


@contextmanager
def gate(
    install: Install,
    state: Path,
    *options: str,
    port: int,
    heap_mib: int | None = None,
    node_options: str = "",
    prefix: Sequence[str] = (),
) -> Iterator[Guarded]:
    """Start a gateway through `tailflip gate`."""
    ours = _command("gate", *options, "--", *command(install), prefix=prefix)
    env = install.environment(state, heap_mib, node_options)
    with _start(install, state, ours, port, env) as running:
        yield running


def _command(*words: str, prefix: Sequence[str]) -> list[str]:
    return [*prefix, sys.executable, "-m", "tailflip", *words]


@contextmanager
def _start(
    install: Install, state: Path, ours: list[str], port: int, env: dict[str, str]
) -> Iterator[Guarded]:
    log = state.parent / f"guarded-{time.monotonic_ns()}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            ours,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        yield Guarded(process=process, port=port, log=log, install=install, state=state)
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        end_all(state)


def is_gone(process: psutil.Process) -> bool:
    """Say whether it ended; a zombie did, and waits for whoever became its parent."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def list_processes(state: Path) -> list[psutil.Process]:
    """List living processes that were started for a state directory, by their environment."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                environment = process.environ()
                if environment.get("OPENCLAW_STATE_DIR") == str(state):
                    found.append(process)
    return found


def end_all(state: Path) -> None:
    for process in list_processes(state):
        with suppress(psutil.Error):
            process.send_signal(signal.SIGKILL)
