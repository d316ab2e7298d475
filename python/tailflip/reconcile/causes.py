"""Finds the jobs that filled the stores, and will fill them again after a compaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base.errors import TailflipError
from tailflip.base.progress import be_quiet
from tailflip.reconcile.context import begin
from tailflip.reconcile.steps.storms import look_for_storms

if TYPE_CHECKING:
    from tailflip.base.workspace import Workspace
    from tailflip.flow.conditions import JobStorm
    from tailflip.stores.compaction import Compaction


def find_causes(job: Compaction, workspace: Workspace) -> tuple[JobStorm, ...]:
    """Find the storms that are not over, the worst first; none where that cannot be found out.

    Args:
        job: the compaction, done or planned.
        workspace: where storms of removed runs are on record.
    """
    try:
        work = begin(
            job.scene.caller_env,
            workspace=workspace,
            apply=False,
            on_progress=be_quiet,
            scene=job.scene,
        )
        look_for_storms(work)
    except TailflipError:
        return ()
    found = work.result.inputs.storms or ()
    return tuple(sorted(found, key=lambda each: -each.storm.runs))
