"""Gives disk back: weighs the archives, and lets go those beyond the limits of the settings.

An archive is too old after `archive.keep`. Where all of them take more than `archive.max_size`, the
oldest go until they do not; the newest of each store stays, so that the last change can be undone.
By itself tailflip lets no archive of a store on record go: its bytes may be the only ones that a
gateway still starts with. Nor one from before tailflip was written: a clock was wrong then. Nor one
of `reclaim`: it may be the only place where a conversation is.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tailflip.base.durable import resolve
from tailflip.base.errors import TailflipError, TryLater
from tailflip.base.units import format_bytes, format_counted
from tailflip.flow.observed import ArchiveUse
from tailflip.flow.outcomes import ActionKind
from tailflip.stores.archive_weight import weigh

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tailflip.base.workspace import Workspace
    from tailflip.config.schema import ArchiveSettings
    from tailflip.ledger.actions import Action
    from tailflip.stores.archive import Expiry
    from tailflip.stores.archive_weight import Weighed

_WRITTEN_MS = 1_767_225_600_000  # 2026-01-01; a machine without a clock begins in 1970


def choose_beyond(
    weighed: Sequence[Weighed], limits: ArchiveSettings, now_ms: int
) -> Iterator[Weighed]:
    """Choose the archives that are beyond the limits, oldest first.

    Args:
        weighed: all archives, newest first.
        limits: the settings.
        now_ms: wall clock.
    """
    weighed = [each for each in weighed if _has_limits(each.action)]
    newest: dict[str, str] = {}
    for each in weighed:
        if each.bytes:
            newest.setdefault(each.action.store, each.action.id)
    total = sum(each.bytes for each in weighed)
    for each in reversed(weighed):
        action = each.action
        is_over = limits.max_bytes is not None and total > limits.max_bytes
        goes_by_size = is_over and each.bytes > 0 and newest[action.store] != action.id
        if _is_too_old(action, limits, now_ms) or goes_by_size:
            total -= each.bytes
            yield each


def observe_use(workspace: Workspace, limits: ArchiveSettings, now_ms: int) -> ArchiveUse:
    """Sum up the archives and their limits, for `check` and `archive list`."""
    weighed = weigh(workspace)
    beyond = [each for each in choose_beyond(weighed, limits, now_ms) if _may_go(each.action)]
    full = [each for each in weighed if each.bytes]
    total = sum(each.bytes for each in full)
    limited = [each for each in full if _has_limits(each.action)]
    counted = sum(each.bytes for each in limited)
    return ArchiveUse(
        path=workspace.home.archives,
        count=len(full),
        bytes=total,
        keep=limits.keep,
        max_size=limits.max_size,
        too_old=sum(_is_too_old(each.action, limits, now_ms) for each in limited),
        is_too_large=limits.max_bytes is not None and counted > limits.max_bytes,
        may_go=len(beyond),
        may_go_bytes=sum(each.bytes for each in beyond),
    )


def find_beyond(workspace: Workspace, limits: ArchiveSettings, now_ms: int) -> tuple[str, ...]:
    """Find the ids of the archives that the limits let go, oldest first."""
    beyond = choose_beyond(weigh(workspace), limits, now_ms)
    return tuple(each.action.id for each in beyond if _may_go(each.action))


def keep_limits(workspace: Workspace, limits: ArchiveSettings, now_ms: int) -> tuple[str, ...]:
    """Delete the archives beyond the limits, and report it; a failure of ours is reported too.

    Without archives this costs a look at one directory.
    """
    try:
        if not _holds_any(workspace.home.archives):
            return ()
        gone = find_beyond(workspace, limits, now_ms)
        if not gone:
            return ()
        # Most starts have nothing to delete.
        from tailflip.stores.archive import expire  # noqa: PLC0415

        return _describe(expire(workspace, action_ids=gone, now_ms=now_ms, apply=True), limits)
    except TryLater:
        return ()  # another tailflip is at work; the next look has time
    except (TailflipError, OSError) as e:
        return (f"archives were not looked at: {e}",)


def _describe(gone: Expiry, limits: ArchiveSettings) -> tuple[str, ...]:
    count = len(gone.actions) - len(gone.errors)
    deleted = format_counted(count, "archive", "was", "were")
    told = (
        f"{deleted} deleted for ever, beyond {describe_limits(limits)}: "
        f"{format_bytes(gone.bytes)} given back"
    )
    failed = tuple(f"an archive cannot be deleted yet: {error.message}" for error in gone.errors)
    return (told, *failed) if count else failed


def describe_limits(limits: ArchiveSettings) -> str:
    """Describe the limits by their settings."""
    return f"archive.keep ({limits.keep}) or archive.max_size ({limits.max_size})"


def _has_limits(action: Action) -> bool:
    return action.kind != ActionKind.RECLAIM


def _is_too_old(action: Action, limits: ArchiveSettings, now_ms: int) -> bool:
    keep_ms = limits.keep_ms
    return (
        keep_ms is not None
        and action.created_ms >= _WRITTEN_MS
        and now_ms - action.created_ms > keep_ms
    )


def _may_go(action: Action) -> bool:
    """Say whether no gateway has the store on record; a record that cannot be read may have it."""
    # Only archives beyond a limit ask this.
    from tailflip.stores.ownership import find_claim  # noqa: PLC0415

    try:
        return find_claim(resolve(action.store_path)) is None
    except (TailflipError, OSError):
        return False


def _holds_any(folder: Path) -> bool:
    try:
        with os.scandir(folder) as names:
            return next(names, None) is not None
    except FileNotFoundError:
        return False
