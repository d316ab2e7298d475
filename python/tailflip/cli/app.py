"""All verbs, for Typer: help, completion, options.

`build` imports the verb that is run: all verbs together cost more time than compacting a store of
a hundred megabytes.
"""

from __future__ import annotations

import inspect
from difflib import SequenceMatcher
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from tailflip.base import garbage
from tailflip.base.errors import Usage
from tailflip.cli.exit_codes import list_codes
from tailflip.cli.light import ABOUT, GROUPS, MORE, OPTIONS, VERSION, Given
from tailflip.cli.once import refuse_twice
from tailflip.cli.suggestions import suggest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

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
    "fleet": "How every gateway fares, in a line each.",
    "check": "What is wrong with stores, jobs and leftover files.",
    "inspect": "What fills the session stores.",
    "compact": "Make session stores small.",
    "reclaim": "Give room on the disk back, each file with its proof.",
    "slim": "Take old images and tool results out of transcripts.",
    "reconcile": "Make OpenClaw's ledgers agree about runs.",
    "tasks": "How cron runs really ended.",
    "watch": "Stand beside a living gateway that others start and stop.",
    "maintenance": "Work on the gateway while tailflip keeps its hands off.",
    "retry": "After a repair: start the gateway now, whatever it waits for.",
    "release": "Let a session or job run again that tailflip holds.",
    "restore": "Put archived entries back, byte for byte.",
    "archive": "List, show, check or delete archives of what was removed.",
    "incidents": "What happened to the gateway, why, and how it was cured.",
    "alerts": "What people were told, and what waits; send a test.",
    "metrics": "Print metrics for Prometheus, or write them to a file.",
    "page": "Print a link to the page that `serve` answers with.",
    "report": "What a week was like, in a file that may be handed on.",
    "config": "Show and check the settings.",
    "install": "Put tailflip in front of the gateway's service.",
    "uninstall": "Take away the files that `install` wrote.",
    "demo": "Rebuild the incident in a scratch directory, and cure it.",
}
_LIGHT = {
    "gate": "Look at the stores, heal them, then become COMMAND.",
    "preflight": "The same without starting COMMAND: exit code 0 says go.",
    "run": "Start COMMAND, guard it, and start it again when it dies.",
    "serve": "Answer with a page and metrics, to this host alone.",
}
_WITH_COMMAND = frozenset({"gate", "preflight", "run"})
# They tell of tailflip itself.
_OF_ITSELF = {
    "help": "Show the help of a verb.",
    "version": "Print version and engine.",
    "schema": "Print the JSON Schema of a verb's --json.",
}
_ALL = {**_VERBS, **_LIGHT, **_OF_ITSELF}
# These use no setting, and name mistakes in them all the same.
_WITHOUT_SETTINGS = frozenset({"archive", "install", "uninstall", "incidents why", "incidents ack"})
_HELP = ("-h", "--help")
_ALIKE = 0.6


def _show_version(wanted: bool) -> None:
    if wanted:
        from tailflip.stores.extension import describe  # noqa: PLC0415 - the version alone

        print(describe())
        raise typer.Exit


def _root(
    version: Annotated[
        bool,
        typer.Option(
            *VERSION,
            help="Print version and engine, then exit.",
            callback=_show_version,
            is_eager=True,
        ),
    ] = False,
    # `cli.fitted` takes it out of the command line before, wherever it stands: this is its help.
    color: Annotated[
        str, typer.Option(metavar="WHEN", help="auto, always or never; with any verb.")
    ] = "auto",
) -> None:
    pass


def build(only: str | None = None) -> typer.Typer:
    """Make the command line of all verbs, or of the verb `only`, if there is such a verb.

    `--version` needs no verb: loading all of them takes twice as long as the answer.
    """
    app = typer.Typer(
        help="Brings an OpenClaw gateway back that dies of its session store: makes the store "
        "small in constant memory, keeps what it takes out, and puts it back when asked.",
        epilog=f"{_BEGIN}\n{list_codes()}",
        add_completion=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        suggest_commands=False,
        context_settings={"help_option_names": list(_HELP)},
    )
    app.callback()(_root)
    every = () if only in VERSION else tuple(_ALL)
    for verb in (only,) if only in _ALL else every:
        _add(app, verb)
    return app


def _add(app: typer.Typer, verb: str) -> None:
    if verb in _LIGHT:
        _add_light(app, verb)
        return
    module = import_module(f"tailflip.cli.{verb}")
    if verb not in GROUPS:
        epilog = list_codes(verb)
        add = app.command(verb, epilog=epilog, short_help=_ALL[verb])
        add(getattr(module, verb))
        return
    for each in module.app.registered_commands:
        each.epilog = list_codes(f"{verb} {name_of(each)}")
    app.add_typer(module.app, name=verb, short_help=_ALL[verb])


def name_of(command: Any) -> str:
    """Name a verb of a group."""
    return str(command.name or command.callback.__name__)


def _add_light(app: typer.Typer, verb: str) -> None:
    """Declare a verb that has a parser of its own, for help, completion and mistakes."""

    def collect(**values: object) -> Given:
        given = Given()
        for name, value in values.items():
            if value is True:
                given.flags.add(name)
            elif value:
                texts = value if isinstance(value, list) else [value]
                given.texts[name] = [str(text) for text in texts]
        return given

    _declare(collect, verb)
    add = app.command(
        verb,
        help=f"{ABOUT[verb]}\n\n{MORE[verb]}",
        short_help=_LIGHT[verb],
        options_metavar="[OPTIONS]" + " -- COMMAND [ARGUMENTS]" * (verb in _WITH_COMMAND),
        epilog=list_codes(verb),
    )
    add(collect)


def _declare(call: Callable[..., Given], verb: str) -> None:
    """Give a function the signature that makes Typer offer the verb's options."""
    parameters = []
    for option in OPTIONS[verb]:
        kind: Any = bool if option.metavar is None else str
        default: Any = False if option.metavar is None else None
        if option.metavar is not None:
            kind = list[str] | None if option.repeats else str | None
        declared = typer.Option(
            option.name, metavar=option.metavar, help=option.meaning, show_default=False
        )
        parameters.append(
            inspect.Parameter(
                option.field,
                inspect.Parameter.KEYWORD_ONLY,
                default=default,
                annotation=Annotated[kind, declared],
            )
        )
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {each.name: each.annotation for each in parameters}


def run_verb(argv: list[str]) -> int:
    """Run one verb and return its exit code; 0 if it has none.

    Raises:
        Usage: bad arguments, in our own words.
        KeyboardInterrupt: the verb was interrupted.
    """
    answer = _call(argv)
    return answer if isinstance(answer, int) else 0


def read_options_slowly(verb: str, argv: list[str]) -> Given | None:
    """Read the options of a light verb; None after help.

    Raises:
        Usage: bad arguments, in our own words.
    """
    answer = _call([verb, *argv])
    return answer if isinstance(answer, Given) else None


def _call(argv: list[str]) -> object:
    _refuse_unknown(argv, _ALL)
    app = build(argv[0] if argv else None)
    garbage.collect_from_now()
    if argv and argv[0] in GROUPS:
        (group,) = app.registered_groups
        commands = cast("typer.Typer", group.typer_instance).registered_commands
        _refuse_unknown(argv[1:], map(name_of, commands), group=argv[0])
    command = typer.main.get_command(app)
    refuse_twice(command, argv)
    is_without = bool({*argv[:1], " ".join(argv[:2])} & _WITHOUT_SETTINGS)
    if is_without and not set(_HELP) & set(argv):
        from tailflip.cli.settings import read_and_tell  # noqa: PLC0415 - help does without

        read_and_tell()
    try:
        return command(args=argv or ["--help"], prog_name="tailflip", standalone_mode=False)
    except typer.Abort:
        raise KeyboardInterrupt from None
    except _REFUSED as e:
        raise _explain_refusal(e, argv) from e


def _refuse_unknown(argv: list[str], known: Any, *, group: str = "") -> None:
    """Refuse a verb that there is not, and name the one that is meant."""
    names = tuple(known)
    if not argv or argv[0].startswith("-") or argv[0] in names:
        return
    prefix = f"tailflip {group}".rstrip()
    meant = suggest(argv[0], names, group)
    hint = f"did you mean `tailflip {meant}`? " if meant else ""
    raise Usage(
        f"no such command: {argv[0]}",
        hint=f"{hint}see `{prefix} --help`" if not hint else f"{hint}`{prefix} --help` lists all",
    )


def _choose_alike(said: str, possible: Iterable[str]) -> list[str]:
    """Choose the options that are alike without the dashes, which all have in common."""
    return [
        each
        for each in possible
        if SequenceMatcher(None, said.lstrip("-"), each.lstrip("-")).ratio() >= _ALIKE
    ]


def _explain_refusal(error: Exception, argv: list[str]) -> Usage:
    format_message = getattr(error, "format_message", error.__str__)
    message = str(getattr(error, "message", None) or format_message())
    offered = getattr(error, "possibilities", None) or ()
    possible = _choose_alike(getattr(error, "option_name", ""), offered)
    if not offered:
        message = str(format_message())
    message = message.strip().rstrip(".").replace("Value error, ", "")  # the parser's own word
    message = message[:1].lower() + message[1:]
    words = [word for word in argv[:1] if word in _ALL]
    hint = f"see `tailflip {' '.join([*words, '--help'])}`"
    if possible:
        hint = f"did you mean {' or '.join(sorted(possible))}? {hint}"
    elif words and words[0] in _WITH_COMMAND and "unexpected extra" in message:
        hint = f"the gateway's command goes after `--`: tailflip {words[0]} -- openclaw gateway run"
    return Usage(message, hint=hint)
