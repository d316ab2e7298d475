"""Is a gateway alive on this installation, and since when?

Its own lock file is the best witness: pid and start time. The lock's name hashes the
path of the configuration as the gateway spelled it, in a folder that depends on the
gateway's TMPDIR and user (2026.9.6: below its state directory, with a second lock for all of
that, which its doctor and embedded agents take too); we look wherever it can be, and compare
the path inside too. A clean exit removes the lock, a killed or aborted gateway leaves it.
A port that answers without a lock leaves the question open; nothing then counts as proof of death.

A pid says nothing in another container. 2026.9.6 also keeps a lock of the kernel's on
`<lock>.sqlite` for as long as it lives (2026.4.14 does not), which every container on the same
machine can see.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tailflip import clock, platform_calls
from tailflip.flow import Gateway
from tailflip.observe.dial import is_listening
from tailflip.observe.files import can_be_path, read_regular
from tailflip.observe.process import booted_ms, is_alive, started_ms

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tailflip.observe.installation import Installation

_MAX_LOCK_BYTES = 64 << 10
_PROBE_S = 1.0
_LOOPBACK = "127.0.0.1"
_FRESH_MS = 30_000  # the gateway itself waits that long for the owner of a lock it cannot read
_CLOCK_SLACK_MS = 5_000
_STATE_LOCK = "gateway.state.lock"


@dataclass(frozen=True)
class DeadOwner:
    """The writer of a gateway lock that no longer lives.

    `ticks` is its start in clock ticks since boot, None where it wrote none. `created_ms` is
    when it took the lock, soon after its start. `before_boot`: the machine was started again
    since, so that it need not have ended by itself.
    """

    path: Path
    pid: int
    ticks: int | None
    created_ms: int
    before_boot: bool


def read_gateway(installation: Installation, env: Mapping[str, str]) -> Gateway:
    """Tell whether a gateway lives, from its lock, its process and its port."""
    unreadable = False
    writer: str | None = None
    for path in _find_locks(installation, env):
        owner = _read_lock(path)
        if owner is None:
            unreadable = unreadable or _is_fresh(path)
        elif _owns(owner):
            pid = int(owner["pid"])
            if not _is_gateway(owner):
                writer = f"lock {path} is held by pid {pid}, which is no gateway"
                continue
            return Gateway(True, pid, started_ms(pid), f"lock {path} is held by pid {pid}")
        elif _is_locked(path.with_name(f"{path.name}.sqlite")):
            writer = f"lock {path} is held by a process that cannot be seen from here"
    if writer is not None:
        return Gateway(None, None, None, writer)
    bound = is_listening(_LOOPBACK, installation.port, _PROBE_S)
    where = f"port {installation.port}"
    if bound is False and not unreadable:
        return Gateway(False, None, None, f"no lock with a living owner, {where} is free")
    if bound is False:
        return Gateway(None, None, None, f"a fresh lock cannot be read, {where} is free")
    state = "answers" if bound else "cannot be probed"
    return Gateway(None, None, None, f"no lock with a living owner, but {where} {state}")


def read_dead_lock(installation: Installation, env: Mapping[str, str]) -> DeadOwner | None:
    """Find the newest lock that a gateway left behind when it was killed or aborted."""
    found = [
        dead
        for path in _find_locks(installation, env)
        if (owner := _read_lock(path)) is not None
        and _is_gateway(owner)
        and not _owns(owner)
        and not _is_locked(path.with_name(f"{path.name}.sqlite"))
        and (dead := _describe_dead(path, owner)) is not None
    ]
    return max(found, key=lambda dead: dead.created_ms, default=None)


def _describe_dead(path: Path, owner: dict[str, Any]) -> DeadOwner | None:
    ticks = owner.get("startTime")
    try:
        written_ms = path.stat().st_mtime_ns // 1_000_000
    except OSError:
        return None  # the next gateway has just taken it away
    created_ms = _created_ms(owner) or written_ms
    return DeadOwner(
        path=path,
        pid=owner["pid"],
        ticks=ticks if type(ticks) is int else None,
        created_ms=created_ms,
        before_boot=created_ms < booted_ms() - _CLOCK_SLACK_MS,
    )


def _is_gateway(owner: dict[str, Any]) -> bool:
    """Say whether a lock's writer serves; its helpers name another role (2026.9.6)."""
    return bool(owner.get("role", "gateway") == "gateway")


def _find_locks(installation: Installation, env: Mapping[str, str]) -> Iterator[Path]:
    """List lock files that are this installation's, by name or by the path written inside."""
    config = installation.config_path
    real = os.path.realpath(config)
    digests = {hashlib.sha256(os.fsencode(path)).hexdigest()[:8] for path in (str(config), real)}
    users = {os.getuid(), installation.state_dir.stat().st_uid}
    roots = {env.get(name) or "/tmp" for name in ("TMPDIR", "TMP", "TEMP")} | {"/tmp"}  # noqa: S108
    own = os.path.join(os.path.realpath(installation.state_dir), "tmp")  # noqa: PTH118
    for user in users:
        if os.path.lexists(path := Path(own) / f"openclaw-{user}" / _STATE_LOCK):
            yield path
    roots.add(own)
    for folder in sorted(Path(root) / f"openclaw-{user}" for root in roots for user in users):
        for path in sorted(folder.glob("gateway.????????.lock")):
            owner = None if path.name[8:16] in digests else _read_lock(path)
            if path.name[8:16] in digests or (
                owner is not None and _names(str(owner.get("configPath")), real)
            ):
                yield path


def _names(path: str, real: str) -> bool:
    """Say whether what a lock holds for a path leads there."""
    return can_be_path(path) and os.path.realpath(path) == real


def _read_lock(path: Path) -> dict[str, Any] | None:
    """Read a lock's payload; None while it is empty, torn, or not ours to read."""
    try:
        payload = json.loads(read_regular(path, _MAX_LOCK_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(payload, dict) or type(payload.get("pid")) is not int:
        return None
    return payload


def _owns(payload: dict[str, Any]) -> bool:
    """Say whether the lock's writer still lives; guards against a pid that was used again."""
    ticks = payload.get("startTime")
    pid: int = payload["pid"]
    if not is_alive(pid, ticks if type(ticks) is int else None):
        return False
    if type(ticks) is int:
        return True
    # Up to 2026.7 the gateway writes no start time on macOS: a process younger than the lock
    # can not have written it.
    created_ms = _created_ms(payload)
    started = started_ms(pid)
    if created_ms is None or started is None:
        return True
    return started <= created_ms + _CLOCK_SLACK_MS


def _is_locked(path: Path) -> bool:
    """Say whether any process of this machine holds a lock on a file, in a container or not."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return platform_calls.here.is_locked(fd)
    except OSError:
        return False
    finally:
        os.close(fd)


def _created_ms(payload: dict[str, Any]) -> int | None:
    try:
        return int(datetime.fromisoformat(str(payload.get("createdAt"))).timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        return None


def _is_fresh(path: Path) -> bool:
    try:
        return clock.now_ms() - path.stat().st_mtime_ns // 1_000_000 < _FRESH_MS
    except OSError:
        return False
