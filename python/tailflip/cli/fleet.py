"""`tailflip fleet`: every gateway in a line, the one that needs somebody most first."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.errors import TailflipError
from tailflip.base.render import escape, format_error, format_table
from tailflip.base.state_dir import Home
from tailflip.base.units import format_bytes, format_count, format_counted, format_span, format_time
from tailflip.base.workspace import Workspace
from tailflip.cli.options import AsJson  # noqa: TC001 - typer reads it
from tailflip.report.fleet import read_fleet
from tailflip.report.verdict import WORDS

if TYPE_CHECKING:
    from tailflip.report.fleet import Fleet, Member

_EVERY_S = 5.0
_CLEAR = "\x1b[H\x1b[2J"
_HEAD = ["state", "gateway", "release", "guard", "memory", "stores", "deaths", "since", "why"]
_MOST_WHY = 60


def fleet(
    *,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch", help="Show it again every 5 s, until Ctrl-C; with --json, a line each time."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show every gateway of this user in a line, the worst first; changes nothing.

    A gateway is known by tailflip's record, or by the definition of a service that starts it. One
    that cannot be read has a line, too. Exit code 1 unless all are OK.
    """
    found = _look(as_json=as_json, is_watched=watch)
    try:
        while watch:
            clock.sleep_s(_EVERY_S)
            try:
                found = _look(as_json=as_json, is_watched=True)
            except TailflipError as e:
                # At the next look the ledger may be free.
                print(format_error(e), file=sys.stderr)
    except KeyboardInterrupt:  # that is how a watch is left
        pass
    if found.is_grave:
        raise typer.Exit(1)


def _look(*, as_json: bool, is_watched: bool) -> Fleet:
    workspace = Workspace(Home.locate(os.environ), RealDisk())
    found = read_fleet(workspace, os.environ, clock.now_ms())
    if as_json:
        from tailflip.cli.answers.fleet import Fleet as Answer  # noqa: PLC0415 - for --json

        answer = Answer.of(found)
        answer.say_line() if is_watched else answer.say()
        return found
    lines = [*_format(found)]
    if is_watched:
        lines.append(
            f"as of {format_time(found.now_ms)}, again every {_EVERY_S:g} s; Ctrl-C leaves"
        )
        if sys.stdout.isatty():
            print(_CLEAR, end="")
    print("\n".join(lines), flush=True)
    return found


def _format(found: Fleet) -> list[str]:
    lines = []
    if found.members:
        rows = [_row(each, found.now_ms) for each in found.members]
        lines += format_table(_HEAD, rows, indent="", left=4).splitlines()
        worst = found.members[0]
        if worst.is_grave:
            where = f"tailflip status --state-dir {escape(worst.state_dir)}"
            lines.append(f"next: `{where}` tells of the first")
    else:
        lines.append("no gateway is known: none is on record, and no service starts one")
    if found.gone:
        many = format_counted(len(found.gone), "gateway", "is", "are")
        lines.append(f"note: {many} on record, and no directory is left: {escape(found.gone[0])}")
    return lines


def _row(member: Member, now_ms: int) -> list[str]:
    verdict = member.verdict
    since_ms = verdict.since_ms if verdict is not None else None
    rss_bytes = member.memory.rss_bytes if member.memory is not None and member.alive else None
    why = member.error if verdict is None else verdict.reason
    if member.maintenance is not None:
        why = f"maintenance; {why}"
    return [
        "UNKNOWN" if verdict is None else WORDS[verdict.state],
        escape(shorten(member.state_dir)),
        escape(member.version or "?"),
        member.guard or "-",
        "-" if rss_bytes is None else format_bytes(rss_bytes),
        "-" if member.stores is None else format_bytes(member.stores.size_bytes),
        format_count(member.deaths_in_a_day),
        "-" if since_ms is None else format_span(max(0, now_ms - since_ms)),
        escape(why if len(why) <= _MOST_WHY else f"{why[: _MOST_WHY - 4]} ..."),
    ]


def shorten(path: str) -> str:
    """Write a path below the home directory with `~`."""
    home = os.path.realpath(os.path.expanduser("~"))  # noqa: PTH111 - Path.home may raise
    below = path.startswith(home + os.sep) and home != os.sep
    return f"~{path[len(home) :]}" if below else path
