"""Moves transcripts with their entries: into a folder of ours beside the store, and back.

The folder is `<folder of the store>/.tailflip/<action>/<transcript>`. Moving a file there is one
rename, whatever its size. OpenClaw deletes `.deleted.<time>` for good once it is older than
its retention, and counts every file beside the store against its disk budget, but it reads no
folders there. Source: `cleanupArchivedSessionTranscripts`, `enforceSessionDiskBudget`,
`pruneUnreferencedSessionArtifacts`, 2026.3.28 to 2026.7.35.

The folder's name says which action moved a file, and a second move finds no file to move. A file
that could not be renamed back is noted in the action's archive, and the rename is tried again.
Files that older versions of tailflip renamed to `<file>.deleted.<time of the action>` are found
as well.
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from tailflip.base import clock, rights
from tailflip.base.durable import open_regular, resolve
from tailflip.base.errors import TailflipError
from tailflip.flow.late import dataclass
from tailflip.observe.gateway.lock_owner import read_owner
from tailflip.observe.installation import STORE_NAME
from tailflip.observe.records.receipts import find_state_dirs
from tailflip.stores import records as archived
from tailflip.stores.formats import find_engine
from tailflip.stores.lock import TRANSCRIPT_STALE_MS, is_stale
from tailflip.stores.ownership import Owners
from tailflip.stores.unfinished import FOLDER, PENDING, find_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from tailflip.base.durable import Disk
    from tailflip.base.state_dir import Home
    from tailflip.base.workspace import Workspace
    from tailflip.flow.numbers import RecordHeader
    from tailflip.ledger.actions import Action
    from tailflip.stores.engine import Sessions

_SESSION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_ENDING = ".jsonl"
_PRIVATE = 0o700


@dataclass(frozen=True)
class Moves:
    """Counts of transcripts that were renamed, could not be renamed, or live again meanwhile."""

    moved: int
    failed: int
    alive: int = 0


@dataclass(frozen=True)
class Kept:
    """The transcripts of one action that are still kept.

    `folder` is None where there are none. `exposed` counts those that an older version left under
    OpenClaw's own names for deleted ones, where its clean-up takes them.
    """

    folder: Path | None
    files: int
    bytes: int
    exposed: int = 0


def archive_transcripts(workspace: Workspace, action: Action) -> Moves:
    """Set aside transcripts of removed entries that no entry of any agent refers to any more.

    A transcript whose own lock has a living owner stays.
    """
    directory = resolve(action.store_path.parent)
    folder = directory / FOLDER / action.id
    if not _has(directory, lambda name: name.endswith(_ENDING)):
        return Moves(0, 0)

    def plan(path: Path, *, referenced: bool) -> tuple[Path, Path] | None:
        new = folder / path.name
        if referenced or os.path.lexists(new) or is_in_use(path):
            return None
        _make_folder(workspace.disk, folder)
        return path, new

    # An entry of another agent may name a transcript of this folder (`sessionFile`). Where a store
    # cannot be read, nobody knows.
    others = gather_needed(_list_other_stores(action.store_path))
    moves = _move(
        workspace, action, action.store_path, present=lambda path: path, plan=plan, others=others
    )
    if moves.moved:
        workspace.disk.fsync_dir(folder)
        workspace.disk.fsync_dir(directory)
    return moves


def return_transcripts(workspace: Workspace, action: Action, store_path: Path) -> Moves:
    """Rename back the transcripts of `action` that an entry needs again and that are missing."""
    directory = resolve(store_path.parent)
    folder, suffix = directory / FOLDER / action.id, action.transcript_suffix
    if not folder.is_dir() and not _has(directory, lambda name: name.endswith(suffix)):
        return Moves(0, 0)
    alive = 0

    def present(path: Path) -> Path:
        kept = folder / path.name
        return kept if os.path.lexists(kept) else path.with_name(path.name + suffix)

    def plan(path: Path, *, referenced: bool) -> tuple[Path, Path] | None:
        nonlocal alive
        if not referenced:
            return None
        if os.path.lexists(path):
            alive += 1
            return None
        return present(path), path

    moves = _move(workspace, action, store_path, present=present, plan=plan)
    if moves.moved:
        workspace.disk.fsync_dir(directory)
    _drop_folder(workspace.disk, folder)
    return replace(moves, alive=alive)


def measure_kept(action: Action) -> Kept:
    """Count the transcripts of an action that are still there."""
    directory = resolve(action.store_path.parent)
    folder, suffix = directory / FOLDER / action.id, action.transcript_suffix
    sizes = [size for _, size in _list_files(folder)]
    exposed = [size for name, size in _list_files(directory) if name.endswith(suffix)]
    where = folder if sizes else directory if exposed else None
    return Kept(where, len(sizes) + len(exposed), sum(sizes) + sum(exposed), len(exposed))


def find_kept(action: Action, header: RecordHeader) -> Iterator[tuple[str, Path]]:
    """Find where the transcripts of an archived entry lie now, each with its name.

    One that was not set aside, or that an older version renamed, is found as well.
    """
    directory = resolve(action.store_path.parent)
    for path in sorted(_name_transcripts(header, directory)):
        exposed = path.with_name(path.name + action.transcript_suffix)
        for place in (directory / FOLDER / action.id / path.name, exposed, path):
            if _is_regular(place):
                yield path.name, place
                break


def delete_kept(workspace: Workspace, action: Action) -> None:
    """Delete for good the transcripts of an action, with their folder."""
    _delete_exposed(workspace, action)
    disk, folder = workspace.disk, find_folder(action)
    if not folder.is_dir() or folder.is_symlink() or folder.parent.is_symlink():
        return
    for name, _ in _list_files(folder):
        with suppress(FileNotFoundError):
            disk.unlink(folder / name)
    disk.rmdir(folder)
    with suppress(OSError):  # other actions keep theirs there
        disk.rmdir(folder.parent)


def _delete_exposed(workspace: Workspace, action: Action) -> None:
    """Delete what an older version renamed to `.deleted.<time>`, as far as the archive names it."""
    directory, suffix = resolve(action.store_path.parent), action.transcript_suffix

    def name_exposed(path: Path) -> Path:
        return path.with_name(path.name + suffix)

    found: list[Path] = []
    with suppress(OSError, TailflipError):  # without folder or archive none is proven ours
        if _has(directory, lambda name: name.endswith(suffix)):
            with open_regular(workspace.home.records(action.id)) as records:
                for path, _ in _candidates(records, directory, name_exposed):
                    found.append(name_exposed(path))
    for path in found:
        with suppress(FileNotFoundError):
            workspace.disk.unlink(path)


def note_missing(workspace: Workspace, action: Action) -> None:
    """Note that some transcripts of `action` could not be renamed back."""
    path = _pending(workspace.home, action)
    if os.path.lexists(path):
        return
    os.close(workspace.disk.open_new(path, 0o600))
    workspace.disk.fsync_dir(path.parent)


def forget_missing(workspace: Workspace, action: Action) -> None:
    """Delete the note: every transcript is where an entry looks for it, or not needed."""
    path = _pending(workspace.home, action)
    if os.path.lexists(path):
        workspace.disk.unlink(path)


def _pending(home: Home, action: Action) -> Path:
    return home.archive(action.id) / PENDING


def _move(
    workspace: Workspace,
    action: Action,
    store_path: Path,
    *,
    present: Callable[[Path], Path],
    plan: Callable[..., tuple[Path, Path] | None],
    others: Sequence[Sessions] | None = (),
) -> Moves:
    """Ask the store about every candidate, one after the other, and rename those that `plan` names.

    Beside a store that a gateway has on record, `Owners.may_move` decides. `others` are the
    sessions that entries of other stores name, None if one of those could not be read.
    """
    directory = resolve(store_path.parent)
    moved = failed = 0
    owners = Owners(store_path)
    kept = owners.find(store_path)
    needed = find_engine(store_path).gather_sessions(store_path)

    def is_needed(session: str) -> bool:
        return needed.has(session) or others is None or any(each.has(session) for each in others)

    with open_regular(workspace.home.records(action.id)) as records:
        for path, sessions in _candidates(records, directory, present):
            try:
                move = plan(path, referenced=any(map(is_needed, sessions)))
                if move is None or not owners.may_move(kept, *move):
                    continue
                workspace.disk.rename(*move)
                moved += 1
            except OSError:
                # A transcript left under its old name loses nothing: the store is
                # already right, and the caller reports the number.
                failed += 1
    return Moves(moved, failed)


def gather_needed(stores: Iterable[Path]) -> list[Sessions] | None:
    """Gather the sessions that the entries of stores name; None where one cannot be read."""
    needed = []
    for path in stores:
        try:
            needed.append(find_engine(path).gather_sessions(path))
        except FileNotFoundError:
            continue
        except (OSError, TailflipError):
            return None
    return needed


def _list_other_stores(store_path: Path) -> list[Path]:
    """List the stores of the other agents in the state directories that the store lies in."""
    own = resolve(store_path)
    found = (
        path
        for folder in find_state_dirs(store_path)
        for path in sorted(folder.glob(f"agents/*/sessions/{STORE_NAME}"))
    )
    return [path for path in found if resolve(path) != own]


def _make_folder(disk: Disk, folder: Path) -> None:
    """Make the folder that transcripts are set aside in, owned by the owner of the store's folder.

    Raises:
        OSError: It cannot be made, or a file or link is in its place: a link would lead elsewhere.
    """
    owner, group = rights.choose_newcomer(folder.parent.parent)
    for path in (folder.parent, folder):
        if not os.path.lexists(path):
            disk.mkdir(path, _PRIVATE)
            disk.fsync_dir(path.parent)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if os.fstat(fd).st_uid != owner:
                disk.set_owner(fd, _PRIVATE, owner, group)
        finally:
            os.close(fd)


def _drop_folder(disk: Disk, folder: Path) -> None:
    """Delete the folders that are empty now."""
    for path in (folder, folder.parent):
        if path.is_dir() and not path.is_symlink():
            with suppress(OSError):  # a folder with files in it stays
                disk.rmdir(path)


def _has(directory: Path, wanted: Callable[[str], bool]) -> bool:
    """Say whether a file of such a name is there; without one, headers need not be read."""
    with os.scandir(directory) as names:
        return any(wanted(name.name) for name in names)


def _list_files(directory: Path) -> Iterator[tuple[str, int]]:
    """Yield name and size of every regular file of a directory; none where there is none."""
    try:
        with os.scandir(directory) as names:
            for name in names:
                with suppress(OSError):
                    if name.is_file(follow_symlinks=False):
                        yield name.name, name.stat(follow_symlinks=False).st_size
    except OSError:
        return


def _candidates(
    records: int, directory: Path, present: Callable[[Path], Path]
) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Yield (transcript, session ids that may still need it) for each removed entry."""
    for header in archived.read_headers(records):
        if header.after is not None:
            continue
        for path in _name_transcripts(header, directory):
            if _is_regular(present(path)):
                own = path.name.removesuffix(_ENDING)
                yield path, (own,) if header.session is None else (own, header.session)


def _name_transcripts(header: RecordHeader, directory: Path) -> set[Path]:
    """Name an entry's own transcripts inside the store's directory."""
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


def is_in_use(path: Path) -> bool:
    """Say whether a process holds the transcript; a lock that we cannot judge counts as held."""
    try:
        owner = read_owner(path.with_name(path.name + ".lock"))
    except OSError:
        return True
    return owner is not None and not is_stale(owner, clock.now_ms(), TRANSCRIPT_STALE_MS)
