"""Writes the header of a transcript anew, while no gateway lives.

The steps are those of each change of a file: the intent in our ledger, the original whole in
quarantine, the new file beside the old one, synced and read back (every other line the same bytes),
then one rename under the session's own lock. `recovery` settles what was cut off in between.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from tailflip.base.durable import naming, open_regular
from tailflip.base.errors import StoreInvalid
from tailflip.flow.late import dataclass
from tailflip.flow.outcomes import ActionKind
from tailflip.observe.records.heads import Head
from tailflip.observe.records.transcript_files import read_head
from tailflip.reconcile.headers.header import find_cwd, plan_header
from tailflip.reconcile.headers.leave import require_dead, require_ours, require_there
from tailflip.reconcile.headers.record import CHUNK_BYTES, HeaderChange, is_same_from, keep_change
from tailflip.stores import draft as drafts
from tailflip.stores import recovery
from tailflip.stores.preflight import find_missing_room, find_refusals, refuse
from tailflip.stores.replace import try_attempts

if TYPE_CHECKING:
    from pathlib import Path

    from tailflip.base.durable import Disk
    from tailflip.base.workspace import Workspace
    from tailflip.flow.observed import Gateway
    from tailflip.observe.installation import Installation
    from tailflip.reconcile.headers.header import NewHeader
    from tailflip.stores.replace import Source

_HEADER_BEGIN = b'\n{"type":"session"'


@dataclass(frozen=True)
class Healed:
    """A transcript whose header was written anew, or would be; `action_id` is None until then."""

    path: Path
    size_bytes: int
    action_id: str | None = None

    @property
    def undo(self) -> str | None:
        """The command that undoes it."""
        return None if self.action_id is None else f"tailflip restore {self.action_id} --apply"


def heal_header(
    path: Path,
    installation: Installation,
    gateway: Gateway,
    *,
    workspace: Workspace,
    apply: bool,
    now_ms: int,
) -> Healed:
    """Write the header of a headless transcript anew; without `apply`, plan it only.

    Raises:
        TryLater: A gateway lives, or may; or the transcript is locked, or keeps changing.
        NoPermission: It is another user's.
        StoreInvalid: It is a link, has other names, or is not clearly a transcript.
        OnRecord: A gateway has it on record.
        CannotCreate: No room.
    """
    require_dead(gateway, path)
    require_ours(path)
    cwd = find_cwd(installation, path)
    with naming(path):
        if not apply:
            with open_regular(path) as fd:
                plan_header(path, fd, cwd)
                return Healed(path, os.fstat(fd).st_size)

        def attempt(source: Source) -> Healed:
            require_ours(path)
            return _heal_once(
                source, cwd, installation=installation, workspace=workspace, now_ms=now_ms
            )

        with workspace.claim():
            recovery.settle_all(workspace)
            refuse(find_refusals(path, installation.state_dir, gateway=gateway))
            return try_attempts(path, workspace.disk, attempt, installation.state_dir)


def _heal_once(
    source: Source,
    cwd: str,
    *,
    installation: Installation,
    workspace: Workspace,
    now_ms: int,
) -> Healed:
    fd = require_there(source)
    header = plan_header(source.store, fd, cwd)
    size_bytes = source.size_bytes
    new_bytes = size_bytes - header.rest + len(header.line)
    # The original is copied whole; what may be removed is counted as a quarter, for archives.
    refuse(
        find_missing_room(
            source.real, workspace.home, new_bytes=new_bytes, removed_bytes=4 * size_bytes
        )
    )
    disk = workspace.disk
    with drafts.begin(workspace, source, kind=ActionKind.HEADERS, now_ms=now_ms) as draft:
        source.copy_to(disk, workspace.home.quarantined(draft.action.id))
        digest = _write(source.store, disk, fd, header, draft.fds[0])
        # A run counts as alive whose transcript was written a moment ago.
        disk.set_time(draft.fds[0], os.fstat(fd).st_mtime_ns)
        change = HeaderChange(
            action=draft.action.id,
            kind=ActionKind.HEADERS,
            state_dir=str(installation.state_dir),
            store=str(source.store),
            created_ms=now_ms,
            words=(f"header written anew: {source.store.name}",),
            bytes=new_bytes,
            header_bytes=len(header.line),
            rest=header.rest,
            sha256=digest,
        )
        keep_change(workspace, change)
        drafts.commit(
            workspace,
            draft,
            digest=digest,
            is_as_written=lambda written: _is_healed(written, fd, header, new_bytes),
        )
        drafts.finish(workspace, draft)
    if read_head(source.real).head is not Head.WHOLE:
        raise StoreInvalid(
            f"the new header of a transcript cannot be read: {source.store}",
            hint=f"`tailflip restore {draft.action.id} --apply` puts the old bytes back",
        )
    return Healed(source.store, new_bytes, draft.action.id)


def _write(path: Path, disk: Disk, old_fd: int, header: NewHeader, new_fd: int) -> str:
    """Write the header, then the rest of the old file; return the digest of all.

    Raises:
        StoreInvalid: there is a header further down.
    """
    digest, before = hashlib.sha256(header.line), b""
    disk.write(new_fd, header.line)
    offset = header.rest
    while chunk := os.pread(old_fd, CHUNK_BYTES, offset):
        if _HEADER_BEGIN in before + chunk:
            raise StoreInvalid(
                f"transcript has a header further down: {path}; nothing was changed",
                hint="two transcripts may have run into one: compare it with a backup",
            )
        before = chunk[-len(_HEADER_BEGIN) :]
        digest.update(chunk)
        disk.write(new_fd, chunk)
        offset += len(chunk)
    return digest.hexdigest()


def _is_healed(new_fd: int, old_fd: int, header: NewHeader, new_bytes: int) -> bool:
    """Read the new file again: its header, and behind it the very bytes of the old one."""
    size = len(header.line)
    return (
        os.fstat(new_fd).st_size == new_bytes
        and os.pread(new_fd, size, 0) == header.line
        and is_same_from(new_fd, size, old_fd, header.rest, None)
    )
