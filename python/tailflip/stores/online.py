"""Archives entries of a living gateway's database, and lets that gateway delete them.

intent in the ledger → archive written from the database, which is read and not changed → read back
and synced → committed in the ledger → each entry deleted by the gateway → done

`committed` is on record before the first request goes out. So the archive stays whatever becomes
of the requests: what was not deleted after all is then in both, and a restore leaves it alone.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from tailflip.base import clock
from tailflip.base.durable import naming
from tailflip.base.errors import StoreChanged, TailflipError, TryLater
from tailflip.flow.late import dataclass
from tailflip.flow.numbers import RewriteNumbers, Tally
from tailflip.flow.outcomes import ActionKind, Report
from tailflip.flow.rules import ONLINE
from tailflip.ledger.actions import Ledger, State
from tailflip.stores import archive, recovery
from tailflip.stores import draft as drafts
from tailflip.stores.formats import choose_rows, find_engine, keep_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tailflip.base.workspace import Workspace
    from tailflip.flow.numbers import ArchiveNumbers, KeptEntry, SurveyNumbers
    from tailflip.flow.observed import Store
    from tailflip.ledger.actions import Action

_T = TypeVar("_T")

_ATTEMPTS = 8
_PAUSE_S = 0.25  # a gateway that talks writes several times a second, and pauses in between


@dataclass(frozen=True)
class Removal:
    """What was deleted; `report` is None where nothing was. `error` ended it early."""

    deleted: int = 0
    report: Report | None = None
    error: TailflipError | None = None


def remove_online(
    workspace: Workspace,
    store: Store,
    keys: Sequence[str],
    *,
    before: SurveyNumbers,
    delete: Callable[[KeptEntry], bool],
    now_ms: int,
) -> Removal:
    """Archive entries, and have each deleted that was archived.

    Args:
        workspace: where the archive goes, and the effects.
        store: the database of a living gateway.
        keys: of the entries, as they were judged.
        before: the survey of the database, for the archive's manifest.
        delete: judges an entry once more, as it was archived, and asks the gateway to delete it;
            True if it did, False if it stays as it is. An error ends the removal: then it is not
            known what became of the entry.
        now_ms: names the action.

    Raises:
        TryLater: the database changes all the time, or another tailflip is at work.
        OnRecord: the database is not ours to change.
    """
    started, ledger = clock.monotonic_s(), Ledger(workspace)
    deleted, error = 0, None
    with (
        naming(store.path),
        workspace.claim(),
        find_engine(store.path).opening(store.path) as source,
    ):
        recovery.settle_all(workspace)
        with drafts.begin(
            workspace, source, kind=ActionKind.COMPACT, now_ms=now_ms, temps=0
        ) as draft:
            action = draft.action
            kept, archived = _keep(workspace, action, keys)
            _write_manifest(workspace, action, before, kept, archived)
            action = ledger.advance(action, State.COMMITTED)
            for each in kept:
                try:
                    deleted += delete(each)
                except TailflipError as e:
                    error = e
                    break
            if error is None and not deleted:  # all is where it was: the archive has nothing of it
                action = ledger.advance(action, State.INTENDED)
            recovery.settle(workspace, action)
    if error is None and not deleted:
        return Removal()
    report = Report(
        action_id=action.id,
        kind=ActionKind.COMPACT,
        store=str(store.path),
        entries_before=before.entries,
        entries_after=before.entries - deleted,
        bytes_before=before.bytes,
        bytes_after=before.bytes,
        rules=(Tally(name=ONLINE, entries=deleted, bytes=sum(each.bytes for each in kept)),),
        archive=str(workspace.home.archive(action.id)),
        archive_bytes=archived.archive_bytes,
        took_s=drafts.measure_s(started),
        undo=action.undo,
    )
    return Removal(deleted, report, error)


def choose_online(store: Store, keys: Sequence[str]) -> tuple[KeptEntry, ...]:
    """Choose the entries that stand alone, so that nothing else ends or stays with them.

    Raises:
        TryLater: the database changes all the time.
    """
    return _while_still(store.path, lambda: choose_rows(store.path, keys))


def _keep(
    workspace: Workspace, action: Action, keys: Sequence[str]
) -> tuple[tuple[KeptEntry, ...], ArchiveNumbers]:
    """Write the archive, and return when it is read back and synced."""
    disk, home = workspace.disk, workspace.home
    partial = home.archive(action.id) / recovery.PARTIAL
    disk.mkdir(home.archive(action.id), 0o700)

    def keep() -> tuple[tuple[KeptEntry, ...], ArchiveNumbers]:
        if partial.exists():
            disk.unlink(partial)
        fd = disk.open_new(partial, 0o600)
        try:
            found = keep_rows(action.store_path, keys, fd, rule=ONLINE, now_ms=action.created_ms)
            disk.fsync(fd)
        finally:
            os.close(fd)
        return found

    found = _while_still(action.store_path, keep)
    disk.rename(partial, home.records(action.id))
    return found


def _while_still(store: Path, look: Callable[[], _T]) -> _T:
    """Look until nobody writes meanwhile.

    Raises:
        TryLater: somebody always does.
    """
    for _ in range(_ATTEMPTS):
        with suppress(StoreChanged):
            return look()
        clock.sleep_s(_PAUSE_S)
    raise TryLater(f"store keeps changing: {store}; nothing was changed by us")


def _write_manifest(
    workspace: Workspace,
    action: Action,
    before: SurveyNumbers,
    kept: Sequence[KeptEntry],
    archived: ArchiveNumbers,
) -> None:
    rule = Tally(name=ONLINE, entries=len(kept), bytes=sum(each.bytes for each in kept))
    rewrite = RewriteNumbers(
        bytes=before.bytes,
        entries=before.entries - len(kept),
        digest="",
        kept_digest="",
        rules=(rule,),
        records=archived.records,
        archive_bytes=archived.archive_bytes,
        archive_digest=archived.digest,
    )
    archive.write_manifest(workspace, action, before, rewrite)
