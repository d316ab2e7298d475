"""`tailflip slim`: show what would leave transcripts; with --apply, take it out."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from tailflip.base.durable import RealDisk
from tailflip.base.errors import TailflipError, Usage
from tailflip.base.openclaw_units import parse_size_bytes
from tailflip.base.render import escape, format_gateway, format_table
from tailflip.base.state_dir import Home
from tailflip.base.units import format_bytes, format_count, format_counted
from tailflip.base.workspace import Workspace
from tailflip.cli.options import Apply, AsJson, Profile, StateDir, end_with
from tailflip.cli.progress import show_progress
from tailflip.config.load import load
from tailflip.flow.late import dataclass
from tailflip.stores.recovery import recover
from tailflip.stores.target import look
from tailflip.transcripts import choice
from tailflip.transcripts import slim as engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tailflip.base.progress import Progress
    from tailflip.flow.numbers import SlimNumbers
    from tailflip.flow.outcomes import Report
    from tailflip.stores.target import Scene


@dataclass(frozen=True)
class Seen:
    """A transcript as it is and would be, or is now if there is a `report`.

    `refusal`: why it may not be changed now.
    """

    path: Path
    numbers: SlimNumbers
    refusal: TailflipError | None = None
    report: Report | None = None

    @property
    def why(self) -> str | None:
        """The refusal in words."""
        return None if self.refusal is None else self.refusal.message

    @property
    def done(self) -> Report | None:
        """The report, if something was done."""
        return self.report if self.report is not None and self.report.action_id else None


def slim(
    *,
    sessions: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SESSION",
            help="Session ids, or paths of transcripts.",
            show_default=False,
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All transcripts that have something to slim.")
    ] = False,
    larger_than: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="With --all: only those above this size, such as 50mb."),
    ] = None,
    apply: Apply = False,
    state_dir: StateDir = None,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Take old images and long old tool results out of transcripts. --apply does it.

    An image goes that the gateway does not show its model any more. A text of a tool result
    above 16 KB keeps its first 2 KB. The last three completed turns stay as they are. Changed
    lines are archived whole first; `tailflip restore` puts them back.
    """
    if bool(sessions) == everything:
        raise Usage(
            "name sessions, or give --all", hint="tailflip slim --all, which changes nothing"
        )
    if larger_than is not None and not everything:
        raise Usage("--larger-than goes with --all")
    least = _parse_size(larger_than)
    workspace = Workspace(Home.locate(os.environ), RealDisk())
    if apply:
        for note in recover(workspace):
            print(f"note: {escape(note)}", file=sys.stderr)
    scene = look(os.environ, state_dir=state_dir, profile=profile, settings=load(os.environ))
    installation = scene.installation
    paths = choice.find_named(installation, sessions or ())
    if everything:
        listed = choice.list_transcripts(installation)
        paths = tuple(path for path in listed if _measure(path) > least)
    errors: list[TailflipError] = []
    with show_progress() as on_progress:
        seen = list(_look(paths, scene, errors, on_progress, everything=everything))
        if apply:
            seen = [_slim(each, scene, workspace, errors, on_progress) for each in seen]
    if apply and not everything:
        errors += [each.refusal for each in seen if each.refusal is not None]
    if as_json:
        _answer(seen, scene, errors, applied=apply)
    else:
        _print(seen, scene, applied=apply, everything=everything)
    end_with(errors)


def _parse_size(text: str | None) -> int:
    try:
        return 0 if text is None else parse_size_bytes(text)
    except ValueError as e:
        raise Usage(f"--larger-than is no size: {text}", hint="write it as 50mb or 1gb") from e


def _measure(path: Path) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0


def _look(
    paths: tuple[Path, ...],
    scene: Scene,
    errors: list[TailflipError],
    on_progress: Progress,
    *,
    everything: bool,
) -> Iterator[Seen]:
    """Forecast each transcript; of all, only those that become smaller."""
    for path in paths:
        try:
            numbers = engine.forecast(path, on_progress)
        except TailflipError as e:
            errors.append(e)
            continue
        if everything and not numbers.saves:
            continue
        refusal = choice.find_refusal(path, scene.installation, scene.gateway, scene.now_ms)
        yield Seen(path, numbers, refusal)


def _slim(
    seen: Seen,
    scene: Scene,
    workspace: Workspace,
    errors: list[TailflipError],
    on_progress: Progress,
) -> Seen:
    if seen.refusal is not None or not seen.numbers.saves:
        return seen
    try:
        done = engine.slim(
            seen.path,
            workspace=workspace,
            now_ms=scene.now_ms,
            state_dir=scene.installation.state_dir,
            gateway=scene.gateway,
            on_progress=on_progress,
        )
    except TailflipError as e:
        errors.append(e)
        return seen
    return Seen(seen.path, done.numbers, None, done.report)


def _print(seen: list[Seen], scene: Scene, *, applied: bool, everything: bool) -> None:
    if not seen:
        print("no transcript has anything to slim" if everything else "nothing to do")
    else:
        head = ("transcript", "bytes now", "bytes after", "images", "results")
        rows = [
            (
                escape(each.path),
                format_bytes(each.numbers.bytes),
                format_bytes(each.numbers.bytes_after),
                format_count(each.numbers.images),
                format_count(each.numbers.results),
            )
            for each in seen
        ]
        print(format_table(head, rows, indent=""))
    for each in seen:
        if each.numbers.unread:
            stay = format_counted(each.numbers.unread, "old line", "does", "do")
            print(f"note: {stay} not read with certainty, and stays as it is: {escape(each.path)}")
        if each.refusal is not None and (everything or not applied):
            print(f"note: left as it is: {escape(each.why or '')}")
    for each in seen:
        if each.done is not None:
            size = format_bytes(each.done.archive_bytes)
            print(f"{escape(each.path)}: slimmed in {each.done.took_s:.1f} s")
            print(f"  archive: {escape(each.done.archive or '')} ({size})")
            print(f"  undo: {escape(each.done.undo or '')}")
    print(f"gateway: {format_gateway(scene.gateway)}")
    if seen and not applied:
        print("nothing was changed; add --apply to do it")


def _answer(seen: list[Seen], scene: Scene, errors: list[TailflipError], *, applied: bool) -> None:
    from tailflip.cli.answers.verbs import Slim  # noqa: PLC0415 - for --json

    Slim.to(
        applied=applied,
        slimmed_transcripts=seen,
        gateway=scene.gateway,
        failed=errors,
    ).say()
