"""Reads the room that a file system has left."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from pathlib import Path

_SCARCE_BYTES = 64 << 20
_SCARCE_SHARE = 20  # of a file system smaller than this many times `_SCARCE_BYTES`
_SCARCE_FILES = 100
# OpenClaw's own doctor warns below this. A small file system is low below a twentieth of it.
_LOW_BYTES = 500_000_000


@dataclass(frozen=True)
class Space:
    """The room on the file system of `path`, in bytes, for this process's user.

    `free_files` is the number of further files; None where the file system does not count them.
    """

    path: Path
    device: int
    free_bytes: int
    total_bytes: int
    free_files: int | None = None

    @property
    def is_scarce(self) -> bool:
        """Say whether the next save of a store, or of a database, may fail."""
        return self.lacks_files or self.free_bytes < min(
            _SCARCE_BYTES, self.total_bytes // _SCARCE_SHARE
        )

    @property
    def is_low(self) -> bool:
        """Say whether there is so little room that a person should make some."""
        return self.is_scarce or self.free_bytes < min(
            _LOW_BYTES, self.total_bytes // _SCARCE_SHARE
        )

    @property
    def lacks_files(self) -> bool:
        """Say whether the file system can hold hardly any further file, whatever its size."""
        return self.free_files is not None and self.free_files < _SCARCE_FILES


def read_space(*paths: Path) -> tuple[Space, ...]:
    """Read the room of each file system once; a missing path counts as its parent."""
    found: dict[int, Space] = {}
    for path in paths:
        for at in (path, *path.parents):
            try:
                device, told = os.stat(at).st_dev, os.statvfs(at)  # noqa: PTH116 - no path needed
            except OSError:
                continue
            space = Space(
                path,
                device,
                told.f_bavail * told.f_frsize,
                told.f_blocks * told.f_frsize,
                told.f_favail if told.f_files else None,
            )
            found.setdefault(device, space)
            break
    return tuple(found.values())
