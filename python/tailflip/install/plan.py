"""Plans the files for a service, as values, and finds reasons against it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.base.errors import TailflipError, TryLater, Usage
from tailflip.install import launchd, systemd
from tailflip.install.values import Mode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tailflip.base.state_dir import Supervisor
    from tailflip.install.values import Facts, Plan
    from tailflip.observe.gateway.release import Release
    from tailflip.observe.host.service import Scope, Service

_NO_TIMER = (
    "people are told at each start alone, for a timer is not offered for launchd: put "
    "`--mode watch` beside it"
)


def find_conflicts(
    service: Service,
    others: Sequence[Service],
    mode: Mode,
    supervisor: Supervisor | None,
    *,
    is_ours: bool,
) -> list[TailflipError]:
    """List every reason not to install: a gateway may have one program that restarts it.

    Args:
        service: the service to install for.
        others: all services that were found.
        mode: the mode to install.
        supervisor: the tailflip that guards this gateway now, as `run` or `watch`.
        is_ours: tailflip was installed for this service before.
    """
    found: list[TailflipError] = []
    if service.foreign:
        names = ", ".join(map(str, service.foreign))
        found.append(
            Usage(
                f"{service.name}: a drop-in replaces its command already: {names}",
                hint="remove it, or put tailflip into its command by hand",
            )
        )
    if service.guarded_by_hand and not is_ours:
        found.append(
            Usage(
                f"{service.name}: its command begins with tailflip already: {service.path}",
                hint="nothing is needed; or take it out there, and install again",
            )
        )
    same = [
        other
        for other in others
        if other.state_dir == service.state_dir
        and (other.name, other.scope) != (service.name, service.scope)
    ]
    found += [
        Usage(
            f"{service.name} and {other.name} ({other.scope}) start a gateway on the same state "
            f"directory: {service.state_dir}",
            hint="disable one of them first: two would fight for its port",
        )
        for other in same
    ]
    if supervisor is not None and not is_ours:
        found.append(
            TryLater(
                f"{service.name}: its gateway is guarded already, by tailflip {supervisor.mode}, "
                f"pid {supervisor.pid}",
                hint="stop that one first",
            )
        )
    if mode is Mode.RUN and service.manager == "launchd":
        found.append(
            Usage(
                "run is not offered for launchd: OpenClaw rewrites its agent at each update",
                hint="use --mode gate, and --mode watch beside it",
            )
        )
    return found


def plan_install(service: Service, mode: Mode, facts: Facts, *, timer: bool = False) -> Plan:
    """Plan the files for a service that OpenClaw, or a person, defined."""
    if service.manager == "launchd":
        made = launchd.plan(service, mode, facts)
        is_alone = mode is Mode.GATE and facts.addresses is not None
        return replace(made, notes=(*made.notes, _NO_TIMER)) if is_alone else made
    return systemd.plan(service, mode, facts, timer=timer)


def plan_own_service(
    release: Release,
    command: Sequence[str],
    state_dir: Path,
    facts: Facts,
    *,
    scope: Scope,
    env: Mapping[str, str],
) -> Plan:
    """Plan a service of tailflip for a gateway that has none."""
    suffix = f"-{release.profile}" if release.profile else ""
    if suffix and not re.fullmatch(r"-[A-Za-z0-9_-]+", suffix):
        raise Usage(f"profile name is not valid: {release.profile!r}")
    return systemd.plan_gateway(command, state_dir, facts, scope=scope, suffix=suffix, env=env)


def choose_program(argv0: str, executable: str, which: str | None) -> tuple[str, ...]:
    """Choose how a service starts tailflip: by the present program, if its name is tailflip.

    Links are kept: pipx and uv keep a link when they put a new version behind it.
    """
    for candidate in (argv0, which or ""):
        path = Path(candidate)
        if path.name == "tailflip" and path.is_absolute():
            return (str(path),)
    return (executable, "-m", "tailflip")
