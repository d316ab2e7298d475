"""Puts slimmed transcripts back for `tailflip restore`, and tells of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tailflip.base import clock
from tailflip.base.errors import TailflipError, Usage
from tailflip.base.render import escape
from tailflip.base.units import format_bytes, format_counted
from tailflip.cli.options import end_with
from tailflip.cli.progress import show_progress
from tailflip.flow.outcomes import ActionKind
from tailflip.ledger.actions import Ledger
from tailflip.observe.records.receipts import find_state_dirs
from tailflip.stores.archive import KEPT, find_action
from tailflip.stores.target import look
from tailflip.transcripts.choice import find_refusal
from tailflip.transcripts.undo import Unslimmed, list_slims, undo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from tailflip.base.workspace import Workspace
    from tailflip.config.load import Loaded
    from tailflip.ledger.actions import Action
    from tailflip.stores.target import Scene


def choose_slims(
    workspace: Workspace,
    named: Action | None,
    is_wanted: Callable[[Action], bool],
    *,
    everything: bool,
    is_narrow: bool,
) -> tuple[Action, ...]:
    """Choose the slimmings to undo: the one that is named, or all.

    Raises:
        Usage: its archive is gone, or keys or jobs were named with it.
    """
    if named is not None and named.kind == ActionKind.SLIM:
        if is_narrow:
            raise Usage("a transcript comes back whole", hint=f"tailflip restore {named.id}")
        return (find_action(workspace, named.id),)
    if named is not None or not everything:
        return ()
    return list_slims(Ledger(workspace).read_all(), is_wanted)


def has_entries(
    actions: Iterable[Action], named: Action | None, is_wanted: Callable[[Action], bool]
) -> bool:
    """Say whether there are archived entries to put back, beside transcripts."""
    return named is None and any(
        each.kind == ActionKind.COMPACT and each.state in KEPT and is_wanted(each)
        for each in actions
    )


def unslim_all(
    actions: Sequence[Action],
    workspace: Workspace,
    state_dir: Path | None,
    settings: Loaded,
    *,
    applied: bool,
) -> tuple[list[Unslimmed], list[TailflipError]]:
    """Undo slimmings, newest first, or only say what that would do; one error stops no other."""
    back: list[Unslimmed] = []
    errors: list[TailflipError] = []
    with show_progress() as on_progress:
        for action in actions:
            try:
                scene = _look(action, state_dir, settings) if applied else None
                if scene is not None:
                    _refuse(action, scene)
                back.append(
                    undo(
                        workspace,
                        action,
                        apply=applied,
                        now_ms=clock.now_ms(),
                        state_dir=None if scene is None else scene.installation.state_dir,
                        gateway=None if scene is None else scene.gateway,
                        on_progress=on_progress,
                    )
                )
            except TailflipError as e:
                errors.append(e)
    return back, errors


def _look(action: Action, state_dir: Path | None, settings: Loaded) -> Scene | None:
    """Look at the installation of a transcript; None where none is left."""
    own = next(iter(find_state_dirs(action.store_path)), state_dir)
    try:
        return look(os.environ, state_dir=own, settings=settings)
    except (TailflipError, OSError):
        return None


def _refuse(action: Action, scene: Scene) -> None:
    refusal = find_refusal(action.store_path, scene.installation, scene.gateway, scene.now_ms)
    if refusal is not None:
        raise refusal


def print_back(
    back: Sequence[Unslimmed], errors: list[TailflipError], *, as_json: bool, applied: bool
) -> None:
    """Print what comes back where nothing but transcripts does."""
    if not back:
        end_with(errors)
        return
    if as_json:
        from tailflip.cli.answers.verbs import Restore  # noqa: PLC0415 - for --json

        first = back[0]
        Restore.to(
            store=first.path,
            action_ids=[each.action_id for each in back],
            added=0,
            replaced=sum(each.lines for each in back),
            unchanged=0,
            conflicts=0,
            conflict_keys=(),
            report=first.report,
            damaged=(),
            gateway=None,
            bytes_before=first.bytes_before,
            bytes_after=first.bytes_after,
            before=None,
            after=None,
            restored_transcripts=back,
            applied=applied,
            failed=errors,
        ).say()
    else:
        for each in back:
            print(format_back(each))
        if not applied:
            print("nothing was changed; add --apply to do it")
        elif not any(each.report for each in back):
            print("nothing to do")
    end_with(errors)


def format_back(back: Unslimmed) -> str:
    """Say what comes back to one transcript."""
    lines = [f"{escape(back.path)}: from {escape(back.action_id)}"]
    if not back.lines:
        lines.append("  its lines are there already")
        return "\n".join(lines)
    count = format_counted(back.lines, "line", "gets back what was cut", "get back what was cut")
    sizes = f"{format_bytes(back.bytes_before)} -> {format_bytes(back.bytes_after)}"
    lines.append(f"  {count}, {sizes}")
    if back.appended:
        lines.append(f"  {format_bytes(back.appended)} were written since, and stay")
    return "\n".join(lines)
