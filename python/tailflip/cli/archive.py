"""`tailflip archive`: list, show, check and delete archives of what was removed."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.errors import TailflipError, Usage
from tailflip.base.openclaw_units import parse_length_option
from tailflip.base.render import escape, format_gateway, format_table
from tailflip.base.state_dir import Home
from tailflip.base.units import (
    format_bytes,
    format_count,
    format_counted,
    format_moment,
)
from tailflip.base.workspace import Workspace
from tailflip.cli.completion import offer_actions
from tailflip.cli.options import Apply, AsJson, StateDir, choose_actions, end_with
from tailflip.config.load import load
from tailflip.flow.outcomes import STORE_KINDS, ActionKind
from tailflip.observe.gateway.liveness import read_gateway
from tailflip.observe.installation import locate
from tailflip.observe.records.receipts import find_state_dirs
from tailflip.report.narrative import describe_action, describe_rewrite
from tailflip.stores import archive as kept
from tailflip.stores.archive_limits import describe_limits, find_beyond
from tailflip.stores.archive_weight import weigh

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tailflip.flow.numbers import ArchiveNumbers
    from tailflip.flow.observed import Gateway
    from tailflip.ledger.actions import Action as ActionOnRecord
    from tailflip.stores.archive import Archived, Expiry, Shown
    from tailflip.stores.transcripts import Kept


app = typer.Typer(
    help="List, show, check or let go what was removed.",
    rich_markup_mode=None,
)

Action = Annotated[
    str,
    typer.Argument(
        metavar="ACTION",
        help="An action's id, from `tailflip archive list`.",
        autocompletion=offer_actions,
    ),
]


@app.command("list")
def list_(state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """List what was done, newest first; with --state-dir, to one gateway's files."""
    workspace = _workspace()
    is_wanted = choose_actions(state_dir)
    actions = kept.survey_archives(workspace, is_wanted)
    if as_json:
        from tailflip.cli.answers.verbs import ArchiveList  # noqa: PLC0415 - for --json

        ArchiveList.to(actions=actions).say()
        return
    if actions:
        head = ["action", "what", "when", "store", "removed or changed", "archive", "transcripts"]
        now_ms = clock.now_ms()
        rows = [_row(each, now_ms) for each in actions]
        print(format_table(head, rows, indent="", left=4))
        _print_totals(workspace, actions, is_wanted, now_ms)
    else:
        of = f" of {escape(state_dir)}" if state_dir is not None else ""
        print(f"nothing{of} archived in {escape(workspace.home.root)}", file=sys.stderr)
    for each in actions:
        if each.damage is not None:
            print(f"warning: {escape(each.damage)}", file=sys.stderr)


def _print_totals(
    workspace: Workspace,
    actions: Sequence[Archived],
    is_wanted: Callable[[ActionOnRecord], bool],
    now_ms: int,
) -> None:
    """Print the room that the listed archives take, and the limits of all."""
    files = sum(each.kept.bytes for each in actions if each.kept)
    weighed = [each for each in weigh(workspace) if is_wanted(each.action) and each.bytes]
    total = sum(each.bytes for each in weighed)
    count = format_counted(len(weighed), "archive", "takes", "take")
    oldest = weighed[-1].action.created_ms if weighed else None
    since = f"; the oldest is of {format_moment(oldest, now_ms)}" if oldest is not None else ""
    print(f"in all {count} {format_bytes(total)}, {format_bytes(files)} of it transcripts{since}")
    limits = describe_limits(load(os.environ).config.archive)
    print(f"limits of all: {limits}; what is beyond goes at a guard's next look")


def _row(each: Archived, now_ms: int) -> list[str]:
    action, manifest = each.action, each.manifest
    records = format_count(manifest.rewrite.records) if manifest else ""
    size = format_bytes(manifest.rewrite.archive_bytes) if manifest else ""
    if each.damage is not None:
        size = "damaged"
    return [
        escape(action.id),
        escape(describe_action(each)),
        format_moment(action.created_ms, now_ms),
        escape(action.store),
        records,
        size,
        format_bytes(each.kept.bytes) if each.kept and each.kept.files else "",
    ]


@app.command()
def show(action: Action, as_json: AsJson = False) -> None:
    """List the entries that one action removed or changed; --json writes a line for each."""
    shown = kept.show(_workspace(), action)
    if as_json:
        _answer(shown)
    else:
        _print(shown)
    end_with([shown.damage] if shown.damage is not None else [])


def _print(shown: Shown) -> None:
    change = describe_rewrite(shown.rewritten) if shown.rewritten else "its manifest is damaged"
    when = format_moment(shown.action.created_ms, clock.now_ms())
    print(f"{escape(shown.action.store)}, {when}: {change}")
    for header in shown.headers:
        print(f"{header.rule:14}{format_bytes(header.bytes):>10}  {escape(header.key)}")
    _print_kept(shown.kept)


def _answer(shown: Shown) -> None:
    from tailflip.cli.answers.verbs import ArchivedEntry, ArchiveShow  # noqa: PLC0415 - for --json

    failed = [shown.damage] if shown.damage is not None else []
    first = ArchiveShow.to(
        action=shown.action, rewrite=shown.rewritten, transcripts=shown.kept, failed=failed
    )
    first.say_line()
    for header in shown.headers:
        ArchivedEntry.of(header).say_line()


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
            autocompletion=offer_actions,
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
        if each.action.kind in (ActionKind.COMPACT, ActionKind.SLIM)
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
    if as_json:
        from tailflip.cli.answers.verbs import ArchiveVerify  # noqa: PLC0415 - for --json

        archives = [{"action_id": each, **dict(numbers)} for each, numbers in whole.items()]
        ArchiveVerify.to(archives=archives, failed=errors).say()
    end_with(errors)


@app.command()
def expire(
    actions: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ACTION",
            autocompletion=offer_actions,
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
    beyond_limits: Annotated[
        bool,
        typer.Option(
            "--beyond-limits",
            help="Archives beyond archive.keep and archive.max_size, as `run`, `gate` and "
            "`watch` let them go.",
        ),
    ] = False,
    apply: Apply = False,
    as_json: AsJson = False,
) -> None:
    """Delete archives for ever, with the transcripts they keep; they cannot be restored then."""
    if [bool(actions), older_than is not None, beyond_limits].count(True) != 1:
        raise Usage(
            "give the ids of actions, or --older-than, or --beyond-limits",
            hint="see `tailflip archive list`",
        )
    workspace, now_ms = _workspace(), clock.now_ms()
    named: Sequence[str] = actions or ()
    if beyond_limits:
        named = find_beyond(workspace, load(os.environ).config.archive, now_ms)
    gone = kept.expire(
        workspace,
        action_ids=named,
        older_than_ms=None
        if older_than is None
        else parse_length_option("--older-than", older_than),
        now_ms=now_ms,
        apply=apply,
    )
    gateways = _find_gateways(gone.actions)
    if as_json:
        from tailflip.cli.answers.verbs import ArchiveExpire  # noqa: PLC0415 - for --json

        ArchiveExpire.to(
            applied=apply,
            actions=gone.actions,
            size_bytes=gone.bytes,
            state_dirs=[
                {"state_dir": folder, "gateway": each} for folder, each in gateways.items()
            ],
            failed=list(gone.errors),
        ).say()
    else:
        _print_expiry(gone, gateways, now_ms, applied=apply, beyond_limits=beyond_limits)
    end_with(list(gone.errors))


def _print_expiry(
    gone: Expiry,
    gateways: Mapping[str, Gateway],
    now_ms: int,
    *,
    applied: bool,
    beyond_limits: bool,
) -> None:
    for each in gone.archives:
        at, store = format_moment(each.action.created_ms, now_ms), escape(each.action.store)
        print(f"{each.action.id}  {at}  {escape(describe_action(each))}  {store}")
    for folder, gateway in gateways.items():
        print(f"gateway: {format_gateway(gateway)}, of {escape(folder)}")
    for each in gone.archives:
        if each.action.kind not in STORE_KINDS:
            lost = "cannot be undone any more" if applied else "can then not be undone any more"
            print(
                f"note: this change of {escape(each.action.store)} {lost}: "
                f"{escape(describe_action(each))}",
                file=sys.stderr,
            )
    if not gone.archives:
        why = "beyond the limits" if beyond_limits else "that old"
        print(f"no archive is {why}", file=sys.stderr)
    elif applied:
        deleted = format_counted(len(gone.archives) - len(gone.errors), "archive")
        print(f"{deleted} deleted, {format_bytes(gone.bytes)} given back", file=sys.stderr)
    else:
        print(
            f"{format_bytes(gone.bytes)} can be given back; nothing was deleted; "
            "add --apply to delete these for ever",
            file=sys.stderr,
        )


def _find_gateways(actions: Sequence[ActionOnRecord]) -> dict[str, Gateway]:
    """Find the gateways of the state directories that the stores of actions lie in."""
    found: dict[str, Gateway] = {}
    for folder in {each for action in actions for each in find_state_dirs(action.store_path)[:1]}:
        with suppress(TailflipError, OSError):  # an archive may outlive its installation
            found[str(folder)] = read_gateway(locate(os.environ, state_dir=folder), os.environ)
    return dict(sorted(found.items()))


def _workspace() -> Workspace:
    return Workspace(Home.locate(os.environ), RealDisk())
