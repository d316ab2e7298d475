"""The command line: one file per verb, exit codes, and the only place that prints."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from tailflip.base import log
from tailflip.base.durable import explain_os_error
from tailflip.base.errors import InternalError, TailflipError
from tailflip.base.render import format_error

if TYPE_CHECKING:
    from types import FrameType

INTERRUPTED = 128 + 2
_BROKEN_PIPE = 128 + 13
_TERMINATED = 128 + 15
# Set by SIGTERM: by the time it reaches us, typer has made one thing of every interrupt.
_terminated = threading.Event()
# These stand in front of every start of a gateway, or beside it for weeks: they do
# without Typer, whose import costs as much time and memory as all the rest.
LIGHT = frozenset({"gate", "preflight", "run"})
_GUARDS = LIGHT | {"watch"}


def _terminate(_number: int, _frame: FrameType | None) -> None:
    """Take SIGTERM for Ctrl-C: whatever cleans up after one does so after the other."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not cut the cleaning short
    _terminated.set()
    raise KeyboardInterrupt


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    if sys.argv[1:2] != ["run"]:  # which is stopped by signals as a matter of course
        signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run(sys.argv[1:]))


def run(argv: list[str]) -> int:
    """Run one command line; every error becomes one line, a hint and an exit code."""
    code = INTERRUPTED
    try:
        code = _run_verb(argv)
        sys.stdout.flush()
    except KeyboardInterrupt:
        pass
    except (BrokenPipeError, SystemExit) as e:  # typer turns the former into the latter
        if isinstance(e, SystemExit) and not e.code:
            return 0  # help and completion end so
        # The reader went away. Python would complain once more while it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except Exception as e:
        if os.environ.get("TAILFLIP_TRACEBACK"):
            raise
        error = _explain(e)
        _tell(argv, format_error(error))
        return error.exit_code
    if code == INTERRUPTED:
        how = "interrupted"
        if _terminated.is_set():
            how, code = "terminated", _TERMINATED
        _tell(argv, f"error: {how}; every store is wholly old or wholly new")
    return int(code)


def _tell(argv: list[str], text: str) -> None:
    """Tell a person; what guards a gateway may not wait for a reader that is asleep."""
    if argv and argv[0] in _GUARDS:
        log.say(text)
        log.flush()
    else:
        print(text, file=sys.stderr)


def _run_verb(argv: list[str]) -> int:
    if argv and argv[0] in LIGHT:
        from tailflip.cli.front import run_light  # noqa: PLC0415 - only what the verb needs

        return run_light(argv[0], argv[1:])
    from tailflip.cli.app import run_verb  # noqa: PLC0415

    return run_verb(argv)


def _explain(error: Exception) -> TailflipError:
    """Turn whatever reaches the top into an error with a code of its own."""
    if isinstance(error, TailflipError):
        return error
    if isinstance(error, OSError):
        return explain_os_error(Path(os.fsdecode(error.filename or "a file")), error)
    return _explain_bug(error)


def _explain_bug(error: Exception) -> TailflipError:
    """Say where, never what: the message of a stray exception may quote a session."""
    where, trace = "unknown", error.__traceback__
    while trace is not None:
        where = f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}"
        trace = trace.tb_next
    return InternalError(f"a bug in tailflip: {type(error).__name__} at {where}")
