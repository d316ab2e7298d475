"""The options that several verbs share, and the end of a verb that met errors."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tailflip.base.render import format_error
from tailflip.cli.completion import offer_agents

if TYPE_CHECKING:
    from tailflip.base.errors import TailflipError

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
        help="The gateway's heap limit, such as 2gb; without it, its node is asked.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON to standard output.")]
Apply = Annotated[bool, typer.Option("--apply", help="Do it; without this, only say what.")]


def end_with(errors: list[TailflipError]) -> None:
    """Print the errors of single stores, and exit with the code of the first."""
    for error in errors:
        print(format_error(error), file=sys.stderr)
    if errors:
        raise typer.Exit(errors[0].exit_code)
