"""Reports jobs that will not run by themselves, and releases them where that is allowed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tailflip.diagnose.findings.jobs import describe_stuck
from tailflip.observe.records.reading import read_jobs
from tailflip.reconcile.context import Step, StepKind
from tailflip.reconcile.judge.stuck import find_stuck, pick_ends
from tailflip.reconcile.write.release import find_command, release_jobs

if TYPE_CHECKING:
    from tailflip.reconcile.context import Reconciliation


def look_for_stuck(work: Reconciliation) -> None:
    """Report jobs that will not run by themselves, and release them where that is allowed."""
    scene = work.scene
    if scene.gateway.alive is not True:
        work.result.inputs = replace(work.result.inputs, stuck=(), overdue=())
        return
    jobs = read_jobs(scene.installation).jobs
    at_work = {job for judged in work.judge_all() for job in judged.at_work}
    ends = pick_ends(jobs, work.read_lines())
    found = find_stuck(jobs, ends, scene.gateway, scene.now_ms, at_work)
    work.result.inputs = replace(
        work.result.inputs, stuck=tuple(mark for _, mark in found.marked), overdue=found.overdue
    )
    stuck = [(job, mark) for job, mark in found.marked if job.enabled]
    if not (stuck and work.terms.settings.release_stuck_jobs):
        return
    step = Step(
        kind=StepKind.RELEASE,
        subject=str(scene.installation.cron_store),
        counts={"stuck jobs released through openclaw": len(stuck)},
        words=tuple(describe_stuck(mark, scene.now_ms) for _, mark in stuck),
    )
    with work.result.keeping_error():
        if work.terms.apply:
            # A service's PATH seldom has the command; a person's has it.
            command = find_command((scene.caller_env, scene.env), work.lives)
            release_jobs([job for job, _ in stuck], work.hands, command, work.next_moment())
        work.result.steps.append(step)
