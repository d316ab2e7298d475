"""Finds which files, and which folders, any process has open: descriptors, maps, places, arguments.

A process of another user cannot be looked into without root's rights. Such a one does not count: a
file of ours that it reads stays readable to it, and what it writes is not ours. A process of our
own user that hides, and a container, which does not show all, are told in `hidden`.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from tailflip.base import platform_calls
from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MAP_FIELDS = 6  # proc(5), /proc/pid/maps: the last is the path


@dataclass(frozen=True)
class OpenFiles:
    """What all processes but this one use, as far as it can be seen.

    `inodes` are (device, inode) of open files. `paths` are those of open and mapped files, of
    current directories, and the words of command lines, as far as they hold one of the marks that
    were asked for. `hidden` says why there may be more.
    """

    inodes: frozenset[tuple[int, int]] = frozenset()
    paths: tuple[str, ...] = ()
    hidden: str | None = None

    def uses_file(self, info: os.stat_result) -> bool:
        """Say whether a process has the file open."""
        return (info.st_dev, info.st_ino) in self.inodes

    def uses_folder(self, folder: str) -> bool:
        """Say whether a process has something open in the folder, stands in it, or was given it."""
        return any(folder in path for path in self.paths)


def read_open_files(devices: frozenset[int], marks: tuple[str, ...] = ()) -> OpenFiles:
    """Look at every process once.

    Args:
        devices: only files on these devices are told apart.
        marks: a path that holds one of them is told.
    """
    here = platform_calls.here
    if not isinstance(here, platform_calls.Linux):
        return OpenFiles(hidden="open files cannot be seen on this system")
    inodes: set[tuple[int, int]] = set()
    paths: set[str] = set()
    hidden = None
    if here.is_in_container():
        hidden = "this is a container, and processes outside of it cannot be seen"
    elif os.geteuid() != 0 and not os.access(here.proc / "1" / "cmdline", os.R_OK):
        hidden = "the processes of other users are hidden"
    for pid in _list_pids(here.proc):
        folder = f"{here.proc}/{pid}"
        try:
            for path in _look_into(folder, devices, inodes):
                if any(mark in path for mark in marks):
                    paths.add(path)
        except FileNotFoundError:
            continue  # it ended
        except OSError:
            # Outside of a container the first process is the machine's init, and no writer of ours.
            if pid != 1 and _is_of(folder, os.geteuid()):
                hidden = hidden or f"what process {pid} has open cannot be seen"
    return OpenFiles(frozenset(inodes), tuple(sorted(paths)), hidden)


def _look_into(folder: str, devices: frozenset[int], inodes: set[tuple[int, int]]) -> Iterator[str]:
    """Collect the open files of a process, and yield the paths that it uses.

    Raises:
        OSError: it has ended, or may not be looked into.
    """
    names = os.listdir(f"{folder}/fd")  # noqa: PTH208
    for name in names:
        with suppress(OSError):  # it was closed meanwhile
            link = f"{folder}/fd/{name}"
            info = os.stat(link)  # noqa: PTH116
            if info.st_dev in devices:
                inodes.add((info.st_dev, info.st_ino))
            yield os.readlink(link)  # noqa: PTH115
    for name in ("cwd", "exe"):
        with suppress(OSError):
            yield os.readlink(f"{folder}/{name}")  # noqa: PTH115
    with open(f"{folder}/maps", "rb") as lines:  # noqa: PTH123
        for line in lines:
            fields = line.split(maxsplit=_MAP_FIELDS - 1)
            if len(fields) == _MAP_FIELDS and fields[5].startswith(b"/"):
                path = os.fsdecode(fields[5].rstrip(b"\n"))
                with suppress(OSError):
                    info = os.stat(path)  # noqa: PTH116
                    if info.st_dev in devices and info.st_ino == int(fields[4]):
                        inodes.add((info.st_dev, info.st_ino))
                yield path
    with open(f"{folder}/cmdline", "rb") as words:  # noqa: PTH123
        yield from os.fsdecode(words.read()).split("\0")


def _list_pids(proc: Path) -> list[int]:
    own = os.getpid()
    return [int(name) for name in os.listdir(proc) if name.isdigit() and int(name) != own]  # noqa: PTH208


def _is_of(folder: str, uid: int) -> bool:
    try:
        return os.stat(folder).st_uid == uid  # noqa: PTH116
    except OSError:
        return False
