"""The record of a header that was written anew, and the comparisons that prove it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pydantic import ValidationError

from tailflip.base.durable import naming
from tailflip.base.errors import StoreInvalid
from tailflip.flow.outcomes import ActionKind
from tailflip.flow.values import Value
from tailflip.stores import recovery
from tailflip.stores.replace import write_file

if TYPE_CHECKING:
    from tailflip.base.state_dir import Home
    from tailflip.base.workspace import Workspace

CHUNK_BYTES = 1 << 18


class HeaderChange(Value):
    """The record of one action: `changes.json` in its archive.

    `bytes` is the size of the new file, `header_bytes` that of its first line. In the old file the
    rest began at `rest`.
    """

    version: int = 1
    action: str
    kind: ActionKind
    state_dir: str
    store: str
    created_ms: int
    words: tuple[str, ...]
    bytes: int
    header_bytes: int
    rest: int
    sha256: str


def keep_change(workspace: Workspace, change: HeaderChange) -> None:
    """Write the record into the archive of its action, and sync it."""
    disk, folder = workspace.disk, workspace.home.archive(change.action)
    disk.mkdir(folder, 0o700)
    text = change.model_dump_json(indent=2) + "\n"
    write_file(disk, folder / recovery.CHANGES, text.encode())
    disk.fsync_dir(folder)
    disk.fsync_dir(folder.parent)


def read_change(home: Home, action_id: str) -> HeaderChange:
    """Read the record of an action.

    Raises:
        StoreInvalid: it is missing or damaged.
    """
    path = home.archive(action_id) / recovery.CHANGES
    with naming(path):
        try:
            return HeaderChange.model_validate_json(path.read_bytes())
        except ValidationError as e:
            raise StoreInvalid(
                f"record of changes is damaged: {path}",
                hint=f"nothing was changed; {home.quarantined(action_id)} is the whole old file",
            ) from e


def is_same_from(fd: int, at: int, other_fd: int, other_at: int, size: int | None) -> bool:
    """Compare two files from given bytes on, for `size` bytes or to their ends."""
    done = 0
    while size is None or done < size:
        most = CHUNK_BYTES if size is None else min(CHUNK_BYTES, size - done)
        chunk = os.pread(fd, most, at + done)
        if chunk != os.pread(other_fd, most, other_at + done):
            return False
        if not chunk:
            return size is None
        done += len(chunk)
    return True
