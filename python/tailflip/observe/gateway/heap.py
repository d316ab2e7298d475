"""Finds the heap limit of the gateway's Node: asks that Node, and takes the cgroup's if lower."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tailflip.observe.gateway.cgroup import read_limit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SCRIPT = "process.stdout.write(String(v8.getHeapStatistics().heap_size_limit))"
_TIMEOUT_S = 10
_PASSED = ("HOME", "LANG", "PATH", "TMPDIR")


def read_heap_limit(
    env: Mapping[str, str],
    node: str | None = None,
    *,
    pid: int | None = None,
    flags: Iterable[str] = (),
    cache: Cache | None = None,
) -> tuple[int | None, str]:
    """Find the gateway's heap limit in bytes, and say where it is from.

    Args:
        env: of the gateway; those of its `NODE_OPTIONS` that size the heap are passed on.
        node: the gateway's node; None takes the one on the PATH.
        pid: of a living gateway, for its cgroup; None takes ours.
        flags: words of the gateway's command; those that size the heap count.
        cache: keeps node's answer until a part of its key changes.
    """
    cgroup = read_limit(pid)
    options = _heap_options(" ".join([env.get("NODE_OPTIONS", ""), *flags]))
    program = node or shutil.which("node", path=env.get("PATH"))
    if program is None:
        limit, source = None, "unknown: no node on the PATH"
    elif cache is None:
        limit, source = _ask_node(env, program, options)
    else:
        key = _key(program, options, cgroup)
        limit, source = cache.get(key) or (None, "")
        if limit is None:
            limit, source = _ask_node(env, program, options)
            if limit is not None:
                cache.put(key, limit, source)
    if cgroup is not None and (limit is None or cgroup < limit):
        return cgroup, "memory limit of the cgroup"
    return limit, source


class Cache(Protocol):
    """Keeps an answer across processes."""

    def get(self, key: str) -> tuple[int, str] | None:
        """Return the answer under this key; None if another key was put since."""

    def put(self, key: str, limit_bytes: int, source: str) -> None:
        """Keep an answer under a key."""


def _key(program: str, options: str, cgroup: int | None) -> str:
    """Name all that node's answer depends on: V8's default follows the machine's memory."""
    try:
        info = Path(program).stat()
        what = f"{program} {info.st_size} {info.st_mtime_ns}"
    except OSError:
        what = program
    return f"{what} {options} {cgroup} {os.sysconf('SC_PHYS_PAGES')}"


def _ask_node(env: Mapping[str, str], program: str, options: str) -> tuple[int | None, str]:
    passed = {name: env[name] for name in _PASSED if name in env}
    try:
        answer = subprocess.run(
            [program, "-e", _SCRIPT],
            env={**passed, "NODE_OPTIONS": options},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=True,
        ).stdout
        return int(answer), f"{program} {options}".rstrip()
    except (OSError, ValueError, subprocess.SubprocessError):
        return None, f"unknown: {program} did not answer"


def _heap_options(options: str) -> str:
    """Keep the options that size the heap: others may load code, open ports or write files."""
    words = options.replace("_", "-").split()
    return " ".join(
        word for word in words if word.startswith(("--max-", "--min-", "--semi-", "--huge-max-"))
    )
