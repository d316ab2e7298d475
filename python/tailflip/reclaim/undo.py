"""Puts back what an action took: history from its archive, copies from the file that stayed.

A file that is there again is never replaced. Each comes back under a name of ours first, is synced
and compared, and then gets its own name.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.base import clock
from tailflip.base.durable import explain_os_error, open_regular
from tailflip.base.errors import ArchiveDamaged, StoreInvalid, TailflipError
from tailflip.flow.outcomes import ActionKind, Report
from tailflip.ledger.actions import Action, Details, Ledger, State
from tailflip.reclaim.manifest import read_manifest
from tailflip.reclaim.patterns import Class
from tailflip.stores import archive, recovery
from tailflip.stores import draft as drafts
from tailflip.stores.mentions import compare
from tailflip.stores.records import RecordReader
from tailflip.stores.restore import RestoreOutcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tailflip.base.workspace import Workspace
    from tailflip.reclaim.manifest import Manifest, Taken

_COPY_BYTES = 256 << 10
_GONE = {
    Class.DEBRIS: "half-written files and locks",
    Class.CAPTURES: "scratch folders, which the gateway makes anew",
}


def undo(workspace: Workspace, action: Action, *, apply: bool, now_ms: int) -> RestoreOutcome:
    """Put back the files of one action; with `apply`, do it.

    Raises:
        StoreInvalid: nothing of it was kept, or the list of it is damaged.
        ArchiveDamaged: the archive is damaged; whole files before the damage came back.
    """
    manifest = read_manifest(workspace.home, action.id)
    if manifest.kind in _GONE:
        raise StoreInvalid(
            f"nothing of that action was kept: it took {_GONE[manifest.kind]}: {action.id}",
            hint="the list of what went is in its archive: `reclaimed.json`",
        )
    wanted: list[Taken] = []
    same, others = 0, []
    for taken in manifest.files:
        is_there = _is_there(taken)
        if is_there is None:
            wanted.append(taken)
        elif is_there:
            same += 1
        else:
            others.append(taken.path)
    report = None
    if apply and wanted:
        report = _put_back(workspace, action, manifest, wanted, now_ms)
    return RestoreOutcome(
        store=action.store_path,
        actions=(action.id,),
        added=len(wanted),
        replaced=0,
        unchanged=same,
        conflicts=len(others),
        conflict_keys=tuple(others[:100]),
        report=report,
        bytes_after=sum(taken.bytes for taken in wanted),
    )


def _is_there(taken: Taken) -> bool | None:
    """Say whether a file is there again with the same bytes; None if it is not there."""
    path = Path(taken.path)
    if not os.path.lexists(path):
        return None
    try:
        with open_regular(path) as fd:
            return compare(fd)[:2] == (taken.bytes, taken.digest)
    except (OSError, TailflipError):
        return False


def _put_back(
    workspace: Workspace,
    action: Action,
    manifest: Manifest,
    wanted: Iterable[Taken],
    now_ms: int,
) -> Report:
    started, ledger = clock.monotonic_s(), Ledger(workspace)
    new_id = drafts.make_id(now_ms)
    due = {taken.path: taken for taken in wanted}
    temps = {path: _name_temp(Path(path), new_id) for path in due}
    names = sorted({str(temp) for temp in temps.values()})
    with workspace.claim():
        recovery.settle_all(workspace)
        back = Action(
            id=new_id,
            kind=ActionKind.RESTORE,
            store=action.store,
            state=State.INTENDED,
            created_ms=now_ms,
            details=Details(temps=tuple(names), sources=(action.id,)),
        )
        try:
            ledger.begin(back)
            if manifest.kind is Class.HISTORY:
                with archive.reading_records(workspace.home, action.id) as fd:
                    for path, chunks in _read_records(fd, due):
                        _write(workspace, due[path], chunks, temps[path])
            else:
                for path, taken in due.items():
                    _write(workspace, taken, _read_prefix(taken), temps[path])
            size = sum(taken.bytes for taken in due.values())
            took_s = drafts.measure_s(started)
            ledger.advance(back, State.DONE, took_ms=int(1000 * took_s))
        except BaseException as e:
            drafts.end(workspace, back)
            if isinstance(e, OSError):
                raise explain_os_error(action.store_path, e) from e
            raise
    return Report(
        action_id=new_id,
        kind=ActionKind.RESTORE,
        store=action.store,
        bytes_before=0,
        bytes_after=size,
        took_s=took_s,
    )


def _name_temp(path: Path, action_id: str) -> Path:
    """Name the file under which all files of a folder come back in turn."""
    return path.with_name(f".tailflip-{action_id}.tmp")


def _read_records(fd: int, due: dict[str, Taken]) -> Iterator[tuple[str, Iterator[bytes]]]:
    reader = RecordReader(fd)
    while (header := reader.next()) is not None:
        if header.key in due:
            yield header.key, reader.chunks()


def _read_prefix(taken: Taken) -> Iterator[bytes]:
    """Read the bytes of a copy from the file that stayed."""
    with ExitStack() as stack:
        try:
            fd = stack.enter_context(open_regular(Path(taken.prefix_of or "")))
        except OSError as e:
            raise StoreInvalid(
                f"cannot make {taken.path} again: {taken.prefix_of} has its bytes, and is gone"
            ) from e
        at = 0
        while at < taken.bytes:
            chunk = os.pread(fd, min(_COPY_BYTES, taken.bytes - at), at)
            if not chunk:
                return
            at += len(chunk)
            yield chunk


def _write(workspace: Workspace, taken: Taken, chunks: Iterable[bytes], temp: Path) -> None:
    """Write one file under a name of ours, compare it, and give it its own name.

    Raises:
        ArchiveDamaged: it is not what was taken; nothing has its name then.
    """
    disk, path = workspace.disk, Path(taken.path)
    fd = disk.open_new(temp, 0o600)
    try:
        for chunk in chunks:
            disk.write(fd, chunk)
        _compare(fd, taken)
        disk.set_owner(fd, taken.mode, os.geteuid(), os.fstat(fd).st_gid)
        disk.set_time(fd, taken.mtime_ns)
        disk.fsync(fd)
    finally:
        os.close(fd)
    if os.path.lexists(path):
        disk.unlink(temp)  # somebody made it meanwhile: theirs stays
        return
    disk.rename(temp, path)
    disk.fsync_dir(path.parent)


def _compare(fd: int, taken: Taken) -> None:
    """Compare what was written with what was taken.

    Raises:
        StoreInvalid: the file that a copy is made from has other bytes by now.
        ArchiveDamaged: the archive has other bytes.
    """
    if compare(fd)[:2] == (taken.bytes, taken.digest):
        return
    if taken.prefix_of is not None:
        raise StoreInvalid(
            f"cannot make {taken.path} again: {taken.prefix_of} does not begin with its bytes "
            "any more; nothing was changed"
        )
    raise ArchiveDamaged(f"archive does not hold what was taken of {taken.path}")
