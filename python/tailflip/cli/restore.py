"""`tailflip restore`: put archived entries back, and undo actions."""

from __future__ import annotations

import os
import sys
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated

import typer

from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.errors import ArchiveDamaged, StoreInvalid, TailflipError, Usage
from tailflip.base.render import escape, format_forecast, format_gateway, format_report
from tailflip.base.state_dir import Home
from tailflip.base.units import format_count, format_counted
from tailflip.base.workspace import Workspace
from tailflip.cli.completion import offer_actions, offer_jobs
from tailflip.cli.options import Apply, AsJson, OneStore, StateDir, choose_actions, end_with
from tailflip.cli.progress import show_progress
from tailflip.cli.restore_transcripts import (
    choose_slims,
    format_back,
    has_entries,
    print_back,
    unslim_all,
)
from tailflip.cli.settings import read_and_tell
from tailflip.flow.outcomes import ActionKind
from tailflip.ledger.actions import Ledger
from tailflip.ledger.history import History
from tailflip.observe.gateway.release import read_release
from tailflip.observe.installation import locate
from tailflip.observe.records.reading import read_job_names
from tailflip.reclaim import undo as reclaimed
from tailflip.reconcile.write import undo
from tailflip.stores import archive
from tailflip.stores.foresee import Foreseen, foresee
from tailflip.stores.importing import OpenClaw
from tailflip.stores.recovery import recover
from tailflip.stores.restore import restore as put_back
from tailflip.stores.settings import find_place
from tailflip.stores.target import look

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tailflip.config.load import Loaded
    from tailflip.ledger.actions import Action
    from tailflip.stores.archive import Damaged
    from tailflip.stores.importing import Importer
    from tailflip.stores.restore import RestoreOutcome
    from tailflip.stores.target import Scene
    from tailflip.transcripts.undo import Unslimmed

_SHOWN_CONFLICTS = 10
# What becomes of entries, or of changes: the added, the replaced, the unchanged, the conflicts.
_VERBS = (
    ("comes back", "come back"),
    ("gets back what was cut", "get back what was cut"),
    ("is there already", "are there already"),
    ("stays archived: its key lives again", "stay archived: their keys live again"),
)
_VERBS_OF_CHANGES = (
    ("comes back", "come back"),
    ("is taken back", "are taken back"),
    ("is taken back already", "are taken back already"),
    ("stays: its value is another now", "stay: their values are others now"),
)

_VERBS_OF_FILES = (
    ("comes back", "come back"),
    ("is replaced", "are replaced"),
    ("is there already", "are there already"),
    ("stays archived: its name is taken", "stay archived: their names are taken"),
)


def restore(
    *,
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ACTION|KEY",
            autocompletion=offer_actions,
            help="An action's id from `tailflip archive list`: all of it, or only the keys and "
            "jobs also given. Or session keys, from whatever actions hold them.",
            show_default=False,
        ),
    ] = None,
    apply: Apply = False,
    job: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID|NAME",
            help="All archived runs of this cron job; repeatable.",
            autocompletion=offer_jobs,
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All entries: of the action, or of all actions.")
    ] = False,
    store: OneStore = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Put archived entries back, byte for byte. Prints what would happen; --apply does it.

    An entry that lives again under its key is never overwritten: it is reported.
    """
    workspace = Workspace(Home.locate(os.environ), RealDisk())
    known = {action.id: action for action in Ledger(workspace).read_all()}
    actions = [name for name in what or () if name in known]
    keys = [name for name in what or () if name not in known]
    if len(actions) > 1:
        raise Usage("give one action at a time", hint="`--all` takes all actions of a store")
    if everything and (keys or job):
        raise Usage("--all leaves nothing for keys and jobs to choose")
    settings = read_and_tell(state_dir)
    if apply:
        for note in recover(workspace):
            print(f"note: {escape(note)}", file=sys.stderr)
    action = known[actions[0]] if actions else None
    if action is not None and action.kind in undo.KINDS:
        outcome = undo.undo(
            archive.find_action(workspace, action.id),
            env=os.environ,
            workspace=workspace,
            apply=apply,
            now_ms=clock.now_ms(),
            state_dir=state_dir,
        )
        at = _look(None, state_dir, settings)
        seen = None if at is None else Foreseen(at.gateway)
        _print(outcome, action, as_json=as_json, applied=apply, seen=seen)
        return
    if action is not None and action.kind == ActionKind.RECLAIM:
        if keys or job:
            raise Usage("files come back all together: name the action alone")
        outcome = reclaimed.undo(
            workspace,
            archive.find_action(workspace, action.id),
            apply=apply,
            now_ms=clock.now_ms(),
        )
        _print(outcome, action, as_json=as_json, applied=apply, seen=None)
        return
    is_wanted = choose_actions(state_dir)  # by what was said, not by where a gateway is found
    whole = everything and store is None
    slims = choose_slims(
        workspace, action, is_wanted, everything=whole, is_narrow=bool(keys or job)
    )
    back, errors = unslim_all(slims, workspace, state_dir, settings, applied=apply)
    if slims and not has_entries(known.values(), action, is_wanted):
        print_back(back, errors, as_json=as_json, applied=apply)
        return
    state_dir = find_place(settings, os.environ, state_dir, None)
    scene = _look(action.store_path if action is not None else store, state_dir, settings)
    with show_progress() as on_progress:
        outcome = put_back(
            workspace,
            action_id=actions[0] if actions else None,
            keys=keys,
            jobs=_find_job_ids(job or [], state_dir),
            everything=everything,
            store=store,
            is_wanted=is_wanted,
            apply=apply,
            now_ms=clock.now_ms(),
            state_dir=state_dir,
            gateway=scene.gateway if scene is not None and apply else None,
            find_importer=lambda: _find_importer(scene),
            on_progress=on_progress,
        )
        scene = _look(outcome.store, state_dir, settings)
        grown_bytes = 0 if apply else outcome.bytes_after - outcome.bytes_before
        seen = None
        if scene is not None:
            history = History(workspace, os.path.realpath(scene.installation.state_dir))
            seen = foresee(scene, history, grown_bytes, on_progress)
    _print(outcome, action, as_json=as_json, applied=apply, seen=seen, back=back, failed=errors)


def _print(
    outcome: RestoreOutcome,
    action: Action | None,
    *,
    as_json: bool,
    applied: bool,
    seen: Foreseen | None,
    back: Sequence[Unslimmed] = (),
    failed: Sequence[TailflipError] = (),
) -> None:
    """Print the outcome; `seen` None: no installation is left, and nobody loads the store."""
    errors: list[TailflipError] = [*failed, *(_explain(each) for each in outcome.damaged)]
    errors += [_explain_untaken(outcome)] if outcome.untaken else []
    if as_json:
        from tailflip.cli.answers.verbs import Restore  # noqa: PLC0415 - for --json

        about = {each.name: getattr(outcome, each.name) for each in fields(outcome)}
        told = dict.fromkeys(("gateway", "before", "after")) if seen is None else vars(seen)
        Restore.to(
            **about,
            **told,
            action_ids=outcome.actions,
            restored_transcripts=back,
            applied=applied,
            failed=errors,
        ).say()
    else:
        for each in back:
            print(format_back(each))
        print(_format_outcome(outcome, action, seen, applied=applied))
    end_with(errors)


def _look(store: Path | None, state_dir: Path | None, settings: Loaded) -> Scene | None:
    """Look at the installation of a store; None where none is left."""
    try:
        return look(
            os.environ,
            paths=[store] if store is not None else None,
            state_dir=state_dir,
            settings=settings,
        )
    except (TailflipError, OSError):
        return None


def _find_importer(scene: Scene | None) -> Importer:
    """Find OpenClaw's import: of the release that starts next, else of the one on the PATH."""
    if scene is not None:
        return OpenClaw.of(scene.next_start.release)
    return OpenClaw.of(read_release(("openclaw",), os.environ))


def _explain_untaken(outcome: RestoreOutcome) -> StoreInvalid:
    shown = ", ".join(outcome.untaken[:_SHOWN_CONFLICTS])
    more = ", …" if len(outcome.untaken) > _SHOWN_CONFLICTS else ""
    number = format_counted(len(outcome.untaken), "entry", "stays", "stay")
    return StoreInvalid(
        f"OpenClaw's import left out what it does not take for a session; {number} archived: "
        f"{shown}{more}",
        hint=f"`tailflip archive show {outcome.actions[0]}` shows what is in the archive",
    )


def _explain(damaged: Damaged) -> ArchiveDamaged:
    can = f"{format_count(damaged.readable)} of its entries can still be read"
    return ArchiveDamaged(
        f"{damaged.message}; passed over: what it holds did not come back",
        hint=f"{can}: `tailflip archive show {damaged.action}`, `zstdcat`; without use for it, "
        f"`tailflip archive expire {damaged.action} --apply`",
    )


def _find_job_ids(named: list[str], state_dir: Path | None) -> list[str]:
    """Find job ids by the names that `inspect` shows; a text that is no name is an id."""
    if not named:
        return []
    try:
        names = read_job_names(locate(os.environ, state_dir=state_dir))
    except TailflipError:
        return named  # an archive can be restored where no installation is left
    return [
        job_id
        for word in named
        for job_id in ([i for i, name in names.items() if name == word] or [word])
    ]


def _format_outcome(
    outcome: RestoreOutcome, action: Action | None, seen: Foreseen | None, *, applied: bool
) -> str:
    is_of_files = action is not None and action.kind == ActionKind.RECLAIM
    if outcome.report is not None:
        back = f"{escape(outcome.store)}: put back in {outcome.report.took_s:.1f} s"
        lines = [back if is_of_files else format_report(outcome.report)]
    else:
        lines = [f"{escape(outcome.store)}: from {', '.join(map(escape, outcome.actions))}"]
    if outcome.across and outcome.added and not applied:
        lines.append(
            "  its sessions are in this database now: OpenClaw's own import brings them, with the "
            "gateway stopped"
        )
    is_change = action is not None and action.kind in undo.KINDS
    noun, verbs = ("change", _VERBS_OF_CHANGES) if is_change else ("entry", _VERBS)
    if is_of_files:
        noun, verbs = "file", _VERBS_OF_FILES
    numbers = outcome.added, outcome.replaced, outcome.unchanged, outcome.conflicts
    lines += [
        f"  {format_counted(number, noun, *each)}"
        for number, each in zip(numbers, verbs, strict=True)
        if number
    ]
    if outcome.cut:
        stay = format_counted(outcome.cut, "entry", "stays slim", "stay slim")
        lines.append(f"  {stay}: the gateway builds again what was cut")
    lines += [f"    {escape(key)}" for key in outcome.conflict_keys[:_SHOWN_CONFLICTS]]
    if outcome.conflicts > _SHOWN_CONFLICTS:
        lines.append("    …")
    lines += _format_foreseen(seen, applied=applied) if seen is not None else ()
    if not applied:
        lines.append("nothing was changed; add --apply to do it")
    elif outcome.report is None:
        lines.append("nothing to do")
    return "\n".join(lines)


def _format_foreseen(seen: Foreseen, *, applied: bool) -> list[str]:
    """Say whether the gateway can load the store as it was, and as it is or would be."""
    lines = []
    if seen.before is not None and not applied:
        lines.append(f"before:  {format_forecast(seen.before)}")
    if seen.after is not None:
        told = format_forecast(seen.after, is_second=bool(lines))
        lines.append(f"after:   {told}")
    lines.append(f"gateway: {format_gateway(seen.gateway)}")
    if seen.after is not None and seen.after.over:
        dies = "will die" if applied else "would then die"
        lines.append(
            f"warning: a gateway that starts with this {dies} of it; `tailflip compact --apply` "
            "makes the store small again"
        )
    return lines
