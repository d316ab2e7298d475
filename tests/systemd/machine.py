"""A machine of our own with a real systemd: booted from a Debian root in a container.

The root is made once by mmdebstrap and kept in the cache (`$TAILFLIP_SYSTEMD_CACHE`, else
`~/.cache/tailflip-systemd`); every boot gets a copy. Commands are run in it through its init's
namespaces, so nothing has to listen in there.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from support.programs import run_program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SUITE = "bookworm"
PACKAGES = "systemd,systemd-sysv,dbus,dbus-user-session,libpam-systemd,python3,python3-venv"
USER, UID = "ada", 1000
_BOOT_S, _MAKE_S = 60, 400


class NotPossible(Exception):
    """This machine cannot boot another; the message says why."""


def cache_dir() -> Path:
    configured = os.environ.get("TAILFLIP_SYSTEMD_CACHE")
    return Path(configured) if configured else Path.home() / ".cache" / "tailflip-systemd"


def find_root() -> Path:
    """Return the root to copy, made at most once."""
    for program in ("systemd-nspawn", "mmdebstrap"):
        if shutil.which(program) is None:
            raise NotPossible(f"no {program}: apt-get install systemd-container mmdebstrap")
    if os.getuid() != 0:
        raise NotPossible("only root may boot one")
    root = cache_dir() / SUITE
    if not (root / ".whole").exists():
        shutil.rmtree(root, ignore_errors=True)
        root.parent.mkdir(parents=True, exist_ok=True)
        made = run_program(
            ["mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, root],
            timeout_s=_MAKE_S,
            check=False,
        )
        if made.returncode:
            raise NotPossible(f"mmdebstrap: {made.stderr.splitlines()[-1]}")
        (root / ".whole").touch()
    return root


@dataclass
class Machine:
    """A booted machine; `root` is its file system, seen from here."""

    root: Path
    leader: int
    console: Path

    def run(
        self,
        *argv: object,
        user: bool = False,
        check: bool = True,
        timeout_s: float = 60,
        **env: str,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the machine: as root, or as its user with a bus."""
        home = f"/home/{USER}" if user else "/root"
        given = {"HOME": home, "PATH": "/opt/tailflip/bin:/usr/bin:/bin", "LC_ALL": "C", **env}
        if user:
            given |= {
                "XDG_RUNTIME_DIR": f"/run/user/{UID}",
                "DBUS_SESSION_BUS_ADDRESS": f"unix:path=/run/user/{UID}/bus",
            }
        become = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups"] if user else []
        words = ["env", "-i", *(f"{k}={v}" for k, v in given.items()), *argv]
        enter = ["nsenter", "--target", self.leader, "--all", f"--wdns={home}"]
        return run_program([*enter, *become, *words], timeout_s=timeout_s, check=check)

    def wait(self, condition: Callable[[], object], what: str, deadline_s: float = 30) -> object:
        """Wait for something in the machine to be so."""
        until = time.monotonic() + deadline_s
        while not (found := condition()):
            assert time.monotonic() < until, f"no {what} in {deadline_s} s\n{self.tell()}"
            time.sleep(0.1)
        return found

    def tell(self) -> str:
        """What the journal says last."""
        return self.run("journalctl", "-n", "60", "--no-pager", check=False).stdout


@contextmanager
def boot(folder: Path, binds: Mapping[Path, str] | None = None) -> Iterator[Machine]:
    """Boot a copy of the root; nothing of it runs when the block ends.

    `binds` are directories of ours, and where the machine may read them.
    """
    source, root = find_root(), folder / "root"
    subprocess.run(["cp", "-a", "--reflink=auto", str(source), str(root)], check=True)
    _prepare(root)
    console = folder / "console"
    with console.open("wb") as out:
        nspawn = subprocess.Popen(
            [
                *("systemd-nspawn", "--quiet", "-D", str(root), "--boot", "--register=no"),
                *("--keep-unit", "--private-network", "--console=pipe"),
                *(f"--bind-ro={ours}:{theirs}" for ours, theirs in (binds or {}).items()),
            ],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        yield _wait_for_boot(Machine(root, _find_leader(nspawn, console), console))
    finally:
        with suppress(psutil.NoSuchProcess):  # what systemd takes for "power off"
            psutil.Process(_find_leader(nspawn, console)).send_signal(signal.SIGRTMIN + 4)
        try:
            nspawn.wait(20)
        except subprocess.TimeoutExpired:
            nspawn.kill()
            nspawn.wait()


def _prepare(root: Path) -> None:
    (root / "etc/machine-id").write_text("")
    (root / "etc/hostname").write_text("tailflip-test\n")
    subprocess.run(
        ["chroot", str(root), "useradd", "-m", "-u", str(UID), "-s", "/bin/sh", USER],
        check=True, capture_output=True,
    )  # fmt: skip
    linger = root / "var/lib/systemd/linger"
    linger.mkdir(parents=True, exist_ok=True)
    (linger / USER).touch()
    journal = root / "etc/systemd/journald.conf.d"
    journal.mkdir(parents=True, exist_ok=True)
    (journal / "test.conf").write_text("[Journal]\nStorage=persistent\nRateLimitIntervalSec=0\n")


def _find_leader(nspawn: subprocess.Popen[bytes], console: Path) -> int:
    until = time.monotonic() + _BOOT_S
    while time.monotonic() < until:
        if nspawn.poll() is not None:
            raise NotPossible(f"systemd-nspawn: {console.read_text(errors='replace')[-500:]}")
        for child in psutil.Process(nspawn.pid).children(recursive=True):
            try:
                if child.name() == "systemd":
                    return child.pid
            except psutil.Error:
                continue
        time.sleep(0.05)
    raise NotPossible("no init in time")


def _wait_for_boot(machine: Machine) -> Machine:
    def is_up() -> bool:
        state = machine.run("systemctl", "is-system-running", check=False).stdout.strip()
        return state in ("running", "degraded")

    machine.wait(is_up, "system", _BOOT_S)
    machine.wait(
        lambda: machine.run("systemctl", "--user", "is-system-running", user=True, check=False)
        .stdout.strip() in ("running", "degraded"),
        "user's manager", _BOOT_S,
    )  # fmt: skip
    return machine
