"""Clears markers of a dead gateway."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tailflip.base.units import format_counted
from tailflip.flow.outcomes import ActionKind, tell_undo
from tailflip.observe.records.reading import Records
from tailflip.reconcile.context import Step, StepKind
from tailflip.reconcile.judge.markers import plan_markers
from tailflip.reconcile.judge.stuck import pick_ends
from tailflip.reconcile.write.cron_store import apply_changes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailflip.reconcile.context import Reconciliation
    from tailflip.reconcile.judge.markers import Change


def clear_markers(work: Reconciliation) -> None:
    """Clear the markers of a dead gateway."""
    scene = work.scene
    if work.is_kept(scene.installation.cron_store):
        return  # its marks are out of date
    records = Records(scene.installation)
    cron = records.read_jobs()
    if cron.problem is not None:
        work.result.notes.append(f"cron store cannot be read: {cron.problem}")
    marked = {job.job_id: job for job in cron.jobs if job.running_at_ms is not None}
    if not marked or scene.gateway.alive is True:
        return  # the markers of a living gateway are judged by `stuck`
    if scene.gateway.alive is None:
        why = f"whether a gateway runs could not be told: {scene.gateway.evidence}"
        count, were = len(marked), "was" if len(marked) == 1 else "were"
        work.result.notes.append(
            f"{format_counted(count, 'marker')} of running jobs {were} left alone; {why}"
        )
        return
    if not records.forms.may_clear_markers:
        return
    ends = pick_ends(tuple(marked.values()), work.read_lines())
    changes = [
        change
        for job in marked.values()
        for change in plan_markers(
            (job,), ends.get(job.job_id, ()), scene.now_ms, work.terms.capabilities, work.deaths
        )
    ]
    if work.terms.apply:
        work.history.runs.put([change.run for change in changes if change.run is not None])
    change_jobs(work, ActionKind.MARKERS, "markers of a dead gateway cleared", changes)


def change_jobs(
    work: Reconciliation, kind: ActionKind, what: str, changes: Sequence[Change]
) -> None:
    """Write changes of one kind to the cron store, or report them as planned."""
    if not changes or work.is_kept(work.scene.installation.cron_store):
        return
    step = Step(
        kind=StepKind(kind),
        subject=str(work.scene.installation.cron_store),
        counts={what: len(changes)},
        words=tuple(f"{change.title}: {'; '.join(change.words)}" for change in changes),
    )
    with work.result.keeping_error():
        if work.terms.apply:
            action_id = apply_changes(
                changes, kind=kind, hands=work.hands, now_ms=work.next_moment()
            )
            undo = tell_undo(kind, action_id) if action_id else None
            step = replace(step, action_id=action_id, undo=undo)
        work.result.steps.append(step)
