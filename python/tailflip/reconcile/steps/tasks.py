"""Records runs in flight, and corrects ended tasks in the gateway's task ledger."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tailflip.base.units import format_counted
from tailflip.ledger.runs import Runs
from tailflip.observe.records.cron import read_cron_store
from tailflip.observe.records.forms import Form, read_forms
from tailflip.observe.records.runlog import read_run_logs
from tailflip.observe.records.tasks import find_ledger, read_tasks
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
    from tailflip.observe.records.tasks import Task
    from tailflip.reconcile.context import Reconciliation
    from tailflip.reconcile.judge.tasks import TaskVerdict
    from tailflip.stores.target import Scene


def repair_tasks(work: Reconciliation) -> None:
    """Record the runs in flight and those that ended, and correct the gateway's own ledger."""
    scene, notes = work.scene, work.result.notes
    runs = work.history.runs
    verdicts, ledgers = judge_installation(scene, notes, runs, work.deaths)
    if work.terms.apply:
        runs.put(follow_runs(runs.read_open(), ledgers))
    corrections = plan_corrections(verdicts)
    if not corrections:
        return
    if work.is_kept(find_ledger(scene.installation.state_dir)):
        return
    is_allowed = scene.gateway.alive is False and work.terms.write_tasks
    words = tuple(f"{each.task_id}: {'; '.join(each.words)}" for each in corrections)
    step = Step(
        kind=StepKind.TASKS,
        subject=str(find_ledger(scene.installation.state_dir)),
        counts={"tasks told their true end": len(corrections)} if is_allowed else {},
        words=words,
    )
    if not is_allowed:
        notes.append(
            f"the task ledger is wrong about {format_counted(len(corrections), 'task')}; it is "
            "corrected only while the gateway is stopped, `tailflip tasks` shows the truth"
        )
    with work.result.keeping_error():
        if work.terms.apply and is_allowed:
            action_id, _ = apply_corrections(
                corrections, hands=work.hands, now_ms=work.next_moment()
            )
            undo = f"tailflip restore {action_id} --apply" if action_id else None
            step = replace(step, action_id=action_id, undo=undo)
        work.result.steps.append(step)


def judge_installation(
    scene: Scene, notes: list[str], runs: Runs, deaths: Sequence[tuple[int, int]]
) -> tuple[tuple[TaskVerdict, ...], TaskEvidence]:
    """Judge every task in the gateway's ledger; return the ledgers of the judgement too."""
    installation = scene.installation
    forms = read_forms(installation)
    notes += forms.describe()
    tasks: tuple[Task, ...] | None = ()  # what lies in the old place is not what the gateway reads
    if forms.tasks.form is not Form.SQLITE:
        tasks = read_tasks(installation.state_dir, notes)
    cron = read_cron_store(installation.cron_store)
    if cron.problem is not None:
        notes.append(f"cron store cannot be read: {cron.problem}")
    lines = read_run_logs(installation.cron_store.parent / "runs", notes)
    ledgers = TaskEvidence(
        now_ms=scene.now_ms,
        gateway=scene.gateway,
        lines=pick_lines(lines, tasks or (), runs.read_open()),
        jobs={job.job_id: job for job in cron.jobs if forms.cron.is_read},
        deaths=deaths,
        knows_ends=forms.knows_ends,
        knows_markers=forms.cron.is_read,
    )
    return judge_tasks(tasks or (), ledgers), ledgers
