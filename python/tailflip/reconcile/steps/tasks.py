"""Records runs in flight, and corrects ended tasks in the gateway's task ledger."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tailflip.base.units import format_counted
from tailflip.flow.outcomes import ActionKind, tell_undo
from tailflip.ledger.runs import Runs
from tailflip.observe.gateway.lock_owner import make_owner, owner_lives
from tailflip.observe.records.forms import Form
from tailflip.observe.records.reading import Records
from tailflip.reconcile.context import Step, StepKind
from tailflip.reconcile.judge.tasks import (
    TaskEvidence,
    follow_runs,
    judge_tasks,
    pick_lines,
    plan_corrections,
)
from tailflip.reconcile.write.task_ledger import apply_corrections

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailflip.ledger.runs import Runs
    from tailflip.reconcile.context import Reconciliation
    from tailflip.reconcile.judge.tasks import TaskVerdict
    from tailflip.stores.target import Scene


def repair_tasks(work: Reconciliation) -> None:
    """Record the runs in flight and those that ended, and correct the gateway's own ledger."""
    scene, notes = work.scene, work.result.notes
    runs = work.history.runs
    records = Records(scene.installation)
    verdicts, ledgers = judge_installation(scene, records, notes, runs, work.deaths)
    if work.terms.apply:
        runs.put(follow_runs(runs.read_open(), ledgers))
    corrections = plan_corrections(verdicts)
    if not corrections:
        return
    ledger = records.find_task_ledger()
    is_ours = records.forms.tasks.form is Form.FILES
    if is_ours and work.is_kept(ledger):
        return
    is_allowed = is_ours and scene.gateway.alive is False and work.terms.write_tasks
    words = tuple(f"{each.task_id}: {'; '.join(each.words)}" for each in corrections)
    step = Step(
        kind=StepKind.TASKS,
        subject=str(ledger),
        counts={"tasks told their true end": len(corrections)} if is_allowed else {},
        words=words,
    )
    if not is_allowed:
        when = (
            "it is corrected only while the gateway is stopped"
            if is_ours
            else f"it lies in {ledger}, which tailflip does not write"
        )
        wrong = f"the task ledger is wrong about {format_counted(len(corrections), 'task')}"
        notes.append(f"{wrong}; {when}, `tailflip tasks` shows the truth")
    with work.result.keeping_error():
        if work.terms.apply and is_allowed:
            action_id, _ = apply_corrections(
                corrections, hands=work.hands, now_ms=work.next_moment()
            )
            undo = tell_undo(ActionKind.TASKS, action_id) if action_id else None
            step = replace(step, action_id=action_id, undo=undo)
        work.result.steps.append(step)


def judge_installation(
    scene: Scene,
    records: Records,
    notes: list[str],
    runs: Runs,
    deaths: Sequence[tuple[int, int]],
) -> tuple[tuple[TaskVerdict, ...], TaskEvidence]:
    """Judge every task in the gateway's ledger; return the ledgers of the judgement too."""
    forms = records.forms
    notes += forms.describe()
    tasks, cron = records.read_tasks(notes), records.read_jobs()
    if cron.problem is not None and forms.cron.is_read:
        notes.append(f"cron store cannot be read: {cron.problem}")
    lines = records.read_lines(notes)
    ledgers = TaskEvidence(
        now_ms=scene.now_ms,
        gateway=scene.gateway,
        lines=pick_lines(lines, tasks or (), runs.read_open()),
        jobs={job.job_id: job for job in cron.jobs},
        deaths=deaths,
        at_work=[
            (each.job_id, each.started_ms)
            for each in records.read_owned(notes).receipts
            if owner_lives(make_owner(each.owner_pid, each.owner_ticks, each.started_ms))
        ],
        knows_ends=records.knows_ends,
        knows_markers=forms.cron.is_read,
    )
    return judge_tasks(tasks or (), ledgers), ledgers
