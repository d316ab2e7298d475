"""Finds the heap limit of a gateway's Node: asks that Node, and takes the cgroup's if lower.

V8 adds a reserve for young objects to `--max-old-space-size`, by Node's release and the machine's
memory: 192 MB for 400 MB on Node 24. What counts at a death is the sum, so the sum is shown.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tailflip.base.units import format_bytes
from tailflip.flow.late import dataclass
from tailflip.flow.outcomes import HeapLimit
from tailflip.observe.gateway.cgroup import read_limit

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCRIPT = "process.stdout.write(String(v8.getHeapStatistics().heap_size_limit))"
_TIMEOUT_S = 10
_PASSED = ("HOME", "LANG", "PATH", "TMPDIR")
_OLD_SPACE = re.compile(r"--max-old-space-size=([0-9]{1,9})")
_NODE_VERSION = re.compile(r"v([0-9]{1,4})\.([0-9]{1,6})\.([0-9]{1,6})")
_CGROUP = "memory limit of the cgroup"
_answers: dict[str, int] = {}  # of this process: a verb asks more than once


@dataclass(frozen=True)
class HeapOwner:
    """What sizes the heap of a gateway, and for people `who` says that.

    `env` is the gateway's; those of its `NODE_OPTIONS` that size the heap are passed on. `node`
    None takes the one on its PATH. `flags` are words of its command; those that size the heap
    count. `memory_bytes` is the limit of its cgroup. `doubt` says what could not be read.
    """

    who: str
    env: Mapping[str, str] = field(repr=False)
    node: str | None = None
    flags: tuple[str, ...] = field(default=(), repr=False)
    memory_bytes: int | None = None
    doubt: str | None = None

    @classmethod
    def of_ours(
        cls,
        who: str,
        env: Mapping[str, str],
        node: str | None,
        flags: tuple[str, ...],
        doubt: str | None = None,
    ) -> HeapOwner:
        """Describe a gateway that is started from here, in our own cgroup."""
        return cls(who, env, node, flags, read_limit(None), doubt)

    @property
    def options(self) -> str:
        """The options that size the heap: others may load code, open ports or write files."""
        words = " ".join([self.env.get("NODE_OPTIONS", ""), *self.flags]).replace("_", "-").split()
        sizing = ("--max-", "--min-", "--semi-", "--huge-max-")
        return " ".join(word for word in words if word.startswith(sizing))


class Cache(Protocol):
    """Keeps node's answer across processes."""

    def get(self, key: str) -> int | None:
        """Return the answer under this key; None if another key was put since."""

    def put(self, key: str, answer_bytes: int, limit: HeapLimit) -> None:
        """Keep an answer under a key, with the limit that follows from it."""


def read_heap_limit(owner: HeapOwner, cache: Cache | None = None) -> HeapLimit:
    """Find a gateway's heap limit, and say where it is from.

    Args:
        owner: what sizes the heap.
        cache: keeps node's answer until a part of its key changes.
    """
    program = owner.node or shutil.which("node", path=owner.env.get("PATH"))
    if program is None:
        return _bound(owner, None, "unknown: no node on the PATH")
    key = _key(program, owner)
    answer = _answers.get(key) or (None if cache is None else cache.get(key))
    is_new = answer is None
    if answer is None:
        answer = _ask_size(owner, program)
    if answer is None:
        return _bound(owner, None, f"unknown: {program} did not answer")
    _answers[key] = answer
    limit = _bound(owner, answer, _describe(program, owner.options, answer))
    if cache is not None and is_new:
        cache.put(key, answer, limit)
    return limit


def _bound(owner: HeapOwner, limit_bytes: int | None, source: str) -> HeapLimit:
    """Take the cgroup's limit if it is lower, and name whose limit it is."""
    memory = owner.memory_bytes
    if memory is not None and (limit_bytes is None or memory < limit_bytes):
        limit_bytes, source = memory, _CGROUP
    if owner.who and limit_bytes is not None:
        source = f"{owner.who}: {source}"
    if owner.doubt is not None:
        source += f"; {owner.doubt}"
    return HeapLimit(limit_bytes, source, is_known=limit_bytes is not None and owner.doubt is None)


def _describe(program: str, options: str, limit_bytes: int) -> str:
    """Name the node and its options, and V8's reserve, which makes the limit larger than asked."""
    asked = _OLD_SPACE.findall(options)
    text = f"{program} {options}".rstrip()
    reserve = limit_bytes - (int(asked[-1]) << 20) if asked else 0
    return text if reserve <= 0 else f"{text} and V8's reserve of {format_bytes(reserve)}"


def _key(program: str, owner: HeapOwner) -> str:
    """Name all that node's answer depends on: V8's default follows the machine's memory."""
    try:
        info = Path(program).stat()
        what = f"{program} {info.st_size} {info.st_mtime_ns}"
    except OSError:
        what = program
    return f"{what} {owner.options} {owner.memory_bytes} {os.sysconf('SC_PHYS_PAGES')}"


def read_node_version(owner: HeapOwner) -> tuple[int, int, int] | None:
    """Ask a gateway's Node for its version; None if there is none, or no answer."""
    program = owner.node or shutil.which("node", path=owner.env.get("PATH"))
    answer = None if program is None else _ask_node(owner, program, "--version")
    match = _NODE_VERSION.fullmatch(answer.strip()) if answer is not None else None
    return None if match is None else (int(match[1]), int(match[2]), int(match[3]))


def _ask_size(owner: HeapOwner, program: str) -> int | None:
    answer = _ask_node(owner, program, "-e", _SCRIPT)
    return int(answer) if answer is not None and answer.strip().isdecimal() else None


def _ask_node(owner: HeapOwner, program: str, *words: str) -> str | None:
    passed = {name: owner.env[name] for name in _PASSED if name in owner.env}
    try:
        return subprocess.run(
            [program, *words],
            env={**passed, "NODE_OPTIONS": owner.options},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_TIMEOUT_S,
            check=True,
        ).stdout.decode("ascii", "replace")
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
