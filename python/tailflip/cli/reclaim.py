"""`tailflip reclaim`: give room on the disk back, each file with its proof."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from tailflip.base.durable import RealDisk
from tailflip.base.errors import TailflipError, TryLater, Usage
from tailflip.base.openclaw_units import parse_length_option, parse_size_bytes
from tailflip.base.render import escape, format_gateway, format_table
from tailflip.base.state_dir import Home
from tailflip.base.units import format_bytes, format_count, format_counted, format_moment
from tailflip.base.workspace import Workspace
from tailflip.cli.options import Apply, AsJson, Profile, StateDir, end_with
from tailflip.cli.settings import read_and_tell
from tailflip.reclaim.patterns import BECOMES, PROOFS, Class
from tailflip.reclaim.proofs import DAY_MS, HOUR_MS, Ages
from tailflip.reclaim.reclaiming import reclaim as give_back
from tailflip.stores.target import look

if TYPE_CHECKING:
    from tailflip.reclaim.reclaiming import Reclaimed
    from tailflip.stores.target import Scene

_SHOWN = 10


def reclaim(
    *,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--class",
            metavar="NAME",
            help="Only debris, captures, copies or history; repeatable.",
            show_default=False,
        ),
    ] = None,
    older_than: Annotated[
        str | None,
        typer.Option(
            metavar="AGE",
            help="Only what was written last so long ago, such as 30d; for history it replaces the "
            "setting `reclaim.history_after`.",
            show_default=False,
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Stop once so much room is free, such as 5gb.",
            show_default=False,
        ),
    ] = None,
    apply: Apply = False,
    state_dir: StateDir = None,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Give room back that OpenClaw's leftovers take. Prints what would go; --apply does it.

    Each file goes only with proof. History is packed into an archive and never deleted; `tailflip
    restore ACTION` puts it back. What nobody can prove stays, and is told with the reason.
    """
    settings = read_and_tell(state_dir, profile)
    scene = look(os.environ, state_dir=state_dir, profile=profile, settings=settings)
    workspace = Workspace(Home.locate(os.environ), RealDisk())
    classes = _choose_classes(only or [])
    found = give_back(
        scene,
        workspace,
        classes=classes,
        ages=_choose_ages(older_than, scene),
        until_free=None if until is None else _read_size(until),
        apply=apply,
    )
    for note in found.notes:
        print(f"note: {escape(note)}", file=sys.stderr)
    errors = _explain(found)
    if as_json:
        from tailflip.cli.answers.reclaim import Reclaim  # noqa: PLC0415 - for --json

        Reclaim.of_found(found, scene, classes, errors).say()
    else:
        print(_format(found, scene))
    end_with(errors)


def _choose_classes(names: list[str]) -> tuple[Class, ...]:
    known = {str(each): each for each in Class}
    for name in names:
        if name not in known:
            raise Usage(f"no such class: {name}", hint=f"classes are: {', '.join(known)}")
    return tuple(each for each in Class if not names or str(each) in names)


def _choose_ages(older_than: str | None, scene: Scene) -> Ages:
    """Choose the ages; nothing makes them less than what a write in progress may take."""
    history_ms = scene.config.reclaim.history_after_ms
    if older_than is None:
        return Ages(history_ms=max(HOUR_MS, history_ms))
    least_ms = parse_length_option("--older-than", older_than)
    hour_ms = max(HOUR_MS, least_ms)
    return Ages(hour_ms, max(DAY_MS, least_ms), hour_ms, hour_ms)


def _read_size(text: str) -> int:
    try:
        return parse_size_bytes(text)
    except ValueError as e:
        raise Usage(f"--until {text}: {e}", hint="such as 5gb or 500mb") from e


def _explain(found: Reclaimed) -> list[TailflipError]:
    """Explain what did not go although it was judged to."""
    if found.gone is None or not found.gone.skipped:
        return []
    first = found.gone.skipped[0]
    number = format_counted(len(found.gone.skipped), "file", "stays", "stay")
    return [
        TryLater(
            f"{number} after a second look, the first of them {first.path}: {first.why}",
            hint="nothing of them was changed; `tailflip reclaim` judges them anew",
        )
    ]


def _format(found: Reclaimed, scene: Scene) -> str:
    now_ms = scene.now_ms
    lines = [f"{escape(scene.installation.state_dir)}"]
    rows = [
        [
            str(kind),
            BECOMES[kind],
            "" if each.oldest_ms is None else format_moment(each.oldest_ms, now_ms),
            format_count(each.files),
            format_bytes(each.bytes),
        ]
        for kind in Class
        if (each := found.may_go.get(kind)) is not None
    ]
    if rows:
        head = ["may go", "what becomes of it", "oldest", "files", "bytes"]
        lines.append(format_table(head, rows, left=3))
        lines += [f"  {kind}: {PROOFS[kind]}" for kind in Class if kind in found.may_go]
    else:
        lines.append("nothing may go")
    if found.stays:
        reasons = sorted(found.stays.items(), key=lambda item: -item[1].bytes)
        rows = [
            [str(kind), escape(reason), format_count(each.files), format_bytes(each.bytes)]
            for (kind, reason), each in reasons[:_SHOWN]
        ]
        lines.append(format_table(["stays", "because", "files", "bytes"], rows, left=2))
    if found.told:
        rows = [
            [escape(each.what), each.how, format_count(each.files), format_bytes(each.bytes)]
            for each in found.told
        ]
        lines.append(
            format_table(["only told", "what gives it back", "files", "bytes"], rows, left=2)
        )
    lines.append(f"gateway: {format_gateway(scene.gateway)}")
    if found.gone is None:
        lines.append("nothing was changed; add --apply to do it")
        return "\n".join(lines)
    for kind, number in found.gone.files.items():
        size = format_bytes(found.gone.bytes[kind])
        lines.append(f"{kind}: {format_counted(number, 'file')} gone, {size} given back")
    if found.gone.archived_bytes:
        lines.append(f"the archive takes {format_bytes(found.gone.archived_bytes)}")
    lines += [f"undo: tailflip restore {action} --apply" for action in found.gone.undoable]
    if not found.gone.actions:
        lines.append("nothing was changed")
    return "\n".join(lines)
