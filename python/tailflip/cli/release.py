"""`tailflip release`: let a session or job run again that tailflip holds."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from tailflip.base import clock
from tailflip.base.errors import Usage
from tailflip.base.render import escape
from tailflip.cli.options import Apply, AsJson, StateDir  # noqa: TC001 - typer reads them
from tailflip.flow.work import WorkKind, name_session
from tailflip.reconcile.write import undo
from tailflip.report.reading import list_held
from tailflip.report.subject import find_subject
from tailflip.stores import archive
from tailflip.stores.recovery import recover

if TYPE_CHECKING:
    from tailflip.flow.conditions import HeldWork
    from tailflip.stores.restore import RestoreOutcome


def release(
    *,
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="SESSION|JOB|ACTION",
            help="A session's key, a job's id or name, or the action that holds it; without one, "
            "list what is held.",
            show_default=False,
        ),
    ] = None,
    apply: Apply = False,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Let a held session or job run again. Prints what would happen; --apply does it.

    A session is resumed at the next start, and a job runs at its next time. What kills the gateway
    again is held again after as many deaths. Only while the gateway is stopped.
    """
    subject = find_subject(state_dir, None)
    workspace = subject.history.workspace
    notes = [*subject.notes, *(recover(workspace) if apply else ())]
    for note in notes:
        print(f"note: {escape(note)}", file=sys.stderr)
    held = list_held(subject, clock.now_ms())
    chosen = held if what is None else _choose(held, what)
    outcomes: list[RestoreOutcome] = []
    for action_id in dict.fromkeys(each.action_id for each in chosen if what is not None):
        action = archive.find_action(workspace, action_id)
        outcomes.append(
            undo.undo(
                action,
                env=os.environ,
                workspace=workspace,
                apply=apply,
                now_ms=clock.now_ms() + len(outcomes),
                state_dir=state_dir,
            )
        )
    is_released = any(each.report is not None for each in outcomes)
    if as_json:
        from tailflip.cli.answers.gateway import Release  # noqa: PLC0415 - for --json

        Release.to(
            held_works=held, chosen=chosen if what is not None else (), released=is_released
        ).say()
        return
    if not held:
        print("nothing is held")
    for each in chosen:
        kind = "job" if each.kind is WorkKind.JOB else "session"
        name = escape(each.title)
        if what is None:
            print(f"{kind} {name}: held; tailflip release {each.action_id} --apply")
        elif is_released:
            print(f"{kind} {name}: released")
        elif any(each.conflicts for each in outcomes):
            print(f"{kind} {name}: changed by somebody since, and stays as it is")
        else:
            print(f"{kind} {name}: would be released; nothing was changed; add --apply to do it")


def _choose(held: tuple[HeldWork, ...], what: str) -> tuple[HeldWork, ...]:
    """Choose what a person named.

    Raises:
        Usage: nothing of that name is held.
    """
    names = {what, name_session(what)}
    found = tuple(
        each
        for each in held
        if names & {each.key, each.action_id, each.title, each.title.removesuffix(f" ({each.key})")}
    )
    if not found:
        raise Usage(f"not held: {what}", hint="`tailflip release` lists what is held")
    return found
