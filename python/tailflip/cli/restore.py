"""`tailflip restore`: put archived entries back, and undo actions."""

from __future__ import annotations

import os
import sys
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated

import typer

from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.errors import ArchiveDamaged, TailflipError, Usage
from tailflip.base.render import escape, format_report
from tailflip.base.state_dir import Home
from tailflip.base.units import format_count
from tailflip.base.workspace import Workspace
from tailflip.cli.completion import offer_actions, offer_jobs
from tailflip.cli.options import Apply, AsJson, OneStore, StateDir, choose_actions, end_with
from tailflip.cli.progress import show_progress
from tailflip.cli.settings import read_and_tell
from tailflip.ledger.actions import Ledger
from tailflip.observe.gateway.liveness import read_gateway
from tailflip.observe.installation import locate, read_job_names
from tailflip.reconcile.write import undo
from tailflip.stores import archive
from tailflip.stores.recovery import recover
from tailflip.stores.restore import restore as put_back
from tailflip.stores.settings import find_place

if TYPE_CHECKING:
    from pathlib import Path

    from tailflip.flow.observed import Gateway
    from tailflip.stores.archive import Damaged
    from tailflip.stores.restore import RestoreOutcome

_SHOWN_CONFLICTS = 10


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
        _print(outcome, as_json=as_json, applied=apply)
        return
    is_wanted = choose_actions(state_dir)  # by what was said, not by where a gateway is found
    state_dir = find_place(read_and_tell(state_dir), os.environ, state_dir, None)
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
            gateway=_find_gateway(state_dir) if apply else None,
            on_progress=on_progress,
        )
    _print(outcome, as_json=as_json, applied=apply)


def _print(outcome: RestoreOutcome, *, as_json: bool, applied: bool) -> None:
    errors: list[TailflipError] = [_explain(each) for each in outcome.damaged]
    if as_json:
        from tailflip.cli.answers.verbs import Restore  # noqa: PLC0415 - for programs only

        about = {each.name: getattr(outcome, each.name) for each in fields(outcome)}
        Restore.to(**about, action_ids=outcome.actions, applied=applied, failed=errors).say()
    else:
        print(_format_outcome(outcome, applied=applied))
    end_with(errors)


def _explain(damaged: Damaged) -> ArchiveDamaged:
    can = f"{format_count(damaged.readable)} of its entries can still be read"
    return ArchiveDamaged(
        f"{damaged.message}; passed over: what it holds did not come back",
        hint=f"{can}: `tailflip archive show {damaged.action}`, `zstdcat`; without use for it, "
        f"`tailflip archive expire {damaged.action} --apply`",
    )


def _find_gateway(state_dir: Path | None) -> Gateway | None:
    """Find the gateway of the store; None where no installation is left."""
    try:
        return read_gateway(locate(os.environ, state_dir=state_dir), os.environ)
    except (TailflipError, OSError):
        return None


def _find_job_ids(named: list[str], state_dir: Path | None) -> list[str]:
    """Find job ids by the names that `inspect` shows; a text that is no name is an id."""
    if not named:
        return []
    try:
        names = read_job_names(locate(os.environ, state_dir=state_dir).cron_store)
    except TailflipError:
        return named  # an archive can be restored where no installation is left
    return [
        job_id
        for word in named
        for job_id in ([i for i, name in names.items() if name == word] or [word])
    ]


def _format_outcome(outcome: RestoreOutcome, *, applied: bool) -> str:
    if outcome.report is not None:
        lines = [format_report(outcome.report)]
    else:
        lines = [f"{escape(outcome.store)}: from {', '.join(map(escape, outcome.actions))}"]
    counts = {
        "come back": outcome.added,
        "get back what was cut from them": outcome.replaced,
        "are there already": outcome.unchanged,
        "live again under their key, and stay as they are": outcome.conflicts,
    }
    lines += [f"  {format_count(count)} {what}" for what, count in counts.items() if count]
    lines += [f"    {escape(key)}" for key in outcome.conflict_keys[:_SHOWN_CONFLICTS]]
    if outcome.conflicts > _SHOWN_CONFLICTS:
        lines.append("    …")
    if not applied:
        lines.append("nothing was changed; add --apply to do it")
    elif outcome.report is None:
        lines.append("nothing to do")
    return "\n".join(lines)
