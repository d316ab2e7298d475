"""`tailflip archive`: list, show, check and delete archives of what was removed."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.errors import TailflipError, Usage
from tailflip.base.openclaw_units import parse_duration_ms
from tailflip.base.render import escape, format_gateway, format_table, to_json
from tailflip.base.state_dir import Home
from tailflip.base.units import format_bytes, format_count, format_counted, format_time
from tailflip.base.workspace import Workspace
from tailflip.cli.options import Apply, AsJson, end_with
from tailflip.flow.outcomes import ActionKind
from tailflip.flow.values import to_plain
from tailflip.observe.gateway.liveness import read_gateway
from tailflip.observe.installation import locate
from tailflip.observe.records.receipts import find_state_dirs
from tailflip.report.narrative import describe_action, describe_rewrite
from tailflip.stores import archive as kept

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailflip.flow.numbers import ArchiveNumbers
    from tailflip.flow.observed import Gateway
    from tailflip.ledger import actions as ledger
    from tailflip.stores.archive import Archived, Shown
    from tailflip.stores.transcripts import Kept

app = typer.Typer(
    help="List, show, check or let go what was removed.",
    rich_markup_mode=None,
)

Action = Annotated[str, typer.Argument(help="An action's id, from `tailflip archive list`.")]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List what was done, newest first."""
    workspace = _workspace()
    actions = kept.survey_archives(workspace)
    if as_json:
        print(to_json(actions))
    elif actions:
        head = ["action", "what", "when", "removed or changed", "archive", "transcripts", "store"]
        print(format_table(head, [_row(each) for each in actions], indent="", left=3))
        records = sum(each.manifest.rewrite.archive_bytes for each in actions if each.manifest)
        files = sum(each.kept.bytes for each in actions if each.kept)
        print(f"in all {format_bytes(records)} of entries, {format_bytes(files)} of transcripts")
    else:
        print(f"nothing archived in {escape(workspace.home.root)}", file=sys.stderr)
    for each in actions:
        if each.damage is not None and not as_json:
            print(f"warning: {escape(each.damage)}", file=sys.stderr)


def _row(each: Archived) -> list[str]:
    action, manifest = each.action, each.manifest
    records = format_count(manifest.rewrite.records) if manifest else ""
    size = format_bytes(manifest.rewrite.archive_bytes) if manifest else ""
    if each.damage is not None:
        size = "damaged"
    return [
        escape(action.id),
        escape(describe_action(each)),
        format_time(action.created_ms),
        records,
        size,
        format_bytes(each.kept.bytes) if each.kept and each.kept.files else "",
        escape(action.store),
    ]


@app.command()
def show(action: Action, as_json: AsJson = False) -> None:
    """List the entries that one action removed or changed; --json writes a line for each."""
    shown = kept.show(_workspace(), action)
    if as_json:
        print(json.dumps(_describe(shown)))
    else:
        change = describe_rewrite(shown.manifest) if shown.manifest else "its manifest is damaged"
        when = format_time(shown.action.created_ms)
        print(f"{escape(shown.action.store)}, {when}: {change}")
    for header in shown.headers:
        if as_json:
            print(header.model_dump_json())
        else:
            print(f"{header.rule:14}{format_bytes(header.bytes):>10}  {escape(header.key)}")
    if not as_json:
        _print_kept(shown.kept)
    end_with([shown.damage] if shown.damage is not None else [])


def _describe(shown: Shown) -> object:
    """Describe the manifest and the kept transcripts in one object."""
    manifest, files = shown.manifest, shown.kept
    about: dict[str, object] = {"action": shown.action.id}
    if manifest is not None:
        about = dict(manifest)
    folder = None if files.folder is None else os.fspath(files.folder)
    about["transcripts"] = {"folder": folder, "files": files.files, "bytes": files.bytes}
    return to_plain(about)


def _print_kept(files: Kept) -> None:
    if files.folder is None:
        return
    size = format_bytes(files.bytes)
    print(f"{format_counted(files.files, 'transcript')}, {size}, in {escape(files.folder)}")
    if files.exposed:
        print(
            f"note: {format_count(files.exposed)} of them were set aside by an older version, as "
            ".deleted: OpenClaw deletes them for good after its retention",
            file=sys.stderr,
        )


@app.command()
def verify(
    actions: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ACTION",
            help="Ids from `tailflip archive list`; without any, every archive.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read archives whole and compare them with what was written."""
    workspace = _workspace()
    named = actions or [
        each.action.id
        for each in kept.list_actions(workspace)
        if each.action.kind == ActionKind.COMPACT
    ]
    errors: list[TailflipError] = []
    whole: dict[str, ArchiveNumbers] = {}
    for action in named:
        try:
            numbers = whole[action] = kept.verify(workspace, action)
        except TailflipError as e:
            errors.append(e)
            continue
        if not as_json:
            size = format_bytes(numbers.raw_bytes)
            count = format_counted(numbers.records, "record")
            print(f"{escape(action)}: whole, {count}, {size} inside")
    if as_json and (len(actions or ()) != 1 or whole):
        print(to_json(whole if len(actions or ()) != 1 else whole[named[0]]))
    end_with(errors)


@app.command()
def expire(
    actions: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ACTION",
            help="Ids from `tailflip archive list`, damaged ones too.",
            show_default=False,
        ),
    ] = None,
    older_than: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Age from which on archives go, such as 30d.",
            show_default=False,
        ),
    ] = None,
    apply: Apply = False,
    as_json: AsJson = False,
) -> None:
    """Delete archives for ever, with the transcripts they keep; they cannot be restored then."""
    if (older_than is None) == (not actions):
        raise Usage("give the ids of actions, or --older-than", hint="see `tailflip archive list`")
    gone = kept.expire(
        _workspace(),
        action_ids=actions or (),
        older_than_ms=None if older_than is None else _parse_age_ms(older_than),
        now_ms=clock.now_ms(),
        apply=apply,
    )
    gateways = _find_gateways(gone.actions)
    if as_json:
        print(to_json({"applied": apply, "actions": gone.actions, "gateways": gateways}))
        end_with(list(gone.errors))
        return
    for action in gone.actions:
        print(f"{action.id}  {format_time(action.created_ms)}  {escape(action.store)}")
    for folder, gateway in gateways.items():
        print(f"gateway: {format_gateway(gateway)}, of {escape(folder)}")
    if not gone.actions:
        print("no archive is that old", file=sys.stderr)
    elif apply:
        print(f"{len(gone.actions) - len(gone.errors)} deleted", file=sys.stderr)
    else:
        print("nothing was deleted; add --apply to delete these for ever", file=sys.stderr)
    end_with(list(gone.errors))


def _find_gateways(actions: Sequence[ledger.Action]) -> dict[str, Gateway]:
    """Find the gateways of the state directories that the stores of actions lie in."""
    found: dict[str, Gateway] = {}
    for folder in {each for action in actions for each in find_state_dirs(action.store_path)[:1]}:
        with suppress(TailflipError, OSError):  # an archive may outlive its installation
            found[str(folder)] = read_gateway(locate(os.environ, state_dir=folder), os.environ)
    return dict(sorted(found.items()))


def _parse_age_ms(older_than: str) -> int:
    try:
        return parse_duration_ms(older_than, "d")
    except ValueError as e:
        raise Usage(f"--older-than is not a length of time: {older_than}") from e


def _workspace() -> Workspace:
    return Workspace(Home.locate(os.environ), RealDisk())
