"""The options that several verbs share, and the end of a verb that met errors."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tailflip.base.render import format_error
from tailflip.cli.completion import offer_agents
from tailflip.observe.installation import choose_owned

if TYPE_CHECKING:
    from collections.abc import Callable

    from tailflip.base.errors import TailflipError
    from tailflip.ledger.actions import Action

StorePaths = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="STORE",
        help="Paths of session stores; without any, the stores of all agents.",
        show_default=False,
    ),
]
StateDir = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="OpenClaw's state directory, if it is not where OpenClaw would look."
    ),
]
OneStore = Annotated[
    Path | None,
    typer.Option("--store", metavar="PATH", help="Which store, if archives of several hold that."),
]
Profile = Annotated[
    str | None, typer.Option(metavar="NAME", help="OpenClaw's profile, as in its --profile.")
]
Agent = Annotated[
    str | None,
    typer.Option(metavar="ID", help="Only this agent's store.", autocompletion=offer_agents),
]
HeapLimit = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="The gateway's heap limit, such as 2gb; without it, that of its process or service.",
        show_default=False,
    ),
]
Release = Annotated[
    str | None,
    typer.Option(
        "--release",
        metavar="VERSION",
        help="Say what the stores will meet in this release of OpenClaw, such as 2026.9.6.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON to standard output.")]
Apply = Annotated[bool, typer.Option("--apply", help="Do it; without this, only say what.")]


def choose_actions(state_dir: Path | None) -> Callable[[Action], bool]:
    """Choose the actions on the files of one gateway; without a directory, all."""
    if state_dir is None:
        return lambda _: True
    is_owned = choose_owned(os.environ, state_dir)
    return lambda action: is_owned(action.store)


def stand_for_group(app: typer.Typer, verb: Callable[..., None]) -> None:
    """Have a verb stand for its group, where the group is named alone."""

    @app.callback()
    def root(
        context: typer.Context,
        *,
        state_dir: StateDir = None,
        profile: Profile = None,
        as_json: AsJson = False,
    ) -> None:
        if context.invoked_subcommand is None:
            verb(state_dir=state_dir, profile=profile, as_json=as_json)


def end_with(errors: list[TailflipError]) -> None:
    """Print the errors of single stores, and exit with the code of the first."""
    for error in errors:
        print(format_error(error), file=sys.stderr)
    if errors:
        raise typer.Exit(errors[0].exit_code)
