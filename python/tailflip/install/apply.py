"""Writes a plan's files, and removes them.

The record is written first, then the files, then the service manager reads them. Removing refuses
if a file was changed since.
"""

from __future__ import annotations

import os
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.base.durable import naming
from tailflip.base.errors import NoPermission, StoreInvalid
from tailflip.flow.late import dataclass
from tailflip.install.record import (
    Record,
    Written,
    digest,
    encode,
    read_records,
    remove_record,
    replace_file,
    write_record,
)
from tailflip.install.systemd import ALERT
from tailflip.observe.host.wrapper_script import MARK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailflip.base.durable import Disk
    from tailflip.base.state_dir import Home
    from tailflip.base.workspace import Workspace
    from tailflip.install.manager import ServiceManager, Undone
    from tailflip.install.values import Plan, PlannedFile


@dataclass
class Outcome:
    """The outcome of a plan, or of its removal; `undone` is what the service manager did not do."""

    subject: str
    changed: list[Path] = field(default_factory=list)
    undone: list[Undone] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    @property
    def notes(self) -> list[str]:
        """What a person should know of it, in words."""
        return [*(each.note for each in self.undone), *self.kept]


def read_now(path: Path) -> bytes | None:
    """Read a file's present bytes; None if there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def list_changes(plan: Plan) -> list[PlannedFile]:
    """List the planned files whose bytes differ on disk."""
    return [each for each in plan.files if read_now(each.path) != each.data]


def install(plan: Plan, *, workspace: Workspace, manager: ServiceManager, now_ms: int) -> Outcome:
    """Write missing files, and start tailflip's units. A second call writes nothing.

    Raises:
        NoPermission: one of the folders may not be written to; nothing was changed.
        StoreInvalid: a file of that name exists that is not tailflip's.
    """
    outcome = Outcome(plan.subject)
    disk = workspace.disk
    earlier = _find_earlier(workspace.home, plan)
    changes = list_changes(plan)
    stale = _list_stale(plan, earlier)
    _check_writable([each.path for each in changes])
    record = _make_record(plan, earlier, now_ms)
    if changes or stale or earlier is None:
        write_record(workspace, record)
    if earlier is not None and earlier.undo != plan.undo:
        _undo(earlier, disk, manager, outcome)
    for each in changes:
        with naming(each.path):
            _make_folders(disk, each.path.parent)
            replace_file(disk, each.path, each.data, each.mode)
        outcome.changed.append(each.path)
    gone = [name for name in earlier.enable if name not in plan.enable] if earlier else []
    if gone:
        outcome.undone += manager.disable(plan.scope, gone, [Path(each.path) for each in stale])
    for written in stale:
        _take_away(written, disk, outcome)
    outcome.undone += manager.reload(plan.scope)
    for command in plan.commands:
        outcome.undone += manager.run(command)
    if plan.enable:
        outcome.undone += manager.enable(plan.scope, plan.enable, [f.path for f in plan.files])
    return outcome


def uninstall(record: Record, *, workspace: Workspace, manager: ServiceManager) -> Outcome:
    """Remove an installation: restore every file as it was, and delete the folders made for it.

    Raises:
        StoreInvalid: a file was changed by another program or person; nothing was changed.
    """
    outcome = Outcome(record.subject)
    disk = workspace.disk
    needed = _list_needed(workspace.home, record)
    mine = [each for each in record.files if each.path not in needed]
    for each in mine:
        now = read_now(Path(each.path))
        if now is not None and not _is_what_we_wrote(each, now) and each.before is None:
            raise StoreInvalid(
                f"changed since it was installed: {each.path}; nothing was removed",
                hint="save what you want to keep, delete it, and uninstall again",
            )
    _check_writable([Path(each.path) for each in mine])
    if record.enable:
        outcome.undone += manager.disable(
            record.scope, record.enable, [Path(f.path) for f in record.files]
        )
    _undo(record, disk, manager, outcome)
    for each in mine:
        _take_away(each, disk, outcome)
    for name in reversed(record.folders):
        place = Path(name)
        if place.is_dir() and not os.listdir(place):  # noqa: PTH208
            disk.rmdir(place)
    remove_record(workspace, record)
    _remove_empty_home(workspace)
    outcome.undone += manager.reload(record.scope)
    return outcome


def _undo(record: Record, disk: Disk, manager: ServiceManager, outcome: Outcome) -> None:
    """Run OpenClaw's commands that forget tailflip; if they fail, put its files back."""
    failed = [each for command in record.undo for each in manager.run(command)]
    outcome.kept += [each.note for each in failed]  # made good by what follows
    for each in record.kept if failed else ():
        path, before = Path(each.path), each.read_before()
        if before is not None and read_now(path) != before:
            with naming(path):
                replace_file(disk, path, before, each.mode_before or 0o644)
            outcome.kept.append(f"put back as it was at installation: {path}")


def _keep(plan: Plan, earlier: Record | None) -> tuple[Written, ...]:
    """Copy the files that OpenClaw's command will rewrite; copies on record stay."""
    if earlier is not None and earlier.kept:
        return earlier.kept
    found = []
    for path in plan.kept:
        now = read_now(path)
        if now is not None:
            mode = path.stat().st_mode & 0o7777
            found.append(
                Written(path=str(path), digest=digest(now), before=encode(now), mode_before=mode)
            )
    return tuple(found)


def _find_earlier(home: Home, plan: Plan) -> Record | None:
    wanted = _make_record(plan, None, 0).name
    return next((each for each in read_records(home) if each.name == wanted), None)


def _list_stale(plan: Plan, earlier: Record | None) -> list[Written]:
    """List the files that an earlier installation wrote and this one does not need."""
    paths = {str(each.path) for each in plan.files}
    return [each for each in earlier.files if each.path not in paths] if earlier else []


def _make_record(plan: Plan, earlier: Record | None, now_ms: int) -> Record:
    known = {each.path: each for each in earlier.files} if earlier else {}
    files, folders = [], list(earlier.folders) if earlier else []
    for each in plan.files:
        old = known.get(str(each.path))
        now = read_now(each.path)
        if old is not None and now is not None and digest(now) == old.digest:
            before, mode = old.before, old.mode_before  # the present file is tailflip's
        elif now is not None and now != each.data and not _is_ours(now):
            before, mode = encode(now), each.path.stat().st_mode & 0o7777
        elif old is not None:
            before, mode = old.before, old.mode_before
        else:
            before, mode = None, None
        files.append(
            Written(path=str(each.path), digest=digest(each.data), before=before, mode_before=mode)
        )
        folders += [str(f) for f in _list_missing(each.path.parent) if str(f) not in folders]
    return Record(
        subject=plan.subject,
        manager=plan.manager,
        scope=plan.scope,
        mode=plan.mode,
        at_ms=now_ms,
        files=tuple(files),
        folders=tuple(folders),
        enable=plan.enable,
        undo=plan.undo,
        kept=_keep(plan, earlier) if plan.undo else (),
    )


def _is_what_we_wrote(written: Written, now: bytes) -> bool:
    """Compare a file with the record; the file that installations share may be newer."""
    is_shared = Path(written.path).name == ALERT
    return digest(now) == written.digest or (is_shared and _is_ours(now))


def _is_ours(data: bytes) -> bool:
    return MARK.encode() in data


def _list_needed(home: Home, record: Record) -> set[str]:
    """List the paths that another installation also needs, such as the alert's template."""
    others = [each for each in read_records(home) if each.name != record.name]
    return {written.path for other in others for written in other.files}


def _take_away(written: Written, disk: Disk, outcome: Outcome) -> None:
    path = Path(written.path)
    now = read_now(path)
    if now is None:
        return
    if not _is_what_we_wrote(written, now):
        outcome.kept.append(f"left alone, for it was written anew since: {path}")
        return
    before = written.read_before()
    with naming(path):
        if before is None:
            disk.unlink(path)
        else:
            replace_file(disk, path, before, written.mode_before or 0o644)
    outcome.changed.append(path)


def _remove_empty_home(workspace: Workspace) -> None:
    """Remove tailflip's state directory too if it has nothing to keep."""
    home, disk = workspace.home, workspace.disk
    for each in (home.archives, home.quarantine, home.guards, home.root):
        if each.is_dir() and not os.listdir(each):  # noqa: PTH208
            disk.rmdir(each)


def _list_missing(folder: Path) -> list[Path]:
    """List the folders to make, the outermost first."""
    return [each for each in (*reversed(folder.parents), folder) if not each.is_dir()]


def _make_folders(disk: Disk, folder: Path) -> None:
    for each in _list_missing(folder):
        disk.mkdir(each, 0o755)


def _check_writable(paths: Sequence[Path]) -> None:
    for path in paths:
        there = next(each for each in path.parents if each.is_dir())
        if not os.access(there, os.W_OK):
            raise NoPermission(
                f"may not write to {there}; nothing was changed",
                hint="system services are root's: run it with sudo",
            )
