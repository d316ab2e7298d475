"""The command line: one file per verb, exit codes, and the only place that prints."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from tailflip import __version__, native
from tailflip.cli import archive, check, compact, config, demo, inspect, restore
from tailflip.durable import explain_os_error
from tailflip.errors import InternalError, TailflipError, Usage
from tailflip.render import format_error

_EXIT_CODES = """
Exit codes: 0 done, or nothing to do. 1 check found a problem. 64 bad arguments. 65 store
invalid, its bytes intact. 69 a service cannot be reached. 70 a bug. 73 no room, or no state
directory. 74 read or write failed, the original in place. 75 try later. 77 permission.
78 configuration. 128+n stopped by signal n.
"""
_INTERRUPTED = 128 + 2
_BROKEN_PIPE = 128 + 13

# Every refusal of typer's parser is one of these; newer releases keep them to themselves.
_Refused: type[Exception] = typer.BadParameter.__mro__[2]

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
app.command("restore", epilog=_EXIT_CODES)(restore.restore)
app.add_typer(archive.app, name="archive")
app.add_typer(config.app, name="config")
app.command("demo", epilog=_EXIT_CODES)(demo.demo)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"tailflip {__version__} ({native.features()})")
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


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:]))


def run(argv: list[str]) -> int:
    """Run one command line; every error becomes one line, a hint and an exit code."""
    code = _INTERRUPTED
    try:
        code = app(args=argv or ["--help"], prog_name="tailflip", standalone_mode=False) or 0
        sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):
        pass
    except (BrokenPipeError, SystemExit):  # typer turns the former into the latter
        # The reader went away. Python would complain once more while it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except Exception as e:
        if os.environ.get("TAILFLIP_TRACEBACK"):
            raise
        error = _explain(e, argv)
        print(format_error(error), file=sys.stderr)
        return error.exit_code
    if code == _INTERRUPTED:
        print("error: interrupted; every store is wholly old or wholly new", file=sys.stderr)
    return int(code)


def _explain(error: Exception, argv: list[str]) -> TailflipError:
    """Turn whatever reaches the top into an error with a code of its own."""
    if isinstance(error, TailflipError):
        return error
    if isinstance(error, _Refused):
        return _explain_refusal(error, argv)
    if isinstance(error, OSError):
        return explain_os_error(Path(os.fsdecode(error.filename or "a file")), error)
    return _explain_bug(error)


def _explain_refusal(error: Exception, argv: list[str]) -> TailflipError:
    format_message = getattr(error, "format_message", error.__str__)
    message = str(format_message()).strip().rstrip(".")
    message = message[:1].lower() + message[1:]
    names = {info.name for info in app.registered_commands}
    names |= {group.name for group in app.registered_groups}
    verb = f"{argv[0]} " if argv and argv[0] in names else ""
    return Usage(message, hint=f"see `tailflip {verb}--help`")


def _explain_bug(error: Exception) -> TailflipError:
    """Say where, never what: the message of a stray exception may quote a session."""
    where, trace = "unknown", error.__traceback__
    while trace is not None:
        where = f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}"
        trace = trace.tb_next
    return InternalError(f"a bug in tailflip: {type(error).__name__} at {where}")
