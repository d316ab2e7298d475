"""Mends the ledgers before a gateway starts, while none is alive that could overwrite them.

`mend` is called after the last death is on record, because a job that was in flight may have to be
held, and after the stores were looked at. The gateway starts also if `mend` fails.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base.progress import be_quiet
from tailflip.base.units import format_counted
from tailflip.flow.late import dataclass
from tailflip.observe.records.forms import NOT_READ
from tailflip.reconcile.context import StepKind, begin
from tailflip.reconcile.kinds import reconcile_all
from tailflip.reconcile.words import format_done
from tailflip.stores.proof.prove import Fate

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tailflip.base.progress import Progress
    from tailflip.base.workspace import Workspace
    from tailflip.config.load import Config
    from tailflip.flow.capabilities import Capabilities

_KINDS = (StepKind.MARKERS, StepKind.HOLD, StepKind.TASKS, StepKind.ZOMBIES)
_LEFT_ONE, _LEFT_MANY = "was left as it is", "were left as they are"


@dataclass(frozen=True)
class Mended:
    """Texts of what was done or went wrong; `held` counts the jobs and sessions that were held.

    `actions` are the ids of the actions done.
    """

    notes: tuple[str, ...] = ()
    held: int = 0
    actions: tuple[str, ...] = ()


def mend(
    env: Mapping[str, str],
    config: Config,
    *,
    workspace: Workspace,
    capabilities: Capabilities,
    state_dir: Path | None = None,
    profile: str | None = None,
    on_progress: Progress | None = None,
) -> Mended:
    """Clear markers, hold killers, end zombies; report what was done or went wrong.

    Args:
        env: The gateway's environment.
        config: Its section `reconcile` says what is allowed; `enabled` false does nothing.
        workspace: Where actions are recorded, and the effects.
        capabilities: Those of the gateway that is about to start.
        state_dir: As for `begin`.
        profile: As for `begin`.
        on_progress: As for a compaction; may raise, to stop.

    Raises:
        TailflipError: The installation could not be looked at; start the gateway all the same.
    """
    if not config.reconcile.enabled:
        return Mended()
    work = begin(
        env,
        workspace=workspace,
        apply=True,
        config=config,
        capabilities=capabilities,
        state_dir=state_dir,
        profile=profile,
        write_tasks=config.reconcile.write_task_ledger,
        on_progress=on_progress or be_quiet,
    )
    if work.scene.gateway.alive is not False:
        gateway = work.scene.gateway
        return Mended((f"ledgers left alone: a gateway may be running ({gateway.evidence})",))
    # Where the user agreed that jobs may be disabled, hold those in a storm before the boot.
    kinds = (*_KINDS, StepKind.STORMS) if config.reconcile.hold_jobs else _KINDS
    result = reconcile_all(work, kinds)
    done = [
        f"{format_done(what, count)}; undo: {step.undo}"
        for step in result.steps
        if step.action_id is not None
        for what, count in step.counts.items()
    ]
    holds = [
        step for step in result.steps if step.kind == StepKind.HOLD and step.action_id is not None
    ]
    held = [word for step in holds for word in step.words]
    kept = sum(step.running.get(Fate.UNKNOWN, 0) for step in result.steps)
    if kept:
        says = format_counted(kept, "entry", "that says", "that say")
        done.append(f'{says} "running" {_LEFT_ONE if kept == 1 else _LEFT_MANY}')
        done += [note for note in result.notes if note.startswith(NOT_READ)]
    failed = [f"not reconciled: {error.message}" for error in result.errors]
    actions = tuple(step.action_id for step in result.steps if step.action_id is not None)
    return Mended((*done, *held, *failed), sum(len(step.words) for step in holds), actions)
