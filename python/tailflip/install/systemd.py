"""Plans drop-ins and units for systemd.

OpenClaw reads and writes its unit's own file alone, so a drop-in outlives its updates and
reinstalls. Up to 2026.7 the gate is put in front of the command. From 2026.8.1 on, OpenClaw calls
a drop-in that replaces ExecStart operator-owned and refuses to repair its service; there OpenClaw
is told of a wrapper (see wrapper.py). For a unit that is not OpenClaw's, a preflight runs before
the unchanged command; with `run`, a drop-in replaces the command as before.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from tailflip.install import wrapper
from tailflip.install.templates import encode, fill
from tailflip.install.values import Mode, Plan, PlannedFile
from tailflip.observe.host.unitfile import quote_word, split_prefix

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tailflip.install.values import Facts
    from tailflip.observe.host.service import Scope, Service

DROP_IN = "10-tailflip.conf"
ALERT = "tailflip-alert@.service"
_CREDENTIALS_SINCE = 247
# Variables that choose a gateway's installation; a service of tailflip must keep them.
_KEPT = (
    "OPENCLAW_STATE_DIR",
    "OPENCLAW_CONFIG_PATH",
    "OPENCLAW_PROFILE",
    "OPENCLAW_HOME",
    "OPENCLAW_GATEWAY_PORT",
    "NODE_OPTIONS",
    "PATH",
)


def plan(service: Service, mode: Mode, facts: Facts, *, timer: bool) -> Plan:
    """Plan the files before, around or beside a unit."""
    if mode is not Mode.WATCH and _wants_wrapper(service):
        next_step = f"{_systemctl(service.scope)} restart {service.name}"
        made = wrapper.plan(service, mode, facts, next_step)
    else:
        made = _plan_units(service, mode, facts)
    made = _add_timer(made, service, facts) if timer else made
    # `run` and `watch` have people told themselves; where one is gone, its silence must be heard.
    is_alone = mode is Mode.GATE and facts.addresses is not None
    return _add_beat(made, service, facts) if is_alone else made


def _add_beat(made: Plan, service: Service, facts: Facts) -> Plan:
    folder = facts.unit_dirs[service.scope]
    values = _values(facts, service.state_dir, service.scope)
    values["CREDENTIALS"] = "\n".join(_list_credentials(facts))
    name = f"tailflip-beat{service.suffix}"
    files = [
        _unit(facts, folder / f"{name}.{kind}", f"tailflip-beat.{kind}", values, why)
        for kind, why in (("service", "tells people"), ("timer", "says when"))
    ]
    return replace(made, files=(*made.files, *files), enable=(*made.enable, f"{name}.timer"))


def _list_credentials(facts: Facts) -> Iterator[str]:
    """List the lines that hand addresses over; a file that goes later on must not end the unit."""
    if facts.systemd_version < _CREDENTIALS_SINCE:
        return
    for name, path in (facts.addresses or {}).items():
        yield f"LoadCredential={name}:{str(path).replace('%', '%%')}"
        yield f"SetCredential={name}:# its file is gone"


def _add_timer(made: Plan, service: Service, facts: Facts) -> Plan:
    folder = facts.unit_dirs[service.scope]
    values = _values(facts, service.state_dir, service.scope)
    name = f"tailflip-reconcile{service.suffix}"
    files = [
        _unit(facts, folder / f"{name}.{kind}", f"tailflip-reconcile.{kind}", values, why)
        for kind, why in (("service", "reconciles once"), ("timer", "says when"))
    ]
    return replace(made, files=(*made.files, *files), enable=(*made.enable, f"{name}.timer"))


def _plan_units(service: Service, mode: Mode, facts: Facts) -> Plan:
    folder = facts.unit_dirs[service.scope]
    values = _values(facts, service.state_dir, service.scope)
    files = [_alert(facts, folder, values)]
    enable: list[str] = []
    notes = list(service.notes)
    next_step = f"{_systemctl(service.scope)} restart {service.name}"
    if mode is Mode.WATCH:
        name = f"tailflip-watch{service.suffix}.service"
        files.append(_unit(facts, folder / name, "tailflip-watch.service", values, "stands beside"))
        enable.append(name)
        next_step = "tailflip status"
    else:
        template = _choose_template(service, mode)
        prefix, command = split_prefix(service.command_text)
        values |= {
            "TAILFLIP": prefix + values["TAILFLIP"],
            "UNIT_PATH": quote_word(str(service.path)),
            "COMMAND": _protect_program(command),
        }
        path = folder / f"{service.name}.d" / DROP_IN
        why = {"gate.conf": "stands before each start", "run.conf": "stands around the gateway"}
        files.append(
            _unit(facts, path, template, values, why.get(template, "looks before a start"))
        )
    if service.scope == "user":
        notes.append(
            "without a login it runs only with `loginctl enable-linger`, as OpenClaw's own"
        )
    return Plan(
        manager="systemd",
        scope=service.scope,
        mode=mode,
        subject=service.name,
        files=tuple(files),
        enable=tuple(enable),
        next_step=next_step,
        notes=tuple(notes),
    )


def plan_gateway(
    command: Sequence[str],
    state_dir: Path,
    facts: Facts,
    *,
    scope: Scope,
    suffix: str,
    env: Mapping[str, str],
) -> Plan:
    """Plan a unit of tailflip for a gateway that has no unit."""
    folder = facts.unit_dirs[scope]
    kept = {name: env[name] for name in _KEPT if env.get(name)}
    values = _values(facts, state_dir, scope, kept)
    values["COMMAND"] = " ".join(map(quote_word, command))
    name = f"tailflip-gateway{suffix}.service"
    unit = _unit(facts, folder / name, "tailflip-gateway.service", values, "runs the gateway")
    return Plan(
        manager="systemd",
        scope=scope,
        mode=Mode.RUN,
        subject=name,
        files=(_alert(facts, folder, values), unit),
        enable=(name,),
        next_step="tailflip status",
    )


def escape_path(path: Path | str) -> str:
    """Write a path as an instance's name, as `systemd-escape --path` does."""
    parts = [part for part in str(path).split("/") if part]
    text = "/".join(parts)
    if not text:
        return "-"

    def escape(match: re.Match[str]) -> str:
        return "".join(f"\\x{byte:02x}" for byte in os.fsencode(match[0]))

    made = re.sub(r"[^A-Za-z0-9:_.\-/]|-", escape, text)
    return ("\\x2e" + made[1:] if made.startswith(".") else made).replace("/", "-")


def _wants_wrapper(service: Service) -> bool:
    """Say whether OpenClaw manages this unit, and would disown it for a drop-in: a user's unit."""
    is_managed = service.scope == "user" and service.name.startswith("openclaw-gateway")
    can = service.release.capabilities
    return is_managed and can.keeps_wrapper and can.disowns_replaced_command


def _choose_template(service: Service, mode: Mode) -> str:
    if mode is Mode.RUN:
        return "run.conf"
    disowns = service.release.capabilities.disowns_replaced_command
    return "preflight.conf" if disowns else "gate.conf"


def _values(
    facts: Facts, state_dir: Path, scope: Scope, kept: Mapping[str, str] | None = None
) -> dict[str, str]:
    settings = {**(kept or {}), **facts.settings}
    lines = [f"Environment={_quote_assignment(k, v)}" for k, v in sorted(settings.items())]
    program, *arguments = facts.tailflip
    return {
        "ENVIRONMENT": "\n".join(lines),
        "TAILFLIP": " ".join([quote_program(program), *map(quote_word, arguments)]),
        "STATE_DIR": quote_word(str(state_dir)),
        "STATE_DIR_TEXT": str(state_dir).replace("%", "%%"),
        "STATE_DIR_ESCAPED": escape_path(state_dir).replace("%", "%%"),
        "WATCH_OPTIONS": f" --state-dir={quote_word(str(state_dir))}",
        "WANTED_BY": "default.target" if scope == "user" else "multi-user.target",
        "CONFIG_DIR": str(facts.config_dir).replace("%", "%%"),
    }


def quote_program(path: str) -> str:
    """Quote the program of a command: systemd expands no `$` in a program."""
    return quote_word(path).replace("$$", "$")


def _quote_assignment(name: str, value: str) -> str:
    return '"' + quote_word(f"{name}={value}").strip('"').replace("$$", "$") + '"'


def _protect_program(command: str) -> str:
    """Escape a `$` in the program's name: as an argument of tailflip, systemd would expand it."""
    program, space, rest = command.partition(" ")
    return program.replace("$", "$$") + space + rest


def _alert(facts: Facts, folder: Path, values: Mapping[str, str]) -> PlannedFile:
    return _unit(facts, folder / ALERT, ALERT, values, "tells when a unit stays down")


def _unit(
    facts: Facts, path: Path, template: str, values: Mapping[str, str], why: str
) -> PlannedFile:
    return PlannedFile(path, encode(fill(template, values, facts.systemd_version), path), why)


def _systemctl(scope: Scope) -> str:
    return "systemctl --user" if scope == "user" else "systemctl"
