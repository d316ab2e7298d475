"""Puts archived entries back, with the lock and the verification of a compaction.

Actions are undone newest first, so that an entry which was slimmed and later removed
comes back whole. A key that lives again with other bytes is a conflict: the living
entry stays, the archived one stays in the archive, and the conflict is reported.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from tailflip.base import clock
from tailflip.base.durable import naming, resolve
from tailflip.base.errors import ArchiveDamaged, StoreInvalid, Usage
from tailflip.flow.late import dataclass
from tailflip.flow.numbers import RestoreNumbers, Selection, VerifyNumbers
from tailflip.flow.outcomes import ActionKind, Report
from tailflip.ledger.actions import Ledger
from tailflip.stores import archive, recovery, salvage
from tailflip.stores import draft as drafts
from tailflip.stores.formats import find_engine
from tailflip.stores.generations import correct, read_wanted
from tailflip.stores.ownership import choose_undone, find_claim, require_leave
from tailflip.stores.preflight import find_missing_room, find_refusals, refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tailflip.base.progress import Progress
    from tailflip.base.state_dir import Home
    from tailflip.base.workspace import Workspace
    from tailflip.flow.observed import Gateway
    from tailflip.ledger.actions import Action
    from tailflip.stores.draft import Draft
    from tailflip.stores.engine import Engine, Opened


@dataclass(frozen=True)
class RestoreOutcome:
    """The outcome of a restore: planned, or done if there is a `report`.

    `actions` are those that entries come from, newest first. An entry that several of them hold
    counts once for each: an older generation with other bytes than the newest is one of the
    `conflicts`, of which `conflict_keys` names some. `bytes_before` and `bytes_after` are of the
    store. `damaged` names the archives that were passed over; their entries are in none of the
    other numbers.
    """

    store: Path
    actions: tuple[str, ...]
    added: int
    replaced: int
    unchanged: int
    conflicts: int
    conflict_keys: tuple[str, ...]
    report: Report | None
    damaged: tuple[archive.Damaged, ...] = ()
    bytes_before: int = 0
    bytes_after: int = 0


@dataclass(frozen=True)
class _Wanted:
    """The entries to put back, the actions they come from, and their store."""

    store: Path
    actions: tuple[Action, ...]
    selection: Selection
    state_dir: Path | None = None
    damaged: tuple[archive.Damaged, ...] = ()


def restore(
    workspace: Workspace,
    *,
    action_id: str | None = None,
    keys: Sequence[str] = (),
    jobs: Sequence[str] = (),
    everything: bool = False,
    store: Path | None = None,
    is_wanted: Callable[[Action], bool] = lambda _: True,
    apply: bool,
    now_ms: int,
    state_dir: Path | None = None,
    gateway: Gateway | None = None,
    on_progress: Progress | None = None,
) -> RestoreOutcome:
    """Plan to put entries back; with `apply`, put them back.

    A store that a gateway has on record gets exactly the bytes on record, or none: with an
    action, all our later actions on the store are undone too.

    Args:
        workspace: Where the archives are, and the effects.
        action_id: Take entries of this action; given alone, all of them. Of a salvage it puts
            the damaged bytes back, as they were.
        keys: Session keys, from whatever actions hold them.
        jobs: Cron job ids, from whatever actions hold their runs.
        everything: All entries of all actions of the store.
        store: Needed where the actions are of several stores.
        is_wanted: Whether entries may be taken from an action that was not named.
        apply: Put the entries back.
        now_ms: Names the action.
        state_dir: Of the installation, where it is known.
        gateway: The store's gateway, where it is known: it must honour our lock.
        on_progress: As for a compaction.

    Raises:
        Usage: Nothing is selected, there is no such action, or several stores could be meant.
        OnRecord: A gateway has the store on record, and the bytes would be others.
        ArchiveDamaged: That of the named action, or all that could hold the entries.
        TryLater: Locked, or changing all the time.
    """
    wanted = _choose(
        workspace,
        action_id=action_id,
        keys=keys,
        jobs=jobs,
        everything=everything,
        store=store,
        is_wanted=is_wanted,
    )
    wanted = _widen(workspace, replace(wanted, state_dir=state_dir), everything=everything)
    if wanted.actions[0].kind == ActionKind.SALVAGE:
        report = salvage.undo(
            workspace,
            wanted.actions[0],
            apply=apply,
            now_ms=now_ms,
            state_dir=state_dir,
            on_progress=on_progress,
        )
        return RestoreOutcome(wanted.store, (wanted.actions[0].id,), 0, 0, 0, 0, (), report)
    started, engine = clock.monotonic_s(), find_engine(wanted.store)
    if not apply:
        with naming(wanted.store), engine.opening(wanted.store) as source:
            found = _measure(workspace.home, engine, wanted, source)
            found = correct(
                workspace.home,
                engine,
                source,
                found=found,
                actions=wanted.actions,
                selection=wanted.selection,
            )
            return _sum_up(wanted, source, found)

    def attempt(source: Opened) -> RestoreOutcome:
        return _restore_once(
            workspace, engine, wanted, source, now_ms=now_ms, on_progress=on_progress
        )

    with naming(wanted.store), workspace.claim():
        recovery.settle_all(workspace)
        refuse(find_refusals(wanted.store, state_dir, undoing=True, gateway=gateway))
        outcome = engine.attempt(wanted.store, workspace.disk, attempt, state_dir)
    if outcome.report is None:
        return outcome
    took_s = drafts.measure_s(started)
    return replace(outcome, report=outcome.report.model_copy(update={"took_s": took_s}))


def _widen(workspace: Workspace, wanted: _Wanted, *, everything: bool) -> _Wanted:
    """Add the later actions on a store on record: undoing all of them gives its bytes.

    Raises:
        OnRecord: The store has the bytes on record already, or the record cannot be read.
    """
    require_leave(wanted.store, wanted.state_dir, undoing=True)
    claim = find_claim(wanted.store, wanted.state_dir)
    if claim is None or not wanted.selection.all:
        return wanted
    since = min(action.created_ms for action in wanted.actions)
    later = [
        a
        for a in choose_undone(Ledger(workspace).read_all(), claim)
        if a.created_ms >= since and a.kind == ActionKind.COMPACT
    ]
    # Entries removed before the store went on record are not part of its bytes on record.
    named = () if everything and later else wanted.actions
    known = {action.id: action for action in (*named, *later)}
    newest_first = sorted(known.values(), key=lambda a: (a.created_ms, a.id), reverse=True)
    return replace(wanted, actions=tuple(newest_first))


def _choose(
    workspace: Workspace,
    *,
    action_id: str | None,
    keys: Sequence[str],
    jobs: Sequence[str],
    everything: bool,
    store: Path | None,
    is_wanted: Callable[[Action], bool],
) -> _Wanted:
    """Find the actions that hold the wanted entries; all of one store."""
    narrow = Selection(keys=tuple(keys), jobs=tuple(jobs))
    if action_id is not None:
        action = archive.find_action(workspace, action_id)
        if action.took_nothing:
            hint = "its job is enabled as it was before; there is nothing to undo"
            if action.kind == ActionKind.RESTORE:
                hint = "to take out again what it put back, run `tailflip compact` or `reconcile`"
            raise Usage(f"a {action.kind} archives nothing: {action_id}", hint=hint)
        selection = narrow if keys or jobs else Selection(all=True)
        return _Wanted(action.store_path, (action,), selection)
    if not (keys or jobs or everything):
        raise Usage("nothing to restore was named", hint="see `tailflip archive list`")
    listed = archive.list_actions(workspace, is_wanted)
    held = [each.action for each in listed if each.action.kind == ActionKind.COMPACT]
    if store is not None:
        held = [a for a in held if resolve(a.store_path) == resolve(store)]
    selection = Selection(all=True) if everything else narrow
    whole, damaged = _sort_out(workspace.home, held, selection)
    if not whole and damaged:
        names = ", ".join(f"{each.action} ({each.message})" for each in damaged)
        raise ArchiveDamaged(
            f"no whole archive holds that, and these are damaged: {names}",
            hint="`tailflip archive show ACTION` lists what can still be read of one",
        )
    if not whole:
        raise Usage(
            f"no archive holds that: looked in {workspace.home.archives}",
            hint="`tailflip archive show ACTION` names the keys that an action took",
        )
    stores = sorted({a.store for a in whole})
    if len(stores) > 1:
        raise Usage(
            f"archives of {len(stores)} stores hold that: {', '.join(stores)}",
            hint="say which with --store",
        )
    return _Wanted(whole[0].store_path, whole, selection, damaged=damaged)


def _sort_out(
    home: Home, actions: Sequence[Action], selection: Selection
) -> tuple[tuple[Action, ...], tuple[archive.Damaged, ...]]:
    """Separate the actions that hold the wanted entries from those whose archive is damaged."""
    held: list[Action] = []
    damaged: list[archive.Damaged] = []
    for action in actions:
        found = archive.find_damage(home, action.id)
        if found is not None:
            damaged.append(found)
        elif selection.all or _holds(home, action, selection):
            held.append(action)
    return tuple(held), tuple(damaged)


def _holds(home: Home, action: Action, selection: Selection) -> bool:
    return any(True for _ in read_wanted(home, action, selection))


def _measure(home: Home, engine: Engine, wanted: _Wanted, source: Opened) -> list[RestoreNumbers]:
    """Compare each action with the present store: entries to put back, and every conflict."""
    if source.is_missing:
        raise StoreInvalid(
            f"store is missing: {wanted.store}", hint="`tailflip compact` looks for a backup"
        )
    found: list[RestoreNumbers] = []
    for action in wanted.actions:
        with archive.reading_records(home, action.id) as records:
            found.append(engine.put_back(source, None, records, wanted.selection))
    return found


def _sum_up(wanted: _Wanted, source: Opened, found: Sequence[RestoreNumbers]) -> RestoreOutcome:
    before_bytes = source.size_bytes
    return RestoreOutcome(
        store=wanted.store,
        actions=tuple(a.id for a in wanted.actions),
        added=sum(n.added for n in found),
        replaced=sum(n.replaced for n in found),
        unchanged=sum(n.unchanged for n in found),
        conflicts=sum(n.conflicts for n in found),
        conflict_keys=tuple(k for n in found for k in n.conflict_keys),
        report=None,
        damaged=wanted.damaged,
        bytes_before=before_bytes,
        bytes_after=before_bytes + sum(n.bytes - before_bytes for n in found),
    )


def _restore_once(
    workspace: Workspace,
    engine: Engine,
    wanted: _Wanted,
    source: Opened,
    *,
    now_ms: int,
    on_progress: Progress | None,
) -> RestoreOutcome:
    measured = _measure(workspace.home, engine, wanted, source)
    outcome = _sum_up(wanted, source, measured)
    if not outcome.added + outcome.replaced:
        return outcome
    before_bytes = source.size_bytes
    grown = before_bytes + sum(max(0, n.bytes - before_bytes) for n in measured)
    refuse(find_missing_room(source.real, workspace.home, new_bytes=2 * grown, removed_bytes=0))
    with drafts.begin(
        workspace,
        source,
        kind=ActionKind.RESTORE,
        now_ms=now_ms,
        temps=2,
        sources=outcome.actions,
        undoing=True,
    ) as draft:
        passes = _write(workspace.home, engine, draft, wanted, source)
        last = passes[-1]
        written = VerifyNumbers.of(last)
        drafts.commit(
            workspace,
            draft,
            digest=last.digest,
            is_as_written=lambda fd: engine.verify(fd, on_progress) == written,
        )
        transcripts, warnings = drafts.finish(workspace, draft)
    # Each pass was compared with what the passes before it had put back.
    done = _sum_up(wanted, source, passes)
    report = Report(
        action_id=draft.action.id,
        kind=ActionKind.RESTORE,
        store=str(wanted.store),
        entries_before=last.entries - done.added,
        entries_after=last.entries,
        bytes_before=before_bytes,
        bytes_after=last.bytes,
        transcripts=transcripts,
        lock_held_s=round(draft.lock_held_s, 3),
        warnings=warnings,
    )
    return replace(done, bytes_before=before_bytes, bytes_after=last.bytes, report=report)


def _write(
    home: Home, engine: Engine, draft: Draft, wanted: _Wanted, source: Opened
) -> list[RestoreNumbers]:
    """Add one archive after the other to the store, writing to two drafts in turn.

    The finished file ends up first in the draft.
    """
    passes: list[RestoreNumbers] = []
    reading: Opened | int = source
    for action in wanted.actions:
        with archive.reading_records(home, action.id) as records:
            out = draft.fds[1]
            os.ftruncate(out, 0)
            os.lseek(out, 0, os.SEEK_SET)
            passes.append(engine.put_back(reading, out, records, wanted.selection))
            reading = out
            draft.fds.reverse()
            draft.temps.reverse()
    return passes
