"""Puts archived entries back, with the lock and the verification of a compaction.

Actions are undone newest first, so that an entry which was slimmed and later removed
comes back whole. A key that lives again with other bytes is a conflict: the living
entry stays, the archived one stays in the archive, and the conflict is reported.
Entries of a store that went into a database since come by way of OpenClaw's import (`across`).
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from tailflip.base import clock
from tailflip.base.durable import naming
from tailflip.base.errors import StoreInvalid, TryLater, Unavailable
from tailflip.base.units import format_counted
from tailflip.flow.late import dataclass
from tailflip.flow.numbers import RestoreNumbers, Selection, VerifyNumbers
from tailflip.flow.outcomes import ActionKind, Report
from tailflip.observe.installation import find_own_state_dir
from tailflip.stores import across, recovery, salvage
from tailflip.stores import draft as drafts
from tailflip.stores.formats import find_engine
from tailflip.stores.generations import correct
from tailflip.stores.preflight import find_missing_room, find_refusals, refuse
from tailflip.stores.wanted import Wanted, choose, widen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tailflip.base.errors import TailflipError
    from tailflip.base.progress import Progress
    from tailflip.base.state_dir import Home
    from tailflip.base.workspace import Workspace
    from tailflip.flow.observed import Gateway
    from tailflip.ledger.actions import Action
    from tailflip.stores.across import Brought, Crossing
    from tailflip.stores.archive import Damaged
    from tailflip.stores.draft import Draft
    from tailflip.stores.engine import Engine, Opened
    from tailflip.stores.importing import Importer

# Of an entry there are in scratch, at one time, its text, its rows and a copy of each in the room
# that an archive would take of it: `find_missing_room` counts a quarter.
_SCRATCH = 12


@dataclass(frozen=True)
class RestoreOutcome:
    """The outcome of a restore: planned, or done if there is a `report`.

    `actions` are those that entries come from, newest first. An entry that several of them hold
    counts once for each: an older generation with other bytes than the newest is one of the
    `conflicts`, of which `conflict_keys` names some. `bytes_before` and `bytes_after` are of the
    store. `damaged` names the archives that were passed over; their entries are in none of the
    other numbers. `across`: they are of JSON, and `store` is the database that has the sessions
    now. `cut` counts entries that were slimmed before, and live in it: they stay slim. `untaken`
    are keys that OpenClaw's import left out.
    """

    store: Path
    actions: tuple[str, ...]
    added: int
    replaced: int
    unchanged: int
    conflicts: int
    conflict_keys: tuple[str, ...]
    report: Report | None
    damaged: tuple[Damaged, ...] = ()
    bytes_before: int = 0
    bytes_after: int = 0
    across: bool = False
    cut: int = 0
    untaken: tuple[str, ...] = ()


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
    find_importer: Callable[[], Importer] | None = None,
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
        state_dir: Of the installation, where the store's own place does not tell it.
        gateway: The store's gateway, where it is known: it must honour our lock.
        find_importer: Finds OpenClaw's import, for entries of a store that is a database now.
        on_progress: As for a compaction.

    Raises:
        Unavailable: OpenClaw's import is needed, and failed or was not found.
        Usage: Nothing is selected, there is no such action, or several stores could be meant.
        OnRecord: A gateway has the store on record, and the bytes would be others.
        ArchiveDamaged: That of the named action, or all that could hold the entries.
        TryLater: Locked, or changing all the time.
    """
    wanted = choose(
        workspace,
        action_id=action_id,
        keys=keys,
        jobs=jobs,
        everything=everything,
        store=store,
        is_wanted=is_wanted,
    )
    # The lock that keeps a gateway out is that of its own directory, wherever a person stands.
    state_dir = find_own_state_dir(wanted.store) or state_dir
    if state_dir is not None and not state_dir.is_dir():
        state_dir = None
    wanted = replace(wanted, state_dir=state_dir)
    database = across.find_database(wanted.store)
    if database is not None and wanted.actions[0].kind == ActionKind.COMPACT:
        return _cross(
            workspace,
            wanted,
            database,
            apply=apply,
            now_ms=now_ms,
            gateway=gateway,
            find_importer=find_importer,
            on_progress=on_progress,
        )
    wanted = widen(workspace, wanted, everything=everything)
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


def _cross(
    workspace: Workspace,
    wanted: Wanted,
    database: Path,
    *,
    apply: bool,
    now_ms: int,
    gateway: Gateway | None,
    find_importer: Callable[[], Importer] | None,
    on_progress: Progress | None,
) -> RestoreOutcome:
    """Put entries of a store of JSON into the database that took it over."""
    started, engine = clock.monotonic_s(), find_engine(database)
    home, disk = workspace.home, workspace.disk
    crossing = across.look(wanted, database, home, disk)
    if not apply or not crossing.sizes:
        with naming(database), engine.opening(database) as source:
            return _tell(wanted, crossing, source.size_bytes)
    if gateway is not None and gateway.alive:
        raise TryLater(
            f"the gateway is running (pid {gateway.pid}), and its database can be changed only "
            f"while it is stopped: {database}; nothing was changed",
            hint="stop the gateway, and try again",
        )
    if find_importer is None:
        raise Unavailable(f"no OpenClaw was named that could import into {database}")
    importer = find_importer()
    with naming(database), workspace.claim():
        recovery.settle_all(workspace)
        refuse(find_refusals(database, wanted.state_dir, undoing=True, gateway=gateway))
        crossing = across.look(wanted, database, home, disk)
        refuse(
            find_missing_room(
                database, home, new_bytes=0, removed_bytes=_SCRATCH * sum(crossing.sizes.values())
            )
        )
        with across.bringing(workspace, wanted, crossing, importer, now_ms) as brought:
            own = replace(
                wanted, store=database, selection=Selection(all=True), records=brought.records
            )

            def attempt(source: Opened) -> RestoreOutcome:
                return _restore_once(
                    workspace, engine, own, source, now_ms=now_ms, on_progress=on_progress
                )

            done = engine.attempt(database, disk, attempt, wanted.state_dir)
    return _add(done, crossing, brought, drafts.measure_s(started))


def _tell(wanted: Wanted, crossing: Crossing, size_bytes: int) -> RestoreOutcome:
    """Say what would come to a database of so many bytes."""
    return RestoreOutcome(
        store=crossing.database,
        actions=tuple(a.id for a in wanted.actions),
        added=len(crossing.sizes),
        replaced=0,
        unchanged=crossing.unchanged,
        conflicts=crossing.conflicts,
        conflict_keys=crossing.conflict_keys,
        report=None,
        damaged=wanted.damaged,
        bytes_before=size_bytes,
        bytes_after=size_bytes + sum(crossing.sizes.values()),
        across=True,
        cut=crossing.cut,
    )


def _add(
    done: RestoreOutcome, crossing: Crossing, brought: Brought, took_s: float
) -> RestoreOutcome:
    """Add to what came what stayed archived, and what came in part."""
    report = done.report
    if report is not None:
        warnings = report.warnings
        if brought.cut_short:
            count = format_counted(len(brought.cut_short), "transcript")
            where = "`tailflip archive show` says where"
            warnings += (f"{count} could be read in part; the whole stays archived, {where}",)
        report = report.model_copy(update={"took_s": took_s, "warnings": warnings})
    return replace(
        done,
        unchanged=done.unchanged + crossing.unchanged,
        conflicts=done.conflicts + crossing.conflicts,
        conflict_keys=(*done.conflict_keys, *crossing.conflict_keys),
        report=report,
        across=True,
        cut=crossing.cut,
        untaken=brought.untaken,
    )


def _measure(home: Home, engine: Engine, wanted: Wanted, source: Opened) -> list[RestoreNumbers]:
    """Compare each action with the present store: entries to put back, and every conflict."""
    if source.is_missing:
        raise StoreInvalid(
            f"store is missing: {wanted.store}", hint="`tailflip compact` looks for a backup"
        )
    found: list[RestoreNumbers] = []
    for reading in wanted.reading(home):
        with reading as records:
            found.append(engine.put_back(source, None, records, wanted.selection))
    return found


def _sum_up(wanted: Wanted, source: Opened, found: Sequence[RestoreNumbers]) -> RestoreOutcome:
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
    wanted: Wanted,
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
    if _find_no_room(workspace.home, source, measured):
        # Each archive was measured alone: what several of them hold comes back once.
        measured = correct(
            workspace.home,
            engine,
            source,
            found=measured,
            actions=wanted.actions,
            selection=wanted.selection,
        )
        refuse(_find_no_room(workspace.home, source, measured))
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


def _find_no_room(
    home: Home, source: Opened, measured: Sequence[RestoreNumbers]
) -> tuple[TailflipError, ...]:
    """Find out whether the two drafts fit that a restore writes in turn."""
    grown = source.size_bytes + sum(max(0, n.bytes - source.size_bytes) for n in measured)
    return find_missing_room(source.real, home, new_bytes=2 * grown, removed_bytes=0)


def _write(
    home: Home, engine: Engine, draft: Draft, wanted: Wanted, source: Opened
) -> list[RestoreNumbers]:
    """Add one archive after the other to the store, writing to two drafts in turn.

    The finished file ends up first in the draft.
    """
    passes: list[RestoreNumbers] = []
    onto: Opened | int = source
    for reading in wanted.reading(home):
        with reading as records:
            out = draft.fds[1]
            os.ftruncate(out, 0)
            os.lseek(out, 0, os.SEEK_SET)
            passes.append(engine.put_back(onto, out, records, wanted.selection))
            onto = out
            draft.fds.reverse()
            draft.temps.reverse()
    return passes
