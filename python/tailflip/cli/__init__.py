"""The command line: verbs and exit codes. `print` is banned outside of this room."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from tailflip.base import garbage, log
from tailflip.base.durable import explain_os_error
from tailflip.base.errors import InternalError, Interrupted, TailflipError, Terminated, Usage
from tailflip.base.own_hashes import leave_openssl_out
from tailflip.base.render import format_error
from tailflip.cli.light import VERSION

if TYPE_CHECKING:
    from types import FrameType

INTERRUPTED = Interrupted.exit_code
_BROKEN_PIPE = 128 + signal.SIGPIPE
# Set by SIGTERM: typer turns it and Ctrl-C into the same exception.
_terminated = threading.Event()
# These verbs run before every start of a gateway, or beside it for weeks: they do
# without Typer, whose import costs as much time and memory as all the rest.
LIGHT = frozenset({"gate", "preflight", "run"})
_GUARDS = LIGHT | {"watch"}


def _terminate(_number: int, _frame: FrameType | None) -> None:
    """Handle SIGTERM as Ctrl-C, so that both clean up alike."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not stop the clean-up
    _terminated.set()
    raise KeyboardInterrupt


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    if sys.argv[1:2] != ["run"]:  # `run` handles signals in its loop
        signal.signal(signal.SIGTERM, _terminate)
    code = run(sys.argv[1:])
    garbage.collect_no_more()
    sys.exit(code)


def run(argv: list[str]) -> int:
    """Run one command line; every error becomes one line, a hint and an exit code."""
    with ExitStack() as stack:
        return _run(argv, stack)


def _run(argv: list[str], stack: ExitStack) -> int:
    code = INTERRUPTED
    try:
        code = _run_verb(argv, stack)
        sys.stdout.flush()
    except KeyboardInterrupt:
        pass
    except (BrokenPipeError, SystemExit) as e:  # typer turns the former into the latter
        if isinstance(e, SystemExit) and not e.code:
            return 0  # after help and completion
        # The reader of stdout is gone. Python would raise again when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except Exception as e:
        if os.environ.get("TAILFLIP_TRACEBACK"):
            raise
        return _fail(argv, _explain(e))
    if code == INTERRUPTED:
        kind, how = (Interrupted, "interrupted")
        if _terminated.is_set():
            kind, how = (Terminated, "terminated")
        return _fail(argv, kind(f"{how}; every store is wholly old or wholly new"))
    return int(code)


def _fail(argv: list[str], error: TailflipError) -> int:
    _tell(argv, format_error(error))
    _answer(argv, error)
    return error.exit_code


def _tell(argv: list[str], text: str) -> None:
    """Print an error for a person; a verb that guards does not wait for a slow reader."""
    if argv and argv[0] in _GUARDS:
        log.say(text)
        log.flush()
    else:
        print(text, file=sys.stderr)


def _answer(argv: list[str], error: TailflipError) -> None:
    """Answer a program that asked for JSON with the error, too."""
    own = argv[: argv.index("--")] if "--" in argv else argv
    if "--json" in own:
        from tailflip.cli.answers.base import fail  # noqa: PLC0415 - for --json
        from tailflip.cli.fitted import take_colour  # noqa: PLC0415 - likewise

        with suppress(Usage):  # a wrong `--color` is the error itself
            own, _ = take_colour(own)
        fail(own, error)


def _run_verb(argv: list[str], stack: ExitStack) -> int:
    """Run a verb; what it prints, and an error after it, is fitted to the terminal."""
    if not (argv and argv[0].startswith("_")):  # a child that sends speaks TLS
        leave_openssl_out()
    if argv and argv[0] in LIGHT:
        from tailflip.cli.front import run_light  # noqa: PLC0415 - only what the verb needs

        garbage.collect_from_now()
        return run_light(argv[0], argv[1:])
    if argv and argv[0].startswith("_"):
        from tailflip.cli.hidden import HIDDEN, run_hidden  # noqa: PLC0415 - likewise

        if argv[0] in HIDDEN:
            return run_hidden(argv[0], argv[1:])
    if argv and argv[0] == "serve":
        garbage.collect_while_importing()
        from tailflip.cli.serve import run_serve  # noqa: PLC0415 - likewise

        garbage.collect_from_now()
        return run_serve(argv[1:])
    if len(argv) == 1 and argv[0] in VERSION:
        from tailflip.stores.extension import describe  # noqa: PLC0415 - likewise

        print(describe())
        return 0
    from tailflip.cli.fitted import fitted, take_colour  # noqa: PLC0415 - likewise

    argv, colours = take_colour(argv)
    stack.enter_context(fitted(argv, colours))
    from tailflip.cli.app import run_verb  # noqa: PLC0415 - likewise

    return run_verb(argv)


def _explain(error: Exception) -> TailflipError:
    """Convert any exception to an error with its own exit code."""
    if isinstance(error, TailflipError):
        return error
    if isinstance(error, OSError):
        return explain_os_error(Path(os.fsdecode(error.filename or "a file")), error)
    return _explain_bug(error)


def _explain_bug(error: Exception) -> TailflipError:
    """Name the place of a bug without the exception's message, which may quote a session."""
    where, trace = "unknown", error.__traceback__
    while trace is not None:
        where = f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}"
        trace = trace.tb_next
    return InternalError(f"a bug in tailflip: {type(error).__name__} at {where}")
