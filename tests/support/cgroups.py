"""A memory cgroup of the test's own, in which the kernel kills as in a small container."""

from __future__ import annotations

import os
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tailflip.observe.gateway.vitals import read_cgroup

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DEADLINE_S = 30
_ENTER = 'echo $$ > "$0" && exec "$@"'


@dataclass(frozen=True)
class MemoryCgroup:
    """A cgroup with a limit and without swap."""

    folder: Path
    is_v1: bool

    @property
    def members(self) -> Path:
        """The file that takes the pid of a new member."""
        return self.folder / "cgroup.procs"

    @property
    def prefix(self) -> tuple[str, ...]:
        """What to put before a command that is to run in it."""
        return ("sh", "-c", _ENTER, str(self.members))

    @property
    def peak_bytes(self) -> int:
        """The most memory that its members had at once, page cache included."""
        name = "memory.max_usage_in_bytes" if self.is_v1 else "memory.peak"
        return int((self.folder / name).read_text())

    @property
    def oom_kills(self) -> int:
        """How many members the kernel has killed."""
        name = "memory.oom_control" if self.is_v1 else "memory.events"
        lines = (self.folder / name).read_text().splitlines()
        return int(dict(line.split() for line in lines)["oom_kill"])


@contextmanager
def memory_cgroup(limit_bytes: int) -> Iterator[MemoryCgroup]:
    """Make a cgroup below ours for as long as the block runs; skip the test where not allowed."""
    ours = read_cgroup(os.getpid())
    if ours is None:
        pytest.skip("no memory cgroup here")
    is_v1 = (ours.path / "memory.limit_in_bytes").exists()
    folder = ours.path / f"tailflip-test-{uuid.uuid4().hex}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"cannot make a cgroup: {error}")
    made = MemoryCgroup(folder, is_v1)
    limit = "memory.limit_in_bytes" if is_v1 else "memory.max"
    swap = "memory.memsw.limit_in_bytes" if is_v1 else "memory.swap.max"
    try:
        try:
            (folder / limit).write_text(str(limit_bytes))
            if (folder / swap).exists():
                (folder / swap).write_text(str(limit_bytes if is_v1 else 0))
        except OSError as error:
            pytest.skip(f"memory is not controlled below our cgroup: {error}")
        yield made
    finally:
        until = time.monotonic() + _DEADLINE_S
        while made.members.read_text().strip() and time.monotonic() < until:
            time.sleep(0.05)
        folder.rmdir()
