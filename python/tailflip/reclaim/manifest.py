"""The list of what one action took, which is on the disk before the first file goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.flow.values import Value
from tailflip.reclaim.patterns import Class
from tailflip.stores.notes import read_note, write_note
from tailflip.stores.recovery import RECLAIMED

if TYPE_CHECKING:
    from tailflip.base.state_dir import Home
    from tailflip.base.workspace import Workspace


class Taken(Value):
    """One file, or folder, that an action took; `digest` is BLAKE3, empty for a folder.

    `prefix_of`: its bytes were the first of this file, which stayed.
    """

    path: str
    what: str
    bytes: int
    digest: str
    mode: int
    mtime_ns: int
    proof: str
    prefix_of: str | None = None


class Manifest(Value):
    """What one action took, all of one class."""

    version: int = 1
    action: str
    kind: Class
    state_dir: str
    created_ms: int
    files: tuple[Taken, ...]


def write_manifest(workspace: Workspace, manifest: Manifest) -> None:
    """Write the list, and sync it and its name."""
    write_note(workspace, manifest.action, RECLAIMED, manifest, indent=1)


def read_manifest(home: Home, action_id: str) -> Manifest:
    """Read the list of one action.

    Raises:
        StoreInvalid: it is missing or damaged.
    """
    return read_note(home, action_id, RECLAIMED, Manifest, what="the list of what was taken")
