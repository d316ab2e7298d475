"""Reads signs of a gateway other than its lock: open databases, locked transcripts, services.

Each sign names a process that may be a gateway. Proof that there is none takes all signs together,
in `observe.gateway.liveness`.
"""

from __future__ import annotations

import os
import pwd
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.base import platform_calls
from tailflip.base.remembered import remembered
from tailflip.flow.late import dataclass
from tailflip.observe.gateway.lock_owner import owner_lives, read_owner
from tailflip.observe.gateway.processes import list_temp_roots
from tailflip.observe.holders import ask_lock_owner

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tailflip.observe.host.service import Service
    from tailflip.observe.installation import Installation

_SHARED = "-shm"  # beside a database in WAL mode; a process that has it open locks it
# A gateway has one of these open for as long as it lives: from 2026.3.31 to 2026.5.28 the first,
# then the second. 2026.3.28 has none.
_DATABASES = ("tasks/runs.sqlite", "state/openclaw.sqlite")
_AGENTS = "agents/*/agent/openclaw-agent.sqlite"


@dataclass(frozen=True)
class Databases:
    """The process that has databases of a state directory open: pid, 0 for a hidden one.

    `closed`: the databases of a gateway that keeps one open for life exist, and none is open.
    """

    users: tuple[tuple[Path, int], ...]
    closed: bool


@dataclass(frozen=True)
class ServicePlace:
    """The place of a service's gateway: its temp folders, and its port if it has its own."""

    name: str
    temp_roots: tuple[str, ...]
    port: int | None


def read_databases(state_dir: Path) -> Databases:
    """Ask the kernel which process has the gateway's databases open, also in a container."""
    users = []
    unclear = not isinstance(platform_calls.here, platform_calls.Linux)
    main = [state_dir / name for name in _DATABASES]
    for path in (*main, *sorted(state_dir.glob(_AGENTS))):
        try:
            owner = ask_lock_owner(path.with_name(path.name + _SHARED))
        except FileNotFoundError:
            continue  # no process has it open in WAL mode
        except OSError:
            unclear = True
            continue
        if owner is not None:
            users.append((path, owner))
    exists = any(path.exists() for path in main)
    return Databases(tuple(users), closed=exists and not unclear and not users)


def find_lock_owner(path: Path) -> int | None:
    """Find the process with a kernel's lock on a file: pid, 0 for a hidden one, or None."""
    try:
        return ask_lock_owner(path)
    except OSError:
        return None


def find_transcript_owner(installation: Installation) -> tuple[Path, int] | None:
    """Find another living process that holds the lock of a run's transcript."""
    folders = {Path(os.path.realpath(store.path)).parent for store in installation.stores}
    agents = installation.state_dir / "agents"
    folders |= {agents / agent / "sessions" for agent in installation.agents}
    for folder in sorted(folders):
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                owner = None
                if entry.name.endswith(".jsonl.lock"):
                    owner = read_owner(Path(entry.path))
                if owner is None or owner.pid in (None, os.getpid()):
                    continue
                if owner_lives(owner):
                    return Path(entry.path), owner.pid
    return None


def find_services(installation: Installation, env: Mapping[str, str]) -> tuple[ServicePlace, ...]:
    """Read the places of a state directory's gateway from its service definitions."""
    found = (
        ServicePlace(service.name, list_temp_roots(service.env), _read_port(service))
        for service in find_definitions(installation.state_dir, env)
    )
    return tuple(dict.fromkeys(found))


def find_definitions(state_dir: Path, env: Mapping[str, str]) -> Iterator[Service]:
    """Find the service definitions that start the gateway of a state directory."""
    from tailflip.observe.host import services  # noqa: PLC0415 - a start needs it seldom

    real = os.path.realpath(state_dir)
    homes = {env.get("HOME") or str(Path.home())}
    with suppress(KeyError, OSError):
        homes.add(pwd.getpwuid(state_dir.stat().st_uid).pw_dir)
    for home in sorted(homes):
        places = services.Places.locate({**env, "HOME": home})
        # Folders of packages are left out: no package brings this service.
        places = replace(
            places, systemd_user=places.systemd_user[:3], systemd_system=places.systemd_system[:1]
        )
        for service in services.find_services({**env, "HOME": home}, places):
            if _find_real(service.state_dir) == real:
                yield service


@remembered
def _find_real(path: Path) -> str:
    return os.path.realpath(path)


def _read_port(service: Service) -> int | None:
    text = service.env.get("OPENCLAW_GATEWAY_PORT", "").strip()
    return service.release.port or (int(text) if text.isdigit() else None)


def may_be_shared(state_dir: Path) -> str | None:
    """Say why a state directory's gateway may have no pid here; None if it must have one."""
    if not platform_calls.here.is_in_container():
        return None
    if state_dir.stat().st_dev == Path("/").stat().st_dev:
        return None
    return "this is a container, and its volume may have another one's gateway on it"
