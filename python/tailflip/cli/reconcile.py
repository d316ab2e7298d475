"""`tailflip reconcile`: make OpenClaw's ledgers agree; say what would change, or do it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from tailflip.base.durable import RealDisk
from tailflip.base.errors import TryLater
from tailflip.base.render import escape, format_finding, format_gateway, format_maintenance
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.cli.options import Agent, Apply, AsJson, Profile, StateDir, end_with
from tailflip.cli.progress import show_progress
from tailflip.reconcile.context import begin
from tailflip.reconcile.kinds import KINDS, reconcile_all
from tailflip.reconcile.words import format_step
from tailflip.stores.recovery import recover

if TYPE_CHECKING:
    from tailflip.reconcile.context import Reconciliation, Result


def reconcile(
    *,
    kinds: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KIND",
            help=f"Only these: {', '.join(KINDS)}. Without any, all, in this order.",
            show_default=False,
        ),
    ] = None,
    apply: Apply = False,
    state_dir: StateDir = None,
    profile: Profile = None,
    agent: Agent = None,
    max_lifetime: Annotated[
        str | None,
        typer.Option(
            metavar="TIME|false",
            help='An entry "running" for longer, without a sign of life and without a known '
            "end, goes. Without it, heal.max_lifetime counts (1h).",
            show_default=False,
        ),
    ] = None,
    retention: Annotated[
        str | None,
        typer.Option(
            metavar="TIME|false",
            help="Keep finished cron runs this long; without it, heal.retention, else OpenClaw's "
            "own cron.sessionRetention counts (24h).",
            show_default=False,
        ),
    ] = None,
    by_itself: Annotated[
        bool,
        typer.Option("--by-itself", help="As a timer runs it: not during a maintenance."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make OpenClaw's ledgers agree about runs. Prints what would change; --apply does it.

    markers: "already running" marks of a dead gateway are cleared. hold: the one session or job
    that was in flight at several deaths in a row is held. tasks: tasks that OpenClaw's ledger
    calls lost or running get their true end. headers: a transcript that has lost its first line
    gets a new one. These four work only while the gateway is stopped.
    zombies: entries that say "running" get the end that the run log or their owner's death
    proves, those in SQLite while the gateway is stopped; those older than heal.max_lifetime
    without a sign of life go. retention: finished runs past cron.sessionRetention go. storms,
    stuck, growth: jobs that run too often, jobs that do not start again beside a living gateway,
    and stores that will be too big, are reported.
    Live runs and chats stay as they are. `tailflip restore` undoes each change of a file.
    """
    workspace = Workspace(Home.locate(os.environ), RealDisk())
    if apply:
        for note in recover(workspace):
            print(f"note: {escape(note)}", file=sys.stderr)
    with show_progress() as on_progress:
        work = begin(
            os.environ,
            workspace=workspace,
            apply=apply,
            state_dir=state_dir,
            profile=profile,
            agent=agent,
            max_lifetime=max_lifetime,
            retention=retention,
            on_progress=on_progress,
        )
        if by_itself:
            _respect_maintenance(work)
        result = reconcile_all(work, kinds or ())
    if as_json:
        from tailflip.cli.answers.verbs import Reconcile  # noqa: PLC0415 - for --json

        Reconcile.to(
            applied=work.terms.apply,
            terms=work.terms,
            steps=result.steps,
            findings=result.findings,
            gateway=work.scene.gateway,
            notes=result.notes,
            failed=result.errors,
        ).say()
    else:
        _print(work, result)
    end_with(result.errors)


def _respect_maintenance(work: Reconciliation) -> None:
    """Keep the hands off where a person works on the gateway.

    Raises:
        TryLater: a maintenance is on.
    """
    on = work.history.read_maintenance()
    if on is not None and on.is_hands_off:
        raise TryLater(
            f"{format_maintenance(on)}: nothing was reconciled",
            hint="the timer tries again; `tailflip maintenance off` ends it now",
        )


def _print(work: Reconciliation, result: Result) -> None:
    for step in result.steps:
        print(format_step(step, applied=work.terms.apply))
    for finding in result.findings:
        print(format_finding(finding))
    print(f"gateway: {format_gateway(work.scene.gateway)}")
    for note in result.notes:
        print(f"note: {escape(note)}", file=sys.stderr)
    if not result.changes and not result.errors:
        print("nothing to do")
    elif result.changes and not work.terms.apply:
        print("nothing was changed; add --apply to do it")
