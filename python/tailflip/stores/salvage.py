"""Salvages a store that is broken or gone: from itself, a backup, or a temporary file.

The gateway takes a broken store for an empty one and overwrites it at its next write.
So the damaged file is first set aside whole, byte for byte. Then its proven entries, or a file
beside it that holds more, become the store. A salvage that may lose more than the damaged
places needs `accept_loss`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tailflip.base import clock
from tailflip.base.durable import naming, open_regular, resolve
from tailflip.base.errors import StoreInvalid, TryLater, Usage
from tailflip.flow.outcomes import ActionKind, Report
from tailflip.stores import draft as drafts
from tailflip.stores import recovery
from tailflip.stores.candidates import SalvagePlan, hint_to_begin_anew, hint_to_decide
from tailflip.stores.formats import find_engine
from tailflip.stores.ownership import require_leave
from tailflip.stores.preflight import find_missing_room, find_refusals, refuse
from tailflip.stores.replace import copy_bytes, is_same

if TYPE_CHECKING:
    from pathlib import Path

    from tailflip.base.progress import Progress
    from tailflip.base.workspace import Workspace
    from tailflip.flow.observed import Gateway, Store
    from tailflip.ledger.actions import Action
    from tailflip.stores.candidates import Candidate
    from tailflip.stores.draft import Draft
    from tailflip.stores.engine import Opened, Salvager


def plan_salvage(
    store: Store, on_progress: Progress | None = None, *, accept_loss: bool = False
) -> SalvagePlan:
    """Measure how much of a broken or missing store can be salvaged; changes nothing.

    Args:
        store: The path of the store.
        on_progress: As for a compaction.
        accept_loss: Plan an empty store where there is nothing to rebuild it from.

    Raises:
        StoreInvalid: There is nothing to rebuild it from.
    """
    path = store.path.absolute()
    salvager = _find_salvager(path)
    with naming(path):
        found = tuple(salvager.measure(each, on_progress) for each in salvager.list_files(path))
    if not found:
        raise StoreInvalid(f"nothing can be salvaged: {path}; no file of it is there")
    plan = SalvagePlan(path, found, store.state_dir)
    # Bytes that we cannot read may be a store: a person decides whether to begin an empty one.
    if not (plan.best.entries or plan.is_nothing or (accept_loss and plan.own is not None)):
        raise StoreInvalid(
            f"nothing can be salvaged: {path}; bytes intact", hint=hint_to_begin_anew(path)
        )
    return plan


def apply_salvage(
    plan: SalvagePlan,
    *,
    workspace: Workspace,
    now_ms: int,
    source: Path | None = None,
    accept_loss: bool = False,
    gateway: Gateway | None = None,
    on_progress: Progress | None = None,
) -> Report:
    """Set a broken store aside and put a whole one in its place.

    Args:
        plan: The plan that was shown; executed as shown or not at all.
        workspace: Where the broken store is set aside, and the effects.
        now_ms: Names the action.
        source: The candidate to use; None for the best.
        accept_loss: A person accepts that more than the damaged places may be lost.
        gateway: the store's gateway, where it is known: it must honour our lock.
        on_progress: As for a compaction.

    Raises:
        StoreInvalid: More than the damaged places may be lost.
        TryLater: The files are no longer those that were measured.
        Usage: No such candidate.
    """
    started = clock.monotonic_s()
    chosen = plan.best
    if source is not None:
        named = [c for c in plan.candidates if c.path == resolve(source)]
        if not named:
            raise Usage(f"not among what can be salvaged: {source}")
        chosen = named[0]
    elif plan.doubt is not None and not accept_loss:
        raise StoreInvalid(
            f"not salvaged: {plan.store}; {plan.doubt}; nothing was changed",
            hint=hint_to_decide(plan),
        )

    engine = find_engine(plan.store)

    def attempt(opened: Opened) -> Report:
        return _salvage_once(
            opened, plan, chosen, workspace=workspace, now_ms=now_ms, on_progress=on_progress
        )

    with naming(plan.store), workspace.claim():
        recovery.settle_all(workspace)
        require_leave(plan.store, plan.state_dir)
        if os.path.lexists(plan.store):
            refuse(find_refusals(plan.store, plan.state_dir, gateway=gateway))
        report = engine.attempt(plan.store, workspace.disk, attempt, plan.state_dir)
    return report.model_copy(update={"took_s": drafts.measure_s(started)})


def undo(
    workspace: Workspace,
    action: Action,
    *,
    apply: bool,
    now_ms: int,
    state_dir: Path | None = None,
    on_progress: Progress | None = None,
) -> Report | None:
    """Put the damaged bytes back as they were; the salvaged store is set aside in turn.

    Raises:
        TryLater: The store was written to since, and the new entries would be lost.
        Usage: There were no damaged bytes: the store was missing.
    """
    quarantined, path = workspace.home.quarantined(action.id), action.store_path
    if not quarantined.exists():
        raise Usage(
            f"there was no store before that salvage: {action.id}",
            hint="it copied a backup to where none was; nothing was changed now",
        )
    started = clock.monotonic_s()

    engine = find_engine(path)

    def attempt(opened: Opened) -> Report:
        if opened.is_missing:
            raise StoreInvalid(
                f"store is missing: {path}; nothing was changed",
                hint=f"the damaged bytes are in {quarantined}",
            )
        salvaged = engine.verify_opened(opened, on_progress)
        if salvaged.digest != action.details.digest:
            raise TryLater(
                f"store was written to since it was salvaged: {path}; nothing was changed",
                hint=f"the damaged bytes are in {quarantined}",
            )
        with open_regular(quarantined) as damaged:
            size_bytes = os.fstat(damaged).st_size
            refuse(
                find_missing_room(
                    opened.real,
                    workspace.home,
                    new_bytes=size_bytes,
                    removed_bytes=4 * salvaged.bytes,
                )
            )
            with drafts.begin(
                workspace, opened, kind=ActionKind.RESTORE, now_ms=now_ms, undoing=True
            ) as draft:
                opened.copy_to(workspace.disk, workspace.home.quarantined(draft.action.id))
                copy_bytes(workspace.disk, damaged, draft.fds[0])
                drafts.commit(
                    workspace,
                    draft,
                    digest="",
                    is_as_written=lambda fd: is_same(fd, damaged),
                )
                drafts.finish(workspace, draft)
        return _report(
            draft,
            ActionKind.RESTORE,
            entries_before=salvaged.entries,
            entries_after=0,
            bytes_before=salvaged.bytes,
            bytes_after=size_bytes,
        )

    require_leave(path, state_dir, undoing=True)
    if not apply:
        return None
    with naming(path), workspace.claim():
        recovery.settle_all(workspace)
        refuse(find_refusals(path, state_dir, undoing=True))
        report = engine.attempt(path, workspace.disk, attempt, state_dir)
    return report.model_copy(update={"took_s": drafts.measure_s(started)})


def _salvage_once(
    opened: Opened,
    plan: SalvagePlan,
    chosen: Candidate,
    *,
    workspace: Workspace,
    now_ms: int,
    on_progress: Progress | None,
) -> Report:
    engine = find_engine(plan.store)
    in_store = next((c for c in plan.candidates if c.path == opened.real), None)
    size_bytes = opened.size_bytes
    if size_bytes != (0 if in_store is None else in_store.size_bytes) or (
        in_store is not None and in_store.damage is None
    ):
        raise TryLater(
            f"store is not the one that was looked at: {plan.store}; nothing was changed",
            hint="look again",
        )
    refuse(
        find_missing_room(
            opened.real,
            workspace.home,
            new_bytes=chosen.written.bytes,
            removed_bytes=4 * size_bytes,
        )
    )
    with drafts.begin(workspace, opened, kind=ActionKind.SALVAGE, now_ms=now_ms) as draft:
        if not opened.is_missing:
            opened.copy_to(workspace.disk, workspace.home.quarantined(draft.action.id))
        if chosen.damage is None:
            with open_regular(chosen.path) as fd:
                copy_bytes(workspace.disk, fd, draft.fds[0])
        else:
            _find_salvager(plan.store).write(chosen.path, draft.fds[0], on_progress)
        # This also proves that the candidate is still the file that was measured and shown.
        drafts.commit(
            workspace,
            draft,
            digest=chosen.written.digest,
            is_as_written=lambda fd: engine.verify(fd, on_progress) == chosen.written,
        )
        drafts.finish(workspace, draft)
    before = 0 if in_store is None else in_store.entries + in_store.left
    done = _report(
        draft,
        ActionKind.SALVAGE,
        entries_before=before,
        entries_after=chosen.written.entries,
        bytes_before=size_bytes,
        bytes_after=chosen.written.bytes,
    )
    loss = chosen.describe_loss()
    done = done.model_copy(
        update={"entries_left": chosen.left, "warnings": (loss,) if loss else ()}
    )
    if opened.is_missing:
        return done
    return done.model_copy(
        update={
            "archive": str(workspace.home.quarantined(draft.action.id)),
            "archive_bytes": size_bytes,
            "undo": draft.action.undo,
        }
    )


def _report(
    draft: Draft,
    kind: ActionKind,
    *,
    entries_before: int,
    entries_after: int,
    bytes_before: int,
    bytes_after: int,
) -> Report:
    return Report(
        action_id=draft.action.id,
        kind=kind,
        store=draft.action.store,
        entries_before=entries_before,
        entries_after=entries_after,
        bytes_before=bytes_before,
        bytes_after=bytes_after,
        lock_held_s=round(draft.lock_held_s, 3),
    )


def _find_salvager(store: Path) -> Salvager:
    """Find the salvager of a store's engine.

    Raises:
        StoreInvalid: Its engine has none.
    """
    salvager = find_engine(store).salvager
    if salvager is None:
        raise StoreInvalid(f"nothing can be salvaged of a store of this kind: {store}")
    return salvager
