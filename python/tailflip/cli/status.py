"""`tailflip status`: the state of the guarded gateway on one screen; exit code 1 if it is grave."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from tailflip.base import clock
from tailflip.base.errors import TailflipError
from tailflip.base.render import escape, format_error
from tailflip.base.terminal import find_width
from tailflip.base.units import format_time
from tailflip.cli.options import AsJson, Profile, StateDir  # noqa: TC001 - typer reads them
from tailflip.report.reading import look_around, read_situation
from tailflip.report.screen import HEIGHT, format_screen
from tailflip.report.subject import find_subject

if TYPE_CHECKING:
    from pathlib import Path

    from tailflip.report.status import Situation

_EVERY_S = 2.0
_CLEAR = "\x1b[H\x1b[2J"


def status(
    *,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch", help="Show it again every 2 s, until Ctrl-C; with --json, a line each time."
        ),
    ] = False,
    state_dir: StateDir = None,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Show how the guarded gateway fares and what comes next; changes nothing.

    The first line is the verdict: OK, WAITING, DOWN or AT RISK. Exit code 1 unless it is OK.
    """
    situation = _look(state_dir, profile, as_json=as_json, is_watched=watch)
    if watch:
        situation = _watch(situation, state_dir, profile, as_json=as_json)
    if situation.is_grave:
        raise typer.Exit(1)


def _watch(
    situation: Situation, state_dir: Path | None, profile: str | None, *, as_json: bool
) -> Situation:
    """Look until Ctrl-C, which is no failure; return the last situation."""
    try:
        while True:
            clock.sleep_s(_EVERY_S)
            try:
                situation = _look(state_dir, profile, as_json=as_json, is_watched=True)
            except TailflipError as e:
                # At the next look the ledger may be free, or the configuration whole again.
                print(format_error(e), file=sys.stderr)
                if as_json:
                    from tailflip.cli.answers.base import fail  # noqa: PLC0415 - for --json

                    fail(["status"], e)
    except KeyboardInterrupt:
        return situation


def _look(
    state_dir: Path | None, profile: str | None, *, as_json: bool = False, is_watched: bool = False
) -> Situation:
    subject, now_ms = find_subject(state_dir, profile), clock.now_ms()
    situation = read_situation(subject, look_around(subject, now_ms), now_ms)
    if as_json:
        from tailflip.cli.answers.verbs import Status  # noqa: PLC0415 - for --json

        answer = Status.of(situation)
        answer.say_line() if is_watched else answer.say()
        return situation
    height = HEIGHT - 1 if is_watched else HEIGHT
    lines = format_screen(situation, find_width(sys.stdout), height)
    if is_watched:
        lines.append(f"as of {format_time(now_ms)}, again every {_EVERY_S:g} s; Ctrl-C leaves")
        if sys.stdout.isatty():
            print(_CLEAR, end="")
    # Write it at once: a screen that is cleared first flickers.
    print("\n".join(lines), flush=True)
    for note in subject.notes:
        print(f"note: {escape(note)}", file=sys.stderr)
    return situation
