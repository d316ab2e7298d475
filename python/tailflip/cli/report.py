"""`tailflip report`: what a span of time was like, in one file that may be handed on."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from tailflip.base import clock
from tailflip.base.durable import RealDisk, resolve
from tailflip.base.errors import Usage
from tailflip.base.openclaw_units import parse_length_option
from tailflip.base.render import escape, to_json
from tailflip.base.units import format_bytes
from tailflip.cli.options import AsJson, Profile, StateDir  # noqa: TC001 - typer reads them
from tailflip.install.record import replace_file
from tailflip.observe.host.space import read_space
from tailflip.report.handover import gather
from tailflip.report.reading import look_around, read_situation
from tailflip.report.subject import find_subject

_MOST_MS = 90 * 86_400_000


def report(
    *,
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="How far back, such as 24h or 7d.")
    ] = "7d",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Write it there, not to standard output."),
    ] = None,
    for_issue: Annotated[
        bool,
        typer.Option("--for-issue", help="Write Markdown for an issue, without names of yours."),
    ] = False,
    state_dir: StateDir = None,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Write a report of the gateway: one HTML file, without a script, that can be printed.

    It tells how long the gateway was up, of what it died, each incident's story, what was changed
    with its undo, and what is wrong now. No token, address, session, name of a job or text of
    anybody is in it, so that it may be handed on.
    """
    if for_issue and as_json:
        raise Usage("--for-issue or --json, not both", hint="leave one of them out")
    since_ms = parse_length_option("--since", since)
    if not 0 < since_ms <= _MOST_MS:
        raise Usage(f"--since must be more than 0 and at most 90d: {since}")
    subject, now_ms = find_subject(state_dir, profile), clock.now_ms()
    situation = read_situation(subject, look_around(subject, now_ms), now_ms)
    home = subject.history.workspace.home
    space = next(iter(read_space(Path(subject.history.guard), home.root)), None)
    found = gather(subject, situation, space, now_ms - since_ms)
    if as_json:
        from tailflip.cli.answers.report import Report  # noqa: PLC0415 - for --json

        text = f"{to_json(Report.of(found))}\n"
    elif for_issue:
        from tailflip.report.handover_text import write_issue  # noqa: PLC0415 - for an issue

        text = write_issue(found, os.environ)
    else:
        from tailflip.report.handover_page import draw_report  # noqa: PLC0415 - else

        text = draw_report(found)
    if out is None:
        sys.stdout.write(text)
    else:
        _put(out, text)
    for note in subject.notes:
        print(f"note: {escape(note)}", file=sys.stderr)


def _put(path: Path, text: str) -> None:
    """Write the file by one rename, readable by its owner alone.

    Raises:
        Usage: there is something of that name that is no file.
    """
    target = resolve(path)
    if target.exists() and not target.is_file():
        raise Usage(f"not a file: {path}", hint="name a file, or leave -o out for standard output")
    data = text.encode("utf-8", "replace")
    replace_file(RealDisk(), target, data, 0o600)
    print(f"{escape(path)}: {format_bytes(len(data))}", file=sys.stderr)
