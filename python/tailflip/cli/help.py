"""`tailflip help`: the help of a verb, as its own --help shows it."""

from __future__ import annotations

from typing import Annotated

import typer


def help(  # noqa: A001 - a verb is a function of its name
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[VERB...]", help="Such as `archive show`.", show_default=False),
    ] = None,
) -> None:
    """Show the help of a verb; without one, all verbs."""
    from tailflip.cli.app import run_verb  # noqa: PLC0415 - which builds this verb, too

    run_verb([*(words or ()), "--help"])
