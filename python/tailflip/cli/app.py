"""All verbs, for Typer: help, completion, options."""

from __future__ import annotations

from typing import Annotated

import typer

import tailflip
from tailflip import native
from tailflip.cli import (
    archive,
    check,
    compact,
    config,
    demo,
    front,
    incidents,
    inspect,
    reconcile,
    restore,
    status,
    tasks,
)
from tailflip.errors import Usage

_EXIT_CODES = """
Exit codes: 0 done, or nothing to do. 1 check found a problem. 64 bad arguments. 65 store
invalid, its bytes intact. 69 a service cannot be reached. 70 a bug. 73 no room, or no state
directory. 74 read or write failed, the original in place. 75 try later. 77 permission.
78 configuration. 128+n stopped by signal n.
"""

# Every refusal of typer's parser is one of these; newer releases keep them to themselves.
_REFUSED: type[Exception] = typer.BadParameter.__mro__[2]

app = typer.Typer(
    help="Brings an OpenClaw gateway back that dies of its session store: makes the store small "
    "in constant memory, keeps what it takes out, and puts it back when asked.",
    epilog=_EXIT_CODES,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("check", epilog=_EXIT_CODES)(check.check)
app.command("inspect", epilog=_EXIT_CODES)(inspect.inspect)
app.command("compact", epilog=_EXIT_CODES)(compact.compact)
app.command("reconcile", epilog=_EXIT_CODES)(reconcile.reconcile)
app.command("tasks", epilog=_EXIT_CODES)(tasks.tasks)
app.command("restore", epilog=_EXIT_CODES)(restore.restore)
app.add_typer(archive.app, name="archive")
app.command("status", epilog=_EXIT_CODES)(status.status)
app.add_typer(incidents.app, name="incidents")
app.add_typer(config.app, name="config")
app.command("demo", epilog=_EXIT_CODES)(demo.demo)


def _delegate(verb: str) -> None:
    """List a verb that has a parser of its own, for help and completion."""

    def call(context: typer.Context) -> None:
        raise typer.Exit(front.run_light(verb, context.args))

    settings = {"ignore_unknown_options": True, "allow_extra_args": True}
    app.command(verb, help=front.ABOUT[verb], context_settings=settings, add_help_option=False)(
        call
    )


for _verb in front.ABOUT:
    _delegate(_verb)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"tailflip {tailflip.__version__} ({native.features()})")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print version and engine, then exit.",
            callback=_show_version,
            is_eager=True,
        ),
    ] = False,
) -> None:
    pass


def run_verb(argv: list[str]) -> int:
    """Run one verb and return its exit code; 0 if it has none.

    Raises:
        Usage: bad arguments, in our own words.
        KeyboardInterrupt: we were interrupted.
    """
    try:
        return app(args=argv or ["--help"], prog_name="tailflip", standalone_mode=False) or 0
    except typer.Abort:
        raise KeyboardInterrupt from None
    except _REFUSED as e:
        raise _explain_refusal(e, argv) from e


def _explain_refusal(error: Exception, argv: list[str]) -> Usage:
    format_message = getattr(error, "format_message", error.__str__)
    message = str(format_message()).strip().rstrip(".")
    message = message[:1].lower() + message[1:]
    names = {info.name for info in app.registered_commands}
    names |= {group.name for group in app.registered_groups}
    verb = f"{argv[0]} " if argv and argv[0] in names else ""
    return Usage(message, hint=f"see `tailflip {verb}--help`")
