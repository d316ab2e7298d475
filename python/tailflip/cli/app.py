"""All verbs, for Typer: help, completion, options.

`build` imports the verb that is run: all verbs together cost more time than compacting a store of
a hundred megabytes.
"""

from __future__ import annotations

from importlib import import_module
from typing import Annotated

import typer

import tailflip
from tailflip.base.errors import Usage
from tailflip.stores.extension import features

_EXIT_CODES = """
Exit codes: 0 done, or nothing to do. 1 check found a problem. 64 bad arguments. 65 store
invalid, its bytes intact. 69 a service cannot be reached. 70 a bug. 73 no room, or no state
directory. 74 read or write failed, the original in place. 75 try later. 77 permission.
78 configuration. 128+n stopped by signal n.
"""

# The base of all refusals of typer's parser; newer releases do not export it.
_REFUSED: type[Exception] = typer.BadParameter.__mro__[2]

_BEGIN = """
Where to begin: `tailflip status` says how the gateway fares and what comes next, `tailflip
check` what is wrong; neither changes anything. `tailflip compact` shows what can go, and takes
it out with --apply; `tailflip restore` puts it back.
"""

# In the order of the help; each line fits a terminal. A verb is a function of its name in a
# module of its name; a group of verbs is the `app` of such a module.
_VERBS = {
    "status": "How the guarded gateway fares, and what comes next.",
    "check": "What is wrong with stores, jobs and leftover files.",
    "inspect": "What fills the session stores.",
    "compact": "Make session stores small.",
    "reconcile": "Make OpenClaw's ledgers agree about runs.",
    "tasks": "How cron runs really ended.",
    "watch": "Stand beside a living gateway that others start and stop.",
    "retry": "After a repair: start the gateway now, whatever it waits for.",
    "restore": "Put archived entries back, byte for byte.",
    "archive": "List, show, check or delete archives of what was removed.",
    "incidents": "What happened to the gateway, why, and how it was cured.",
    "config": "Show and check the settings.",
    "install": "Put tailflip in front of the gateway's service.",
    "uninstall": "Take away the files that `install` wrote.",
    "demo": "Rebuild the incident in a scratch directory, and cure it.",
}
_LIGHT = {
    "gate": "Look at the stores, heal them, then become COMMAND.",
    "preflight": "The same without starting COMMAND: exit code 0 says go.",
    "run": "Start COMMAND, guard it, and start it again when it dies.",
}
_GROUPS = frozenset({"archive", "incidents", "config"})
_VERSION = "--version"


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"tailflip {tailflip.__version__} ({features()})")
        raise typer.Exit


def _root(
    version: Annotated[
        bool,
        typer.Option(
            _VERSION,
            help="Print version and engine, then exit.",
            callback=_show_version,
            is_eager=True,
        ),
    ] = False,
) -> None:
    pass


def build(only: str | None = None) -> typer.Typer:
    """Make the command line of all verbs, or of the verb `only`, if there is such a verb.

    `--version` needs no verb: loading all of them takes twice as long as the answer.
    """
    app = typer.Typer(
        help="Brings an OpenClaw gateway back that dies of its session store: makes the store "
        "small in constant memory, keeps what it takes out, and puts it back when asked.",
        epilog=_BEGIN + _EXIT_CODES,
        add_completion=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback()(_root)
    every = () if only == _VERSION else tuple(_VERBS)
    for verb in (only,) if only in _VERBS else every:
        module = import_module(f"tailflip.cli.{verb}")
        if verb in _GROUPS:
            app.add_typer(module.app, name=verb, short_help=_VERBS[verb])
        else:
            add = app.command(verb, epilog=_EXIT_CODES, short_help=_VERBS[verb])
            add(getattr(module, verb))
    if only not in _VERBS and only != _VERSION:
        _add_light(app)
    return app


def _add_light(app: typer.Typer) -> None:
    """List the verbs that have a parser of their own, for help and completion."""
    from tailflip.cli import front  # noqa: PLC0415

    def delegate(verb: str) -> None:
        def call(context: typer.Context) -> None:
            raise typer.Exit(front.run_light(verb, context.args))

        settings = {"ignore_unknown_options": True, "allow_extra_args": True}
        app.command(
            verb,
            help=front.ABOUT[verb],
            short_help=_LIGHT[verb],
            context_settings=settings,
            add_help_option=False,
        )(call)

    for verb in front.ABOUT:
        delegate(verb)


def run_verb(argv: list[str]) -> int:
    """Run one verb and return its exit code; 0 if it has none.

    Raises:
        Usage: bad arguments, in our own words.
        KeyboardInterrupt: the verb was interrupted.
    """
    app = build(argv[0] if argv else None)
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
    verb = f"{argv[0]} " if argv and argv[0] in _VERBS else ""
    return Usage(message, hint=f"see `tailflip {verb}--help`")
