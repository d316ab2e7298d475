"""Calls systemd or launchd to reload, to start tailflip's units, and to check a text.

If a manager cannot be reached, what it did not do is returned; the files are in place.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tailflip.base import platform_calls
from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tailflip.install.values import Plan
    from tailflip.observe.host.service import Scope, Service

_TIMEOUT_S = 60.0
_INSTALL_TIMEOUT_S = 300.0
_OLDEST = 245
_UNITS = frozenset({".conf", ".service", ".timer"})
_BOOTED = Path("/run/systemd/system")  # see sd_booted(3)


@dataclass(frozen=True)
class Undone:
    """A command that failed, with the reason."""

    command: tuple[str, ...]
    reason: str

    @property
    def note(self) -> str:
        """The failure in words, with what a person does."""
        return f"run this by hand: {' '.join(self.command)} ({self.reason})"


class ServiceManager(Protocol):
    """The calls that an installation needs. Every method returns what failed."""

    def reload(self, scope: Scope) -> list[Undone]:
        """Reload the definitions."""

    def enable(self, scope: Scope, names: Sequence[str], files: Sequence[Path]) -> list[Undone]:
        """Start units or agents of tailflip, now and at each boot or login."""

    def disable(self, scope: Scope, names: Sequence[str], files: Sequence[Path]) -> list[Undone]:
        """Stop units or agents, and start them no more."""

    def run(self, command: Sequence[str]) -> list[Undone]:
        """Run one command of OpenClaw's own."""


def is_manager_there(kind: str) -> bool:
    """Say whether a service manager of this kind runs on this system at all."""
    if kind == "systemd":
        return _BOOTED.is_dir()
    return shutil.which("launchctl") is not None


@dataclass(frozen=True)
class RealManager:
    """The service manager of this system."""

    env: Mapping[str, str]
    kind: str

    def reload(self, scope: Scope) -> list[Undone]:
        """Reload systemd's units; launchd reads a file when it loads it."""
        if self.kind != "systemd":
            return []
        return self._call([*_systemctl(scope), "daemon-reload"])

    def enable(self, scope: Scope, names: Sequence[str], files: Sequence[Path]) -> list[Undone]:
        """Enable and start units; a running unit is restarted, to get its new text."""
        if self.kind == "systemd":
            notes = self._call([*_systemctl(scope), "enable", *names])
            return notes or self._call([*_systemctl(scope), "restart", *names])
        notes = []
        for path in _agents(names, files):
            self._call(["launchctl", "bootout", _domain(), str(path)])
            notes += self._call(["launchctl", "bootstrap", _domain(), str(path)])
        return notes

    def disable(self, scope: Scope, names: Sequence[str], files: Sequence[Path]) -> list[Undone]:
        """Disable and stop units or agents."""
        if self.kind == "systemd":
            return self._call([*_systemctl(scope), "disable", "--now", *names])
        return [
            note
            for path in _agents(names, files)
            for note in self._call(["launchctl", "bootout", _domain(), str(path)])
        ]

    def run(self, command: Sequence[str]) -> list[Undone]:
        """Run one command of OpenClaw's own; it may take a while."""
        return self._call(list(command), _INSTALL_TIMEOUT_S)

    def _call(self, command: list[str], timeout_s: float = _TIMEOUT_S) -> list[Undone]:
        try:
            done = subprocess.run(
                command,
                env={**self.env, "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout_s,
                check=False,
            )
        except (OSError, subprocess.SubprocessError) as e:
            return [Undone(tuple(command), str(e))]
        if done.returncode == 0:
            return []
        words = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
        return [Undone(tuple(command), words[-1])]


def read_systemd_version(env: Mapping[str, str]) -> int:
    """Read the version of systemd; without systemd, or an answer, an old one is assumed."""
    if platform_calls.here.service_manager != "systemd":
        return _OLDEST
    try:
        done = subprocess.run(
            ["systemctl", "--version"], env=dict(env), capture_output=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return _OLDEST
    match = re.match(r"systemd (\d+)", done.stdout.decode("utf-8", "replace"))
    return int(match[1]) if match else _OLDEST


def verify(plan: Plan, service: Service | None, env: Mapping[str, str]) -> list[str]:
    """Check the planned texts with the platform's own checker, before they are installed.

    Returns:
        The checker's messages on these files; empty when all is well, or without a checker.
    """
    with tempfile.TemporaryDirectory(prefix="tailflip-verify-") as name:
        folder = Path(name)
        if plan.manager == "launchd":
            return _lint_plists(plan, folder, env)
        return _verify_units(plan, service, folder, env)


def _verify_units(
    plan: Plan, service: Service | None, folder: Path, env: Mapping[str, str]
) -> list[str]:
    if shutil.which("systemd-analyze", path=env.get("PATH")) is None:
        return []
    units = []
    if service is not None:
        (folder / service.name).write_bytes(service.data)
    for each in plan.files:
        if each.path.suffix not in _UNITS:
            continue
        is_drop_in = each.path.suffix == ".conf"
        place = folder / each.path.parent.name if is_drop_in else folder
        place.mkdir(exist_ok=True)
        (place / each.path.name).write_bytes(each.data)
        if is_drop_in:
            units.append(folder / each.path.parent.name.removesuffix(".d"))
        elif "@" in each.path.name:
            units.append(_instance(folder, each.path.name, each.data))
        else:
            units.append(folder / each.path.name)
    if not units:
        return []
    scope = ["--user"] if plan.scope == "user" else []
    # Without XDG_RUNTIME_DIR, as under cron or sudo, the user's checker does not start.
    env = {"XDG_RUNTIME_DIR": str(folder), **env}
    said = _ask(["systemd-analyze", *scope, "verify", *map(str, units)], env, folder)
    ours = {path.name for path in folder.rglob("*") if path.is_file()}
    return [line for line in said if any(name in line for name in ours) or str(folder) in line]


def _instance(folder: Path, name: str, data: bytes) -> Path:
    """Name a template like an instance, so that it can be checked."""
    path = folder / name.replace("@", "@verify")
    path.write_bytes(data)
    return path


def _lint_plists(plan: Plan, folder: Path, env: Mapping[str, str]) -> list[str]:
    if shutil.which("plutil", path=env.get("PATH")) is None:
        return []
    said = []
    for each in plan.files:
        if each.path.suffix == ".plist":
            path = folder / each.path.name
            path.write_bytes(each.data)
            said += [
                s for s in _ask(["plutil", "-lint", str(path)], env, folder) if ": OK" not in s
            ]
    return said


def _ask(command: list[str], env: Mapping[str, str], folder: Path) -> list[str]:
    try:
        done = subprocess.run(
            command,
            env={**env, "LC_ALL": "C", "SYSTEMD_LOG_COLOR": "0"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    text = done.stdout.decode("utf-8", "replace")
    return [line.replace(f"{folder}/", "") for line in text.splitlines() if line.strip()]


def _systemctl(scope: Scope) -> list[str]:
    return ["systemctl", "--user"] if scope == "user" else ["systemctl"]


def _agents(names: Sequence[str], files: Sequence[Path]) -> list[Path]:
    return [path for path in map(Path, files) if path.stem in names]


def _domain() -> str:
    return f"gui/{os.getuid()}"
