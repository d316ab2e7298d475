"""The real OpenClaw in a booted machine: its service installed by itself, and its command line."""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from machine import USER, boot
from stand_in import TAILFLIP, UNITS, collect_wheels, install_all

sys.path.insert(0, str(Path(__file__).parents[1] / "gateway"))
import real_gateway

if TYPE_CHECKING:
    from collections.abc import Iterator

    from machine import Machine

VERSIONS = ("2026.4.14", "2026.9.6")
SERVICE = "openclaw-gateway"
CONFIG = """{"gateway": {"mode": "local", "bind": "loopback", "port": 18789,
  "auth": {"mode": "token", "token": "test-token"}},
  "discovery": {"mdns": {"mode": "off"}}, "update": {"checkOnStart": false}}"""
QUIET = {"OPENCLAW_HIDE_BANNER": "1", "NO_COLOR": "1", "CI": "1", "OPENCLAW_SKIP_CHANNELS": "1"}
# What a doctor's line is about when it is about a service; and what is a fact and no complaint.
OURS = re.compile(
    r"tailflip|drop-in|systemd|service|unit|ExecStart|wrapper|setting|--force", re.IGNORECASE
)
FACTS = re.compile(r"invokes OPENCLAW_WRAPPER|heap control|service argv|^/home/\S+-gate\.sh$")


@dataclass
class OpenClaw:
    """One version, its machine, and how its command line is started there."""

    version: str
    machine: Machine
    node: str
    entry: str

    @property
    def unit(self) -> Path:
        return self.machine.root / f"{UNITS}/{SERVICE}.service".lstrip("/")

    def run(self, *argv: str, check: bool = True) -> str:
        """Run its command line; that takes 2 to 40 s."""
        path = f"{Path(self.node).parent}:/usr/bin:/bin"
        done = self.machine.run(
            *(self.node, self.entry, *argv),
            user=True, check=check, timeout_s=240, **QUIET, PATH=path,
        )  # fmt: skip
        return done.stdout + done.stderr

    def doctor(self) -> str:
        return self.run("doctor", "--non-interactive", check=False)

    def tailflip(self, *argv: str) -> str:
        done = self.machine.run(TAILFLIP, *argv, user=True, timeout_s=300)
        assert "by hand" not in done.stderr
        return done.stdout

    def systemctl(self, *argv: str) -> str:
        return self.machine.run("systemctl", "--user", *argv, user=True, timeout_s=300).stdout

    def show(self, name: str) -> str:
        return self.systemctl("show", SERVICE, "-p", name, "--value").strip()

    def journal(self) -> str:
        return self.machine.run(
            "journalctl", "--no-pager", "-o", "cat", f"_SYSTEMD_USER_UNIT={SERVICE}.service"
        ).stdout

    def answers(self) -> bool:
        code = "import urllib.request as u; u.urlopen('http://127.0.0.1:18789/healthz', timeout=5)"
        return self.machine.run("python3", "-c", code, check=False).returncode == 0

    def wait_up(self) -> None:
        self.machine.wait(self.answers, "answer", 120)

    def read_command(self, pid: int | str) -> list[str]:
        return self.machine.run("cat", f"/proc/{pid}/cmdline").stdout.split("\0")


@contextmanager
def boot_openclaw(version: str, folder: Path, wheels: Path) -> Iterator[OpenClaw]:
    """Boot a machine in which OpenClaw installed its service.

    Raises:
        NotPossible: this machine cannot boot another.
        NotInstallable: OpenClaw cannot be had here.
    """
    install = real_gateway.install(version)
    here = real_gateway.cache_dir()
    collect_wheels(wheels)
    with boot(folder, {here: "/gateways"}) as machine:
        install_all(machine, wheels)
        node = f"/gateways/{install.node.resolve().relative_to(here)}"
        (machine.root / "usr/bin/node").unlink()  # the stand-ins' own; its doctor asks it
        (machine.root / "usr/bin/node").symlink_to(node)
        entry = f"/gateways/{(install.package / 'openclaw.mjs').relative_to(here)}"
        state = machine.root / f"home/{USER}/.openclaw"
        state.mkdir()
        (state / "openclaw.json").write_text(CONFIG)
        machine.run("chown", "-R", f"{USER}:", f"/home/{USER}")
        made = OpenClaw(version, machine, node, entry)
        made.run("gateway", "install", "--port", "18789")
        yield made


def complain(before: str, after: str) -> list[str]:
    """What a doctor says of services now and did not say before."""

    def split(text: str) -> list[str]:
        return [" ".join(re.sub("[│◇├╮╯─]", " ", line).split()) for line in text.splitlines()]

    known = set(split(before))
    return [x for x in split(after) if x not in known and OURS.search(x) and not FACTS.search(x)]
