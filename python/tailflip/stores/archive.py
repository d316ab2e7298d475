"""Archives of what was removed: list, show, check and delete them."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from tailflip.base.durable import naming, open_regular
from tailflip.base.errors import ArchiveDamaged, TailflipError, Usage
from tailflip.base.units import format_counted
from tailflip.flow.late import dataclass
from tailflip.flow.numbers import RewriteNumbers
from tailflip.flow.outcomes import STORE_KINDS, ActionKind
from tailflip.flow.values import Value
from tailflip.ledger.actions import Action, Ledger, State
from tailflip.stores import recovery, slimmed
from tailflip.stores.archive_weight import measure
from tailflip.stores.extension import features
from tailflip.stores.notes import BY_HAND, MANIFEST, read_note, write_note
from tailflip.stores.records import read_headers, verify_records
from tailflip.stores.transcripts import measure_kept

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tailflip.base.state_dir import Home
    from tailflip.base.workspace import Workspace
    from tailflip.flow.numbers import ArchiveNumbers, RecordHeader, SurveyNumbers
    from tailflip.stores.transcripts import Kept

KEPT = (State.COMMITTED, State.DONE)


class Manifest(Value):
    """What an archive holds and where it is from; `manifest.json` beside the records."""

    version: int = 1
    action: str
    kind: str
    store: str
    created_ms: int
    engine: str
    entries_before: int
    bytes_before: int
    digest_before: str
    transcript_suffix: str
    rewrite: RewriteNumbers


@dataclass(frozen=True)
class Archived:
    """One action in the list.

    `manifest` is None for a salvage or a restore, and when it is damaged. `changed` counts
    the jobs or tasks that a reconciliation changed; None for all others, and if it is not known.
    `damage` says what names and sizes show to be wrong. `kept` counts the transcripts kept.
    """

    action: Action
    manifest: Manifest | None
    changed: int | None = None
    damage: str | None = None
    kept: Kept | None = None

    @property
    def rewritten(self) -> Manifest | None:
        """The manifest with the size that was left in the end."""
        return _complete(self.action, self.manifest)


def _complete(action: Action, manifest: Manifest | None) -> Manifest | None:
    left = action.details.left_bytes
    if manifest is None or left is None:
        return manifest
    rewrite = manifest.rewrite.model_copy(update={"bytes": left})
    return manifest.model_copy(update={"rewrite": rewrite})


@dataclass(frozen=True)
class Damaged:
    """An archive that does not read as it was written, and how many of its entries can be read."""

    action: str
    message: str
    readable: int


@dataclass(frozen=True)
class Shown:
    """The contents of one archive; `manifest` is None where it is damaged, and `damage` says how.

    `headers` are read as they are asked for, and may raise `ArchiveDamaged` on the way.
    """

    action: Action
    manifest: Manifest | None
    damage: TailflipError | None
    kept: Kept
    headers: Iterator[RecordHeader]

    @property
    def rewritten(self) -> Manifest | None:
        """The manifest with the size that was left in the end."""
        return _complete(self.action, self.manifest)


@dataclass(frozen=True)
class Expiry:
    """The archives to delete, or deleted, and those that could not be; they are tried again.

    `bytes` is the room on the disk that they take, or took.
    """

    archives: tuple[Archived, ...]
    bytes: int
    errors: tuple[TailflipError, ...] = ()

    @property
    def actions(self) -> tuple[Action, ...]:
        """The actions that cannot be undone any more."""
        return tuple(each.action for each in self.archives)


class _Told(BaseModel):
    """The countable part of a record of changes: one sentence for each job or task."""

    words: tuple[str, ...]


def write_manifest(
    workspace: Workspace, action: Action, before: SurveyNumbers, rewrite: RewriteNumbers
) -> None:
    """Write the manifest of an action, and sync the names of it and of the records.

    Args:
        workspace: where the archive is, and the effects.
        action: whose records are written.
        before: the numbers of the store as it was.
        rewrite: what the action leaves of the store, and what it archived.
    """
    manifest = Manifest(
        action=action.id,
        kind=action.kind,
        store=action.store,
        created_ms=action.created_ms,
        engine=features(),
        entries_before=before.entries,
        bytes_before=before.bytes,
        digest_before=before.digest,
        transcript_suffix=action.transcript_suffix,
        rewrite=rewrite,
    )
    write_note(workspace, action.id, MANIFEST, manifest)


def read_manifest(home: Home, action_id: str) -> Manifest:
    """Read one action's manifest.

    Raises:
        StoreInvalid: It is missing or damaged.
    """
    return read_note(home, action_id, MANIFEST, Manifest, what="manifest", hint=BY_HAND)


def list_actions(
    workspace: Workspace, is_wanted: Callable[[Action], bool] = lambda _: True
) -> tuple[Archived, ...]:
    """List every action that was done, newest first; or the wanted ones."""
    return tuple(
        _describe(workspace.home, action)
        for action in Ledger(workspace).read_all()
        if action.state in KEPT and is_wanted(action)
    )


def _describe(home: Home, action: Action) -> Archived:
    return Archived(action, _read_manifest_if_whole(home, action)[0], _count_changes(home, action))


def survey_archives(
    workspace: Workspace, is_wanted: Callable[[Action], bool] = lambda _: True
) -> tuple[Archived, ...]:
    """List actions as `list_actions` does, with each archive's size and damage."""
    found = []
    for each in list_actions(workspace, is_wanted):
        if each.action.kind != ActionKind.COMPACT:
            found.append(each)
            continue
        damage = _look_at(workspace.home, each.action, each.manifest)
        found.append(replace(each, damage=damage, kept=measure_kept(each.action)))
    return tuple(found)


def _read_manifest_if_whole(
    home: Home, action: Action
) -> tuple[Manifest | None, TailflipError | None]:
    if action.kind != ActionKind.COMPACT:
        return None, None
    try:
        return read_manifest(home, action.id), None
    except TailflipError as e:
        return None, e  # the list stays readable


def _look_at(home: Home, action: Action, manifest: Manifest | None) -> str | None:
    """Say what is wrong with an archive as far as its names and sizes tell."""
    try:
        with reading_records(home, action.id) as fd:
            size_bytes = os.fstat(fd).st_size
    except TailflipError as e:
        return e.message
    if manifest is None:
        error = _read_manifest_if_whole(home, action)[1]
        return None if error is None else error.message
    if size_bytes != manifest.rewrite.archive_bytes:
        return (
            f"archive has {format_counted(size_bytes, 'byte')}, "
            f"{manifest.rewrite.archive_bytes:,} were written: "
            f"{home.records(action.id)}"
        )
    return None


def _count_changes(home: Home, action: Action) -> int | None:
    if action.kind in STORE_KINDS:
        return None
    if action.kind == ActionKind.RECLAIM:
        return None  # its own list counts files
    if action.kind == ActionKind.RELEASE:
        return 1  # each job is released by an action of its own
    try:
        text = (home.archive(action.id) / recovery.CHANGES).read_bytes()
        return len(_Told.model_validate_json(text).words)
    except (OSError, ValidationError):
        return None  # its undo says what is wrong; the list stays readable


def find_action(workspace: Workspace, action_id: str) -> Action:
    """Find an action whose archive is there.

    Raises:
        Usage: There is none of that name, or its archive was let go.
    """
    action = Ledger(workspace).find(action_id)
    if action is not None and action.state is State.EXPIRED:
        raise Usage(
            f"the archive of that action was deleted: {action_id}",
            hint="what it held is gone; `tailflip archive list` shows what is still there",
        )
    if action is None or action.state not in KEPT:
        raise Usage(f"no such action: {action_id}", hint="see `tailflip archive list`")
    return action


def show(workspace: Workspace, action_id: str) -> Shown:
    """Read the manifest, and stream the headers of what one action removed."""
    action = find_action(workspace, action_id)
    if action.kind != ActionKind.COMPACT:
        hint = f"`tailflip restore {action_id}` shows what undoing it would change"
        if action.took_nothing:
            hint = "it took nothing out; see `tailflip archive list` for those that did"
        if action.kind == ActionKind.RECLAIM:
            path = workspace.home.archive(action_id) / recovery.RECLAIMED
            hint = f"its files are listed in {path}"
        raise Usage(
            f"no entries are archived by an action of kind {action.kind}: {action_id}", hint=hint
        )
    manifest, damage = _read_manifest_if_whole(workspace.home, action)
    return Shown(action, manifest, damage, measure_kept(action), _stream(workspace.home, action_id))


def verify(workspace: Workspace, action_id: str) -> ArchiveNumbers:
    """Read an archive whole and compare it with its manifest.

    Raises:
        StoreInvalid: A byte is not what was written.
    """
    action = find_action(workspace, action_id)
    if action.kind == ActionKind.SLIM:
        slim = slimmed.read_manifest(workspace.home, action.id).numbers
        written = slim.lines, slim.archive_bytes, slim.archive_digest
    else:
        action = show(workspace, action_id).action
        rewrite = read_manifest(workspace.home, action.id).rewrite
        written = rewrite.records, rewrite.archive_bytes, rewrite.archive_digest
    with reading_records(workspace.home, action_id) as fd:
        found = verify_records(fd)
    if (found.records, found.archive_bytes, found.digest) != written:
        raise ArchiveDamaged(
            f"archive is not what was written: {workspace.home.records(action_id)}", hint=BY_HAND
        )
    return found


def find_damage(home: Home, action_id: str) -> Damaged | None:
    """Read an archive whole; None if it is as its own checksum says."""
    try:
        with reading_records(home, action_id) as fd:
            verify_records(fd)
    except TailflipError as e:
        return Damaged(action_id, e.message, _count_readable(home, action_id))
    return None


def _count_readable(home: Home, action_id: str) -> int:
    count = 0
    with suppress(TailflipError):
        for _ in _stream(home, action_id):
            count += 1
    return count


@contextmanager
def reading_records(home: Home, action_id: str) -> Iterator[int]:
    """Open an archive. Damage is raised with the archive's path; other errors pass unchanged.

    Raises:
        ArchiveDamaged: It does not read as it was written.
    """
    path = home.records(action_id)
    with ExitStack() as stack:
        with naming(path):
            fd = stack.enter_context(open_regular(path))
        try:
            yield fd
        except ArchiveDamaged as e:
            raise ArchiveDamaged(f"{e.message}: {path}", hint=BY_HAND) from e


def expire(
    workspace: Workspace,
    *,
    action_ids: Sequence[str] = (),
    older_than_ms: int | None = None,
    now_ms: int,
    apply: bool,
) -> Expiry:
    """Choose actions by name or age; with `apply`, delete their archives.

    An archive that cannot be deleted does not stop the others.
    """
    known = {a.id: a for a in Ledger(workspace).read_all() if a.state is State.DONE}
    for action_id in action_ids:
        if action_id not in known:
            find_action(workspace, action_id)
            raise Usage(
                f"that action is not finished yet: {action_id}",
                hint="any verb with --apply finishes it first",
            )
    if action_ids:
        chosen = [known[action_id] for action_id in dict.fromkeys(action_ids)]
    else:
        chosen = [
            a
            for a in known.values()
            if older_than_ms is not None and now_ms - a.created_ms > older_than_ms
        ]
    gone = Expiry(
        tuple(_describe(workspace.home, action) for action in chosen),
        sum(measure(workspace, action) for action in chosen),
    )
    if not apply or not chosen:
        return gone
    errors: list[TailflipError] = []
    with workspace.claim():
        for action in chosen:
            expired = Ledger(workspace).advance(action, State.EXPIRED)
            try:
                with naming(workspace.home.archive(action.id)):
                    recovery.remove_archive(workspace, expired)
            except TailflipError as e:
                errors.append(e)
    return replace(gone, errors=tuple(errors))


def _stream(home: Home, action_id: str) -> Iterator[RecordHeader]:
    with reading_records(home, action_id) as fd:
        yield from read_headers(fd)
