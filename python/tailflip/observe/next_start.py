"""Finds what a gateway runs with, and what starts next: its process, and its service definition.

A service definition of this state directory starts its gateway at boot and after a death; the
`openclaw` on a person's PATH may be another one. So the definition counts where there is one, then
what we saw start, and the PATH at last.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.base.errors import TailflipError
from tailflip.base.life_variable import LIFE_VARIABLE
from tailflip.flow.late import dataclass
from tailflip.observe.gateway.cgroup import read_limit
from tailflip.observe.gateway.heap import HeapOwner
from tailflip.observe.gateway.process import read_start
from tailflip.observe.gateway.release import Release, parse_version, read_release
from tailflip.observe.gateway.signs import find_definitions
from tailflip.observe.installation import find_state_dir

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tailflip.flow.lives import Life
    from tailflip.flow.observed import Gateway
    from tailflip.observe.gateway.process import Start
    from tailflip.observe.host.service import Service
    from tailflip.observe.installation import Installation

_ON_PATH = ("openclaw",)
_THEIRS = ("OPENCLAW_", "CLAWDBOT_", "MOLTBOT_", "NODE_OPTIONS")


@dataclass(frozen=True)
class NextStart:
    """The command that starts the gateway, and the release that it starts."""

    command: tuple[str, ...]
    release: Release


@dataclass(frozen=True)
class Owners:
    """What sizes the heap of a gateway, in the order in which it counts.

    `services` are its definitions; several may name the same state directory. `shell` is the
    caller's, which says nothing certain about a gateway. `may_recall`: what we have on record may
    be about the gateway that lives.
    """

    living: HeapOwner | None
    services: tuple[HeapOwner, ...]
    shell: HeapOwner
    may_recall: bool


def find_next_start(
    installation: Installation,
    env: Mapping[str, str],
    gateway: Gateway | None = None,
    last: Life | None = None,
) -> NextStart:
    """Find the command that starts an installation's gateway; reads small files.

    If services start different releases, it is unknown which is next. Without one, the command of
    the living gateway counts, then the one with which we saw it start, by its whole path; then the
    `openclaw` on the caller's PATH. Where there is none, the release that lived last is next.

    Args:
        installation: whose gateway it is.
        env: the caller's.
        gateway: the living one, if there is one.
        last: the last life on record.
    """
    starts = [
        NextStart(service.command, service.release)
        for service in find_definitions(installation.state_dir, env)
        if service.release.version is not None
    ]
    if len({start.release.version for start in starts}) > 1:
        return NextStart((), read_release((), env))
    if starts:
        return starts[0]
    known = _find_living(gateway) or (last and _find_last(last, env))
    if known:
        return known
    on_path = read_release(_ON_PATH, env)
    if on_path.is_found or last is None or last.version is None:
        return NextStart(_ON_PATH, on_path)
    return NextStart((), _recall_release(last.version, env))


def _find_last(last: Life, env: Mapping[str, str]) -> NextStart | None:
    """Follow the command of the last life; None where it hangs on the PATH or folder of then."""
    release = read_release(last.command, env)
    words = release.command
    if not release.is_found or not (str(release.entry) in words or os.path.isabs(words[0])):  # noqa: PTH117
        return None
    return NextStart(last.command, release)


def _recall_release(version: str, env: Mapping[str, str]) -> Release:
    """Describe a release of which nothing but its version is on record."""
    unknown = read_release((), env)
    evidence = f"the last life on record was of {version}"
    return replace(unknown, version=parse_version(version), text=version, evidence=evidence)


def _find_living(gateway: Gateway | None) -> NextStart | None:
    """Read the release of a living gateway from its arguments; None where they do not tell it."""
    pid = gateway.pid if gateway is not None and gateway.alive else None
    start = None if pid is None else read_start(pid)
    # A relative path is one of the gateway's directory, and not of ours.
    if start is None or not any(os.path.isabs(word) for word in start.argv[1:]):  # noqa: PTH117
        return None
    release = read_release(start.argv, start.env)
    is_whole = release.entry is not None and str(release.entry) in start.argv
    return NextStart(start.argv, release) if is_whole and release.is_found else None


def find_owners(state_dir: Path, gateway: Gateway | None, env: Mapping[str, str]) -> Owners:
    """Find what sizes the heap of a state directory's gateway.

    Args:
        state_dir: the gateway's.
        gateway: the living one, if there is one.
        env: the caller's.
    """
    services = tuple(find_definitions(state_dir, env))
    pid = gateway.pid if gateway is not None and gateway.alive else None
    start = None if pid is None else read_start(pid)
    living = None if pid is None or start is None else _describe_living(pid, start, services)
    release = read_release(_ON_PATH, env)
    shell = HeapOwner.of_ours("this shell, a guess", release.env, release.node, ())
    return Owners(
        living,
        tuple(map(_describe_service, services)),
        shell,
        may_recall=pid is None or (start is not None and LIFE_VARIABLE in start.env),
    )


def find_gateway_env(
    state_dir: Path, gateway: Gateway | None, env: Mapping[str, str]
) -> dict[str, str]:
    """Find the environment in which a gateway runs or will start; the caller's if nothing tells.

    Args:
        state_dir: the gateway's.
        gateway: the living one, if there is one; None reads its definitions alone.
        env: the caller's, for what is no matter of OpenClaw's.
    """
    pid = gateway.pid if gateway is not None and gateway.alive else None
    start = None if pid is None else read_start(pid)
    theirs: Mapping[str, str] | None = None
    if start is not None and _leads_to(start.env, state_dir):
        theirs = start.env
    elif service := next(find_definitions(state_dir, env), None):
        theirs = dict(service.release.env)
        if service.scope == "user" and theirs.get("HOME") == service.home:
            theirs["HOME"] = env.get("HOME", service.home)  # by which we found the definition
    if theirs is None:
        return dict(env)
    ours = {name: value for name, value in env.items() if not name.startswith(_THEIRS)}
    return {**ours, **theirs, "OPENCLAW_STATE_DIR": str(state_dir)}


def _leads_to(env: Mapping[str, str], state_dir: Path) -> bool:
    """Say whether a process sees the state directory where we do: a container may not."""
    try:
        found = find_state_dir(env, None, env.get("OPENCLAW_PROFILE") or None)
    except TailflipError:
        return False
    return os.path.realpath(found) == os.path.realpath(state_dir)


def _describe_living(pid: int, start: Start, services: Sequence[Service]) -> HeapOwner:
    """Describe a living gateway; up to 2026.4 it overwrites its arguments by its title."""
    who = f"pid {pid}"
    memory_bytes = read_limit(pid)
    if Path(start.argv[0]).name.startswith("node"):
        return HeapOwner(who, start.env, start.program, start.argv, memory_bytes)
    # Its arguments are those of the definition that started it, where there is one.
    flags = next((read_release(each.starts, each.env).command for each in services), ())
    owner = HeapOwner(who, start.env, start.program, flags, memory_bytes)
    if services or owner.options:
        return owner
    doubt = "its arguments cannot be read, and may say another limit"
    return HeapOwner(who, start.env, start.program, (), memory_bytes, doubt)


def _describe_service(service: Service) -> HeapOwner:
    release = read_release(service.starts, service.env)
    doubt = "; ".join(service.notes) or None
    node, flags = release.node, release.command
    return HeapOwner(service.name, release.env, node, flags, service.memory_bytes, doubt)
