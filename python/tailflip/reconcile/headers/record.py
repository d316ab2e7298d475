"""The record of a header that was written anew, and the comparisons that prove it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tailflip.reconcile.write.record import ChangeRecord, read_record
from tailflip.stores import recovery
from tailflip.stores.notes import write_note

if TYPE_CHECKING:
    from tailflip.base.state_dir import Home
    from tailflip.base.workspace import Workspace

CHUNK_BYTES = 1 << 18


class HeaderChange(ChangeRecord):
    """The record of one action: `changes.json` in its archive.

    `bytes` is the size of the new file, `header_bytes` that of its first line. In the old file the
    rest began at `rest`.
    """

    bytes: int
    header_bytes: int
    rest: int
    sha256: str


def keep_change(workspace: Workspace, change: HeaderChange) -> None:
    """Write the record into the archive of its action, and sync it."""
    workspace.disk.mkdir(workspace.home.archive(change.action), 0o700)
    write_note(workspace, change.action, recovery.CHANGES, change)


def read_change(home: Home, action_id: str) -> HeaderChange:
    """Read the record of an action.

    Raises:
        StoreInvalid: it is missing or damaged.
    """
    return read_record(home, action_id, HeaderChange, old=str(home.quarantined(action_id)))


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
