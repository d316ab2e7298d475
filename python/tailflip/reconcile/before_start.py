"""What is mended before a gateway starts: the only moment when all its ledgers may be written.

Called after the last death is on record (a job that was in flight at it may have to be
held) and after the stores were looked at. A failure here keeps no gateway down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.reconcile.kinds import reconcile_all
from tailflip.reconcile.run import begin
from tailflip.units import format_count

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tailflip.compact.swap import Progress
    from tailflip.config import Config
    from tailflip.durable import Disk
    from tailflip.home import Home

_KINDS = ("markers", "tasks", "zombies")


def mend(
    env: Mapping[str, str],
    config: Config,
    *,
    home: Home,
    disk: Disk,
    version: tuple[int, int, int] | None,
    state_dir: Path | None = None,
    profile: str | None = None,
    on_progress: Progress | None = None,
) -> tuple[str, ...]:
    """Clear markers, hold killers, end zombies; say in words what was done or went wrong.

    Args:
        env: The gateway's environment.
        config: What may be done is in `reconcile`; `enabled` false does nothing.
        home: Where actions are recorded.
        disk: The effects.
        version: Of the gateway that is about to start.
        state_dir: As for `begin`.
        profile: The same.
        on_progress: As for a compaction; may raise, to stop.

    Raises:
        TailflipError: It could not even be looked at; start the gateway all the same.
    """
    if not config.reconcile.enabled:
        return ()
    work = begin(
        env,
        home=home,
        disk=disk,
        apply=True,
        config=config,
        version=version,
        state_dir=state_dir,
        profile=profile,
        write_tasks=config.reconcile.write_task_ledger,
        on_progress=on_progress or _be_quiet,
    )
    if work.scene.gateway.alive is not False:
        return (f"ledgers left alone: a gateway may be running ({work.scene.gateway.evidence})",)
    result = reconcile_all(work, _KINDS)
    done = [
        f"{step.kind}: {format_count(count)} {what}; undo: {step.undo}"
        for step in result.steps
        if step.action_id is not None
        for what, count in step.counts.items()
    ]
    held = [word for step in result.steps if step.kind == "hold" for word in step.words]
    return (*done, *held, *(f"not reconciled: {error.message}" for error in result.errors))


def _be_quiet(_stage: str, _done: int, _total: int) -> None:
    pass
