"""Transcripts follow their entries: out under the gateway's own archive name, and back.

The name `<file>.deleted.<time of the action>` says which action moved a file, so
nothing else needs to be recorded, and doing it again does nothing. But for one thing: where
a file could not be renamed back, the action's archive says so, and it is tried again.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tailflip import clock, native
from tailflip.compact.lock import is_stale, read_owner
from tailflip.durable import open_regular, resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tailflip.durable import Disk
    from tailflip.flow import RecordHeader
    from tailflip.home import Home
    from tailflip.ledger.actions import Action

_SESSION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_ENDING = ".jsonl"
PENDING = "transcripts.pending"


@dataclass(frozen=True)
class Moves:
    """How many transcripts were renamed, and how many could not be."""

    moved: int
    failed: int


def archive_transcripts(home: Home, disk: Disk, action: Action) -> Moves:
    """Rename the transcripts of removed entries that no entry refers to any more.

    Never one whose own lock has a living owner.
    """
    suffix = action.transcript_suffix

    def plan(path: Path, *, referenced: bool) -> tuple[Path, Path] | None:
        new = path.with_name(path.name + suffix)
        free = not referenced and not os.path.lexists(new) and not _is_in_use(path)
        return (path, new) if free else None

    return _move(home, disk, action, action.store_path, present_name=lambda p: p, plan=plan)


def return_transcripts(home: Home, disk: Disk, action: Action, store_path: Path) -> Moves:
    """Rename back what `action` archived, where an entry needs it again and it is missing."""
    suffix = action.transcript_suffix

    def archived(path: Path) -> Path:
        return path.with_name(path.name + suffix)

    def plan(path: Path, *, referenced: bool) -> tuple[Path, Path] | None:
        return (archived(path), path) if referenced and not os.path.lexists(path) else None

    return _move(home, disk, action, store_path, present_name=archived, plan=plan)


def note_missing(home: Home, disk: Disk, action: Action) -> None:
    """Note that transcripts which `action` archived could not all be renamed back."""
    path = _pending(home, action)
    if path.exists():
        return
    os.close(disk.open_new(path, 0o600))
    disk.fsync_dir(path.parent)


def forget_missing(home: Home, disk: Disk, action: Action) -> None:
    """Take the note back: every transcript is where an entry looks for it, or not needed."""
    path = _pending(home, action)
    if path.exists():
        disk.unlink(path)


def find_missing(home: Home) -> set[str]:
    """Find the actions whose transcripts could not all be renamed back."""
    return {path.parent.name for path in home.archives.glob(f"*/{PENDING}")}


def _pending(home: Home, action: Action) -> Path:
    return home.archive(action.id) / PENDING


def _move(
    home: Home,
    disk: Disk,
    action: Action,
    store_path: Path,
    *,
    present_name: Callable[[Path], Path],
    plan: Callable[..., tuple[Path, Path] | None],
) -> Moves:
    """Ask the store about every candidate, one after the other, and rename what `plan` says."""
    directory = resolve(store_path.parent)
    moved = failed = 0
    with os.scandir(directory) as names:
        if not any(_ENDING in name.name for name in names):
            return Moves(0, 0)  # millions of headers need not be read
    with open_regular(home.records(action.id)) as records, open_regular(store_path) as store:
        needed = native.gather_sessions(store)
        for path, sessions in _candidates(records, directory, present_name):
            move = plan(path, referenced=any(needed.has(session) for session in sessions))
            if move is None:
                continue
            try:
                disk.rename(*move)
                moved += 1
            except OSError:
                # A transcript left under its old name loses nothing: the store is
                # already right, and the caller reports the number.
                failed += 1
    if moved:
        disk.fsync_dir(directory)
    return Moves(moved, failed)


def _candidates(
    records: int, directory: Path, present_name: Callable[[Path], Path]
) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Yield (transcript, session ids that may still need it) for each removed entry."""
    for header in native.read_headers(records):
        if header.after is not None:
            continue
        for path in _name_transcripts(header, directory):
            if _is_regular(present_name(path)):
                own = path.name.removesuffix(_ENDING)
                yield path, (own,) if header.session is None else (own, header.session)


def _name_transcripts(header: RecordHeader, directory: Path) -> set[Path]:
    """Name an entry's own transcripts inside the store's directory; nothing outside is ours."""
    found = set()
    if header.session is not None and _SESSION_ID.fullmatch(header.session):
        found.add(directory / f"{header.session}{_ENDING}")
    if header.file is not None and header.file.endswith(_ENDING) and "\0" not in header.file:
        path = directory / header.file
        if path.parent == directory or resolve(path.parent) == directory:
            found.add(directory / path.name)
    return found


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def _is_in_use(path: Path) -> bool:
    """Say whether a process holds the transcript; one we cannot judge counts as held."""
    try:
        owner = read_owner(path.with_name(path.name + ".lock"))
    except OSError:
        return True
    return owner is not None and not is_stale(owner, clock.now_ms())
