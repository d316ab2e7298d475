"""`tailflip archive`: what was removed, and is still there."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from tailflip import clock
from tailflip.cli.options import (  # noqa: TC001 - typer reads them
    Apply,
    AsJson,
)
from tailflip.compact import archive as kept
from tailflip.durable import RealDisk
from tailflip.errors import Usage
from tailflip.grammar import parse_duration_ms
from tailflip.home import Home
from tailflip.render import escape, format_table, to_json
from tailflip.story import describe_action, describe_rewrite
from tailflip.units import format_bytes, format_count, format_time

if TYPE_CHECKING:
    from tailflip.compact.archive import Archived

app = typer.Typer(
    help="List, show, check or let go what was removed.",
    rich_markup_mode=None,
)

Action = Annotated[str, typer.Argument(help="An action's id, from `tailflip archive list`.")]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List what was done, newest first."""
    home = _home()
    actions = kept.list_actions(home, RealDisk())
    if as_json:
        print(to_json(actions))
    elif actions:
        head = ["action", "what", "when", "removed or changed", "archive", "store"]
        print(format_table(head, [_row(each) for each in actions], indent="", left=3))
    else:
        print(f"nothing archived in {escape(home.root)}", file=sys.stderr)


def _row(each: Archived) -> list[str]:
    action, manifest = each.action, each.manifest
    records = format_count(manifest.rewrite.records) if manifest else ""
    size = format_bytes(manifest.rewrite.archive_bytes) if manifest else ""
    when = format_time(action.created_ms)
    return [
        escape(action.id),
        escape(describe_action(each)),
        when,
        records,
        size,
        escape(action.store),
    ]


@app.command()
def show(action: Action, as_json: AsJson = False) -> None:
    """List the entries that one action removed or changed; --json writes a line for each."""
    manifest, headers = kept.show(_home(), RealDisk(), action)
    if as_json:
        print(manifest.model_dump_json())
        for header in headers:
            print(header.model_dump_json())
        return
    change = describe_rewrite(manifest)
    print(f"{escape(manifest.store)}, {format_time(manifest.created_ms)}: {change}")
    for header in headers:
        size = format_bytes(header.bytes)
        print(f"{header.rule:14}{size:>10}  {escape(header.key)}")


@app.command()
def verify(action: Action, as_json: AsJson = False) -> None:
    """Read an archive whole and compare it with what was written."""
    numbers = kept.verify(_home(), RealDisk(), action)
    if as_json:
        print(to_json(numbers))
    else:
        size = format_bytes(numbers.raw_bytes)
        print(f"{escape(action)}: whole, {format_count(numbers.records)} records, {size} inside")


@app.command()
def expire(
    older_than: Annotated[
        str, typer.Option(metavar="TIME", help="Age from which on archives go, such as 30d.")
    ],
    apply: Apply = False,
    as_json: AsJson = False,
) -> None:
    """Delete archives for ever. What they hold cannot be restored afterwards."""
    try:
        age_ms = parse_duration_ms(older_than, "d")
    except ValueError as e:
        raise Usage(f"--older-than is not a length of time: {older_than}") from e
    gone = kept.expire(
        _home(), RealDisk(), older_than_ms=age_ms, now_ms=clock.now_ms(), apply=apply
    )
    if as_json:
        print(to_json({"applied": apply, "actions": gone}))
        return
    for action in gone:
        print(f"{action.id}  {format_time(action.created_ms)}  {escape(action.store)}")
    if not gone:
        print("no archive is that old", file=sys.stderr)
    elif apply:
        print(f"{len(gone)} deleted", file=sys.stderr)
    else:
        print("nothing was deleted; add --apply to delete these for ever", file=sys.stderr)


def _home() -> Home:
    return Home.locate(os.environ)
