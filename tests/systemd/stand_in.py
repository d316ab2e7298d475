"""Stand-in gateways in a booted machine, with units as OpenClaw writes them; and the wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from machine import UID, USER, Machine

ROOT = Path(__file__).parents[2]
FAKE = ROOT / "tests/fakes/fake_gateway.py"
UNITS = f"/home/{USER}/.config/systemd/user"
TAILFLIP = "/opt/tailflip/bin/tailflip"
# As OpenClaw 2026.4.14 writes it, but for the pauses: 5 s of RestartSec would only be waited for.
UNIT = """\
[Unit]
Description=OpenClaw Gateway (v{version})
After=network-online.target
Wants=network-online.target
StartLimitBurst=5
StartLimitIntervalSec=60

[Service]
ExecStart=/usr/bin/node {package}/dist/index.js gateway --port {port} {options}
Restart=always
RestartSec=300ms
RestartPreventExitStatus=78
TimeoutStopSec=30
TimeoutStartSec={start_s}
SuccessExitStatus=0 143
KillMode=control-group
Environment=HOME=/home/ada
Environment=TMPDIR=/tmp
Environment=PATH=/usr/local/bin:/usr/bin:/bin
Environment=OPENCLAW_STATE_DIR={state}
Environment=OPENCLAW_PROFILE={profile}
Environment=OPENCLAW_GATEWAY_PORT={port}
Environment=OPENCLAW_SYSTEMD_UNIT={name}.service
Environment="OPENCLAW_WINDOWS_TASK_NAME=OpenClaw Gateway ({profile})"
Environment=OPENCLAW_SERVICE_MARKER=openclaw
Environment=OPENCLAW_SERVICE_KIND=gateway

[Install]
WantedBy=default.target
"""


@dataclass
class Gateway:
    """A stand-in gateway of one profile, with the unit that OpenClaw would have written."""

    machine: Machine
    profile: str
    port: int
    version: str = "2026.4.14"
    options: str = ""
    start_s: str = "30"
    prefix: str = "openclaw-gateway"
    text: str = field(default="", init=False)

    def __post_init__(self) -> None:
        package = f"/opt/openclaw/{self.version}/node_modules/openclaw"
        self.text = UNIT.format(
            version=self.version,
            package=package,
            port=self.port,
            options=self.options,
            start_s=self.start_s,
            name=self.name,
            profile=self.profile,
            state=self.state,
        )
        self.write(f"{UNITS}/{self.name}.service", self.text)
        self.write(f"{self.state}/openclaw.json", f'{{"gateway": {{"port": {self.port}}}}}')
        self.systemctl("daemon-reload")

    @property
    def name(self) -> str:
        return f"{self.prefix}-{self.profile}"

    @property
    def state(self) -> str:
        return f"/home/{USER}/.openclaw-{self.profile}"

    @property
    def drop_in(self) -> Path:
        return self.machine.root / f"{UNITS}/{self.name}.service.d/10-tailflip.conf".lstrip("/")

    def write(self, path: str, text: str) -> None:
        """Write a file of the user's in the machine."""
        place = self.machine.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        self.machine.run("chown", "-R", f"{USER}:", f"/home/{USER}")

    def fill(self, size_bytes: int) -> Path:
        """Write the incident's store; return where it is, seen from here."""
        self.machine.run(
            "/opt/tailflip/bin/python", "-c",
            "import sys; from pathlib import Path; from tailflip.base import clock\n"
            "from tailflip.demo.incident import write_incident\n"
            "write_incident(Path(sys.argv[1]), size_bytes=int(sys.argv[2]), now_ms=clock.now_ms())",
            self.state, size_bytes, user=True, timeout_s=200,
        )  # fmt: skip
        self.write(f"{self.state}/openclaw.json", f'{{"gateway": {{"port": {self.port}}}}}')
        return self.machine.root / f"{self.state}/agents/main/sessions/sessions.json".lstrip("/")

    def systemctl(self, *argv: str, check: bool = True) -> str:
        return self.machine.run("systemctl", "--user", *argv, user=True, check=check).stdout

    def tailflip(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.machine.run(TAILFLIP, *argv, user=True, check=check, timeout_s=120)

    def install(self, *argv: str) -> None:
        self.tailflip("install", "--service", self.name, *argv, "--apply")

    def add(self, text: str) -> None:
        """Change the unit further, after ours."""
        self.write(f"{UNITS}/{self.name}.service.d/99-test.conf", text)
        self.systemctl("daemon-reload")

    def show(self, name: str) -> str:
        return self.systemctl("show", self.name, "--property", name, "--value").strip()

    def answers(self) -> bool:
        code = (
            "import urllib.request as u,sys; "
            f"sys.exit(u.urlopen('http://127.0.0.1:{self.port}/healthz', timeout=2).status != 200)"
        )
        return self.machine.run("python3", "-c", code, check=False).returncode == 0

    def wait_up(self, deadline_s: float = 40) -> None:
        self.machine.wait(self.answers, f"answer of {self.name}", deadline_s)

    def wait_for(self, name: str, value: str, deadline_s: float = 30) -> None:
        self.machine.wait(
            lambda: self.show(name) == value, f"{name}={value}, is {self.show(name)}", deadline_s
        )

    def journal(self) -> str:
        return self.machine.run(
            "journalctl", "--no-pager", "-o", "cat", f"_SYSTEMD_USER_UNIT={self.name}.service"
        ).stdout

    def end(self) -> None:
        self.systemctl("stop", self.name, check=False)
        self.systemctl("reset-failed", check=False)
        self.tailflip("uninstall", "--service", self.name, "--apply", check=False)
        shutil.rmtree(self.drop_in.parent, ignore_errors=True)
        (self.machine.root / f"{UNITS}/{self.name}.service".lstrip("/")).unlink(missing_ok=True)
        self.systemctl("daemon-reload", check=False)


def collect_wheels(folder: Path) -> Path:
    """The wheel, built from the tree, and all that it needs."""
    maturin = Path(sys.executable).with_name("maturin")
    env = {**os.environ, "PATH": f"{maturin.parent}:{os.environ['PATH']}"}
    for argv in (
        [maturin, "build", "--release", "--out", folder],
        [sys.executable, "-m", "pip", "download", "-q", "-d", folder, *folder.glob("*.whl")],
    ):
        words = [*argv, *folder.glob("*.whl")] if "download" in argv else argv
        subprocess.run(words, cwd=ROOT, env=env, check=True, capture_output=True)
    return folder


def install_all(machine: Machine, wheels: Path) -> None:
    shutil.copytree(wheels, machine.root / "wheels")
    machine.run("python3", "-m", "venv", "/opt/tailflip")
    machine.run(
        *("/opt/tailflip/bin/pip", "install", "-q", "--no-index", "--find-links=/wheels"),
        "tailflip",
        timeout_s=120,
    )
    node = machine.root / "usr/bin/node"
    node.write_text('#!/bin/sh\nexec /opt/tailflip/bin/python "$@"\n')
    node.chmod(0o755)
    for version in ("2026.4.14", "2026.9.6"):
        package = machine.root / f"opt/openclaw/{version}/node_modules/openclaw"
        (package / "dist").mkdir(parents=True)
        (package / "package.json").write_text(f'{{"name": "openclaw", "version": "{version}"}}')
        shutil.copy(FAKE, package / "dist/index.js")
    config = machine.root / f"home/{USER}/.config/tailflip/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("[restart]\nfirst_delay_s = 0.2\njitter = 0.0\n[health]\ninterval_s = 0.3\n")
    machine.run("chown", "-R", f"{UID}:{UID}", f"/home/{USER}")
