"""Tells whether a gateway is alive on an installation, and since when.

The gateway's lock file is the best sign: it has pid and start time. The lock's name hashes the
path of the configuration as the gateway spelled it. Its folder depends on the gateway's TMPDIR and
user (2026.9.6: below its state directory, with a second lock for that whole directory, which its
doctor and embedded agents take too). `_find_locks` looks in each of these folders, and compares the
path inside too. A clean exit removes the lock; a killed or aborted gateway leaves it.

A lock can be gone, or lie in an unknown folder. So `read_gateway` looks at more signs: the process
table, the databases that a gateway keeps open, the transcripts that its runs lock, its ports. The
gateway counts as stopped when no sign shows a gateway, and all signs could be read or its closed
databases outweigh the rest. Else `alive` is None, which is no proof of death.

A pid says nothing in another container. 2026.9.6 also keeps a lock of the kernel on
`<lock>.sqlite` for as long as it lives (2026.4.14 does not), which every container on the same
machine can see. The databases from 2026.3.31 on have such a lock too.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.base import clock
from tailflip.flow.late import dataclass
from tailflip.flow.observed import Gateway
from tailflip.observe.files import can_be_path
from tailflip.observe.gateway.dial import is_listening
from tailflip.observe.gateway.listener import find_listener
from tailflip.observe.gateway.lock_owner import owner_lives, read_owner
from tailflip.observe.gateway.process import booted_ms, started_ms
from tailflip.observe.gateway.processes import list_temp_roots, read_processes
from tailflip.observe.gateway.signs import (
    find_lock_owner,
    find_services,
    find_transcript_owner,
    may_be_shared,
    read_databases,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tailflip.observe.gateway.lock_owner import LockOwner
    from tailflip.observe.gateway.processes import Table
    from tailflip.observe.gateway.signs import Databases, ServicePlace
    from tailflip.observe.installation import Installation

_PROBE_S = 1.0
_LOOPBACK = "127.0.0.1"
_FRESH_MS = 30_000  # the gateway waits that long for the owner of an unreadable lock
_CLOCK_SLACK_MS = 5_000
_OPENS_WITHIN_MS = 120_000  # 2026.4.14 with a large store takes 43 s to its first sign of life
_STATE_LOCK = "gateway.state.lock"


@dataclass(frozen=True)
class DeadOwner:
    """The writer of a gateway lock that no longer lives.

    `ticks` is its start in clock ticks since boot, None where the lock has none. `created_ms` is
    when it took the lock, soon after its start. `before_boot`: the machine was started again
    since, so the gateway need not have ended by itself.
    """

    path: Path
    pid: int
    ticks: int | None
    created_ms: int
    before_boot: bool


def read_gateway(installation: Installation, env: Mapping[str, str]) -> Gateway:
    """Tell whether a gateway lives, by all signs."""
    table = read_processes(installation.state_dir)
    services = find_services(installation, env)
    roots = {root for process in table.found for root in process.temp_roots}
    roots |= {root for service in services for root in service.temp_roots}
    found = _look_at_locks(installation, env, roots)
    if found is not None and found.alive:
        return found
    for process in table.found:
        if process.is_gateway:
            word = f"process {process.pid} ({process.name}) is a gateway of this state directory"
            return Gateway(True, process.pid, started_ms(process.pid), word, in_the_way=True)
    return found or _look_further(installation, env, table, services)


def _look_at_locks(
    installation: Installation, env: Mapping[str, str], roots: set[str]
) -> Gateway | None:
    """Judge by the gateway's own locks; None if they do not tell."""
    unclear = None
    for path in _find_locks(installation, env, roots):
        owner = _read_lock(path)
        if owner is None:
            if _is_fresh(path):
                unclear = unclear or f"a fresh lock cannot be read: {path}"
        elif owner_lives(owner) is not False:
            word = f"lock {path} is held by pid {owner.pid}"
            if _is_gateway(owner):
                since_ms = None if owner.pid is None else started_ms(owner.pid)
                return Gateway(True, owner.pid, since_ms, word, in_the_way=True)
            unclear = f"{word}, which is no gateway"
        elif find_lock_owner(path.with_name(f"{path.name}.sqlite")) is not None:
            unclear = f"lock {path} is held by a process that cannot be seen from here"
    return None if unclear is None else Gateway(None, None, None, unclear, in_the_way=True)


def _look_further(
    installation: Installation,
    env: Mapping[str, str],
    table: Table,
    services: tuple[ServicePlace, ...],
) -> Gateway:
    """Judge by the other signs whether it is proven that no gateway lives."""
    ports = {installation.port, *(each.port for each in services if each.port is not None)}
    for port in sorted(ports):
        bound = is_listening(_LOOPBACK, port, _PROBE_S)
        if bound is not False:
            word = f"no lock with a living owner, but port {port} {_tell_holder(port, bound)}"
            return Gateway(None, None, None, word, in_the_way=True)
    databases = read_databases(installation.state_dir)
    doubt = (
        _doubt_by_users(table, databases)
        or _doubt_by_transcripts(installation)
        or _doubt_by_what_is_hidden(installation, env, table, databases)
    )
    free = " and ".join(f"port {port}" for port in sorted(ports))
    words = f"no lock with a living owner, {free} {'is' if len(ports) == 1 else 'are'} free"
    if doubt is not None:
        return Gateway(None, None, None, f"{words}, but {doubt}")
    return Gateway(False, None, None, f"{words}, and no process is at its files")


def _tell_holder(port: int, bound: bool | None) -> str:
    listener = find_listener(port) if bound else None
    if listener is None:
        return "answers" if bound else "cannot be probed"
    known = ", which is no gateway" if listener.is_gateway is False else ""
    return f"is held by {listener}{known}"


def _doubt_by_users(table: Table, databases: Databases) -> str | None:
    """Name a process that works on the state directory, and may be its gateway."""
    for process in table.found:
        if process.ledger is not None:
            return f"process {process.pid} ({process.name}) writes {process.ledger}"
        if process.is_ours:
            return f"process {process.pid} ({process.name}) may be its gateway, and is starting"
    for path, pid in databases.users:
        who = f"process {pid}" if pid else "a process that cannot be seen from here"
        return f"{who} has {path} open"
    return None


def _doubt_by_transcripts(installation: Installation) -> str | None:
    owner = find_transcript_owner(installation)
    if owner is None:
        return None
    return f"process {owner[1]}, which lives, holds the lock of a run's transcript: {owner[0]}"


def _doubt_by_what_is_hidden(
    installation: Installation, env: Mapping[str, str], table: Table, databases: Databases
) -> str | None:
    """Name what could not be read; databases that no process has open outweigh all of it."""
    unread = [process for process in table.found if process.is_ours is None]
    young = [process for process in unread if _is_young(process.pid)]
    if young or (unread and not databases.closed):
        pid = (young or unread)[0].pid
        return f"whose gateway process {pid} is cannot be read from here"
    if databases.closed:
        return None
    if table.hidden is not None:
        return table.hidden
    shared = may_be_shared(installation.state_dir)
    dead = None if shared is None else read_dead_lock(installation, env)
    return None if dead is not None and not dead.before_boot else shared


def _is_young(pid: int) -> bool:
    """Say whether a process may be a gateway that has not opened its databases yet."""
    started = started_ms(pid)
    return started is None or clock.now_ms() - started < _OPENS_WITHIN_MS


def read_dead_lock(installation: Installation, env: Mapping[str, str]) -> DeadOwner | None:
    """Find the newest lock that a killed or aborted gateway left behind."""
    found = [
        dead
        for path in _find_locks(installation, env, set())
        if (owner := _read_lock(path)) is not None
        and _is_gateway(owner)
        and owner_lives(owner) is False
        and find_lock_owner(path.with_name(f"{path.name}.sqlite")) is None
        and (dead := _describe_dead(path, owner)) is not None
    ]
    return max(found, key=lambda dead: dead.created_ms, default=None)


def _describe_dead(path: Path, owner: LockOwner) -> DeadOwner | None:
    if owner.pid is None:
        return None
    created_ms = owner.changed_ms if owner.created_ms is None else owner.created_ms
    return DeadOwner(
        path=path,
        pid=owner.pid,
        ticks=owner.start_ticks,
        created_ms=created_ms,
        before_boot=created_ms < booted_ms() - _CLOCK_SLACK_MS,
    )


def _is_gateway(owner: LockOwner) -> bool:
    """Say whether a lock's writer is a gateway; its helpers name another role (2026.9.6)."""
    return bool(owner.payload.get("role", "gateway") == "gateway")


def _find_locks(
    installation: Installation, env: Mapping[str, str], more_roots: set[str]
) -> Iterator[Path]:
    """List lock files that are this installation's, by name or by the path written inside."""
    config = installation.config_path
    real = os.path.realpath(config)
    digests = {hashlib.sha256(os.fsencode(path)).hexdigest()[:8] for path in (str(config), real)}
    users = {0, os.getuid(), installation.state_dir.stat().st_uid}
    roots = {"/tmp", *list_temp_roots(env), *more_roots}  # noqa: S108
    own = os.path.join(os.path.realpath(installation.state_dir), "tmp")  # noqa: PTH118
    for user in sorted(users):
        if _exists(path := Path(own) / f"openclaw-{user}" / _STATE_LOCK):
            yield path
    roots.add(own)
    for folder in sorted(Path(root) / f"openclaw-{user}" for root in roots for user in users):
        for path in _list_locks(folder):
            owner = None if path.name[8:16] in digests else _read_lock(path)
            if path.name[8:16] in digests or (
                owner is not None and _names(str(owner.payload.get("configPath")), real)
            ):
                yield path


def _list_locks(folder: Path) -> list[Path]:
    """List the locks in a folder; empty if the folder may not be read."""
    try:
        return sorted(folder.glob("gateway.????????.lock"))
    except OSError:
        return []


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _names(path: str, real: str) -> bool:
    """Say whether the path in a lock leads to a real path."""
    return can_be_path(path) and os.path.realpath(path) == real


def _read_lock(path: Path) -> LockOwner | None:
    """Read a lock; None while it is empty, torn, or may not be read."""
    try:
        owner = read_owner(path)
    except OSError:
        return None
    return None if owner is None or owner.pid is None else owner


def _is_fresh(path: Path) -> bool:
    try:
        # The age of a lock from the future, by a clock that was set back, is unknown.
        return 0 <= clock.now_ms() - path.stat().st_mtime_ns // 1_000_000 < _FRESH_MS
    except OSError:
        return False
