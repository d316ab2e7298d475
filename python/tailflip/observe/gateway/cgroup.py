"""Reads the memory of a process's cgroup: use, limit, and the kernel's kills in it.

The kernel counts a kill in the cgroup of the killed process, whichever ran out of memory: this
cgroup, one above it, or the whole machine. Use differences of the counters, and compare while
`path`, the cgroup, stays the same. Source: Linux, cgroup-v2.rst "memory.events",
cgroup-v1/memory.rst "memory.oom_control".
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.base import platform_calls
from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

_ROOT = Path("/sys/fs/cgroup")
_UNLIMITED_BYTES = 1 << 60  # cgroup v1 writes a huge number for no limit


@dataclass(frozen=True)
class CgroupMemory:
    """The memory of one cgroup.

    `max_bytes` is the tightest limit from there up to the root, None where there is none.
    `oom_kills` counts processes, `oom_group_kills` kills of the cgroup as a whole (0 in v1); both
    since the cgroup was made.
    """

    path: Path
    current_bytes: int | None
    max_bytes: int | None
    oom_kills: int
    oom_group_kills: int


@dataclass(frozen=True)
class _Names:
    """The names of the files in one version of cgroups."""

    current: str
    limit: str
    events: str


_V2 = _Names("memory.current", "memory.max", "memory.events")
_V1 = _Names("memory.usage_in_bytes", "memory.limit_in_bytes", "memory.oom_control")


def read_cgroup(pid: int, root: Path = _ROOT) -> CgroupMemory | None:
    """Read the memory cgroup of a process; None where it has none that is visible here."""
    names, folders = _list_folders(pid, root)
    for at, folder in enumerate(folders):
        counts = _read_counts(folder / names.events)
        if counts is not None:
            return CgroupMemory(
                path=folder,
                current_bytes=_read_bytes(folder / names.current),
                max_bytes=_find_tightest(folders[at:], names),
                oom_kills=counts.get("oom_kill", 0),
                oom_group_kills=counts.get("oom_group_kill", 0),
            )
    return None


def read_limit(pid: int | None, root: Path = _ROOT) -> int | None:
    """Read the tightest memory limit of a process's cgroup and those above; None is our own pid."""
    names, folders = _list_folders(pid, root)
    return _find_tightest(folders, names)


def _list_folders(pid: int | None, root: Path) -> tuple[_Names, list[Path]]:
    """List the folders that may account a process's memory, from its own cgroup up to the root.

    In a container the path may be of the host's tree; our cgroup is then the root of the mount.
    """
    base, inner, names = _find_mount(platform_calls.here.cgroup_lines(pid), root)
    if inner is None:
        return names, []
    parts = [part for part in inner.split("/") if part not in ("", "..")]
    return names, [base.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1)]


def _find_mount(lines: Iterable[str], root: Path) -> tuple[Path, str | None, _Names]:
    """Find the path in v1's memory controller, else in v2; a hybrid host counts in v1."""
    v2 = None
    for line in lines:
        number, controllers, inner = (*line.split(":", 2), "", "")[:3]
        if "memory" in controllers.split(","):
            return root / "memory", inner, _V1
        if number == "0" and not controllers:
            v2 = inner
    return root, v2, _V2


def _find_tightest(folders: Iterable[Path], names: _Names) -> int | None:
    limits = [_read_bytes(folder / names.limit) for folder in folders]
    return min((limit for limit in limits if limit is not None), default=None)


def _read_counts(path: Path) -> dict[str, int] | None:
    """Read lines of a name and a number; None where the file is missing (v2's root)."""
    lines = [line.split() for line in _read(path)]
    counts = {words[0]: int(words[1]) for words in lines if len(words) == 2 and words[1].isdigit()}  # noqa: PLR2004
    return counts or None


def _read_bytes(path: Path) -> int | None:
    text = "".join(_read(path)).strip()
    return int(text) if text.isdigit() and int(text) < _UNLIMITED_BYTES else None


def _read(path: Path) -> list[str]:
    """Read a file of the kernel; empty if it is missing."""
    try:
        return path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
