"""Plans the wrapper script through which OpenClaw can start its gateway.

`openclaw gateway install --wrapper FILE` (2026.4.26 and later) is OpenClaw's own way to run a
program before the gateway: the path outlives reinstalls and updates, and its doctor accepts it. (A
drop-in of systemd that replaces the command makes OpenClaw refuse to repair its service, and its
doctor names every other line of a drop-in; measured on 2026.9.6.) The gate parks where a start is
refused: OpenClaw's unit gives up after ten starts in five minutes, and launchd never does.

`run` is started the same way: OpenClaw's unit sends SIGTERM to its main process alone, waits for
330 s, and does not stop that process when the kernel kills the gateway. The unit has no watchdog
over tailflip. `openclaw gateway restart` refuses and sends no signal: the gateway reports another
supervisor than systemd, as it must (its OPENCLAW_SUPERVISOR_MODE is `external`; measured on
2026.9.6).
"""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from tailflip.install.values import Mode, Plan, PlannedFile
from tailflip.observe.host.wrapper_script import ENDING, MARK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailflip.install.values import Facts
    from tailflip.observe.host.service import Service

_TARGET = ("OPENCLAW_PROFILE", "OPENCLAW_STATE_DIR", "OPENCLAW_CONFIG_PATH")
_REST = '"$@"'
_WORDS = {Mode.GATE: ("gate", "--park"), Mode.RUN: ("run",)}
_ANEW = "OpenClaw writes its service anew by this, and restarts its gateway"
_OF_RUN = (
    "OpenClaw's own unit has no watchdog: systemd does not notice if tailflip itself is stuck",
    "`openclaw gateway restart` refuses then, for tailflip is in charge: restart it by systemctl",
)


def plan(service: Service, mode: Mode, facts: Facts, next_step: str) -> Plan:
    """Plan the script, and the command that tells OpenClaw of it, if that is still to do."""
    stem = service.name.removesuffix(".service")
    path = facts.data_dir / f"{stem}{ENDING}"
    program = service.command[: service.command.index("gateway")]
    env = [f"{name}={service.env[name]}" for name in _TARGET if service.env.get(name)]
    port = ("--port", str(service.release.port)) if service.release.port else ()
    tell = (*service.cli, "gateway", "install", "--force", *port)
    return Plan(
        manager=service.manager,
        scope=service.scope,
        mode=mode,
        subject=service.name,
        files=(
            PlannedFile(
                path, write(mode, facts, program), "OpenClaw starts its gateway through it", 0o755
            ),
        ),
        commands=() if service.wrapper == path else (("env", *env, *tell, "--wrapper", str(path)),),
        # An empty variable tells OpenClaw to forget the wrapper.
        undo=(("env", *env, "OPENCLAW_WRAPPER=", *tell),),
        kept=(service.path,),
        next_step=next_step,
        notes=(
            *service.notes,
            *(() if service.wrapper == path else (_ANEW,)),
            *(_OF_RUN if mode is Mode.RUN else ()),
        ),
    )


def write(mode: Mode, facts: Facts, program: Sequence[str]) -> bytes:
    """Format the script; OpenClaw adds its arguments, which begin with `gateway`."""
    settings = "".join(f"export {k}={shlex.quote(v)}\n" for k, v in sorted(facts.settings.items()))
    words = shlex.join([*facts.tailflip, *_WORDS[mode], "--", *program])
    return os.fsencode(f"#!/bin/sh\n# {MARK}\n{settings}exec {words} {_REST}\n")
