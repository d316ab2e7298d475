"""Plans agents for launchd.

launchd has no drop-ins. Up to 2026.4.25 the gate is put into the agent's own ProgramArguments. An
update of OpenClaw removes it: run `tailflip install --apply` after one. From 2026.4.26 on, OpenClaw
keeps a wrapper that it was told of. KeepAlive ignores exit codes: launchd would try a refused
start for ever. So the gate parks instead, and looks again after a change.
"""

from __future__ import annotations

import plistlib
from typing import TYPE_CHECKING, Any

from tailflip.install import wrapper
from tailflip.install.templates import encode
from tailflip.install.values import Mode, Plan, PlannedFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tailflip.install.values import Facts
    from tailflip.observe.host.service import Service

_WATCH = "io.tailflip.watch"


def plan(service: Service, mode: Mode, facts: Facts) -> Plan:
    """Plan the gate of an agent, or an agent of tailflip beside it."""
    if mode is Mode.WATCH:
        return _plan_watch(service, facts)
    if service.release.capabilities.keeps_wrapper:
        return wrapper.plan(service, mode, facts, _restart(service))
    return _plan_gate(service, facts)


def _plan_gate(service: Service, facts: Facts) -> Plan:
    content = plistlib.loads(service.data)
    gate = [*facts.tailflip, "gate", "--park", "--"]
    content["ProgramArguments"] = [*gate, *service.command]
    env = dict(content.get("EnvironmentVariables", {}))
    content["EnvironmentVariables"] = {**env, **facts.settings}
    agent = PlannedFile(
        service.path, dump(content, service.path), "stands before each start", 0o600
    )
    return Plan(
        manager="launchd",
        scope=service.scope,
        mode=Mode.GATE,
        subject=service.name,
        files=(agent,),
        next_step=_restart(service),
        notes=("an update of OpenClaw writes its agent anew: install again after one",),
    )


def _plan_watch(service: Service, facts: Facts) -> Plan:
    label = f"{_WATCH}{service.suffix}"
    log = str(facts.logs_dir / f"watch{service.suffix}.log")
    content: dict[str, Any] = {
        "Label": label,
        "ProgramArguments": [*facts.tailflip, "watch", f"--state-dir={service.state_dir}"],
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 30,
        "ProcessType": "Background",
        "LowPriorityIO": True,
        "Umask": 0o077,
        "StandardInPath": "/dev/null",
        "StandardOutPath": log,
        "StandardErrorPath": log,
        "EnvironmentVariables": {
            "HOME": service.home,
            "PATH": "/usr/local/bin:/opt/homebrew/bin:/usr/bin:/bin",
            **facts.settings,
        },
    }
    path = facts.agents_dir / f"{label}.plist"
    return Plan(
        manager="launchd",
        scope="user",
        mode=Mode.WATCH,
        subject=service.name,
        files=(PlannedFile(path, dump(content, path), "stands beside", 0o600),),
        enable=(label,),
        next_step="tailflip status",
    )


def dump(content: dict[str, Any], path: Path) -> bytes:
    """Write a property list for `path`; keys keep their order."""
    for text in _list_texts(content):
        encode(text, path)
    return plistlib.dumps(content, sort_keys=False)


def _list_texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for pair in value.items():
            yield from _list_texts(list(pair))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _list_texts(each)


def _restart(service: Service) -> str:
    domain = "gui/$(id -u)" if service.scope == "user" else "system"
    return f"launchctl kickstart -k {domain}/{service.name}"
