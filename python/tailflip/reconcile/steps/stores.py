"""Ends entries of session stores whose run is over, and archives those that are too old."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tailflip.flow.rules import ONLINE
from tailflip.reconcile.context import Step, StepKind
from tailflip.stores.aim import Aim
from tailflip.stores.compaction import Compaction
from tailflip.stores.proof.judge import make_sweep_policy, make_zombie_policy

if TYPE_CHECKING:
    from tailflip.flow.numbers import SurveyNumbers
    from tailflip.flow.observed import Store
    from tailflip.plan.policy import Policy
    from tailflip.reconcile.context import Reconciliation
    from tailflip.stores.proof.judge import Judgement


def end_zombies(work: Reconciliation) -> None:
    """End the entries that say "running" and are provably over."""
    _change_stores(work, StepKind.ZOMBIES, make_zombie_policy(work.terms.max_lifetime_ms))


def sweep(work: Reconciliation) -> None:
    """Archive cron runs that are older than the retention."""
    if work.terms.retention_ms is not None:
        _change_stores(work, StepKind.RETENTION, make_sweep_policy(work.terms.retention_ms))


def _change_stores(work: Reconciliation, kind: StepKind, policy: Policy) -> None:
    for store in work.scene.stores:
        with work.result.keeping_error():
            work.result.steps.append(_change_store(work, kind, policy, store))


def _change_store(work: Reconciliation, kind: StepKind, policy: Policy, store: Store) -> Step:
    judged = work.judge(store)
    work.result.notes += judged.evidence.notes
    job = Compaction(
        work.scene,
        Aim(policy, work.terms.capabilities),
        work.workspace,
        work.on_progress,
        evidence={store: judged.evidence},
    )
    surveyed = job.survey(store, policy)
    step = _describe(kind, store, judged, surveyed.numbers)
    if store.is_database and work.scene.gateway.alive:
        return _change_beside(work, step, store, judged, surveyed.numbers)
    if not work.terms.apply or not step.counts:
        return step
    report = job.compact(store, policy, surveyed, now_ms=work.next_moment())
    done = {tally.name: tally.entries for tally in report.rules if tally.entries}
    return replace(
        step,
        counts=done,
        tallies=report.rules,
        report=report,
        action_id=report.action_id or None,
        undo=report.undo,
    )


def _change_beside(
    work: Reconciliation, step: Step, store: Store, judged: Judgement, numbers: SurveyNumbers
) -> Step:
    """Leave a database to its living gateway, and have that delete runs where it is allowed."""
    if step.kind is StepKind.ZOMBIES and work.terms.settings.delete_online:
        # It speaks with the gateway, and few rounds have something to say.
        from tailflip.reconcile.steps.online import end_online, plan_online  # noqa: PLC0415

        chosen = plan_online(work, store, judged)
        step = replace(step, counts={ONLINE: len(chosen)} if chosen else {}, tallies=())
        if not work.terms.apply or not chosen:
            return step
        done = end_online(work, store, chosen, numbers)
        if done.error is not None:
            work.result.errors.append(done.error)
        report = done.report
        return replace(
            step,
            counts={ONLINE: done.deleted} if done.deleted else {},
            tallies=() if report is None else report.rules,
            report=report,
            action_id=None if report is None else report.action_id,
            undo=None if report is None else report.undo,
        )
    if work.terms.apply and step.counts:
        work.result.notes.append(
            f"left for later: {store.path}: its gateway runs, and a database is changed only while "
            "it is stopped; stop it and run `tailflip reconcile --apply`, or let a guard do it "
            "before the next start"
        )
    return step


def _describe(kind: StepKind, store: Store, judged: Judgement, numbers: SurveyNumbers) -> Step:
    told = sorted(judged.told, key=lambda v: v.is_left)
    words = tuple(f"{v.key}: {v.proof.fate}: {'; '.join(v.proof.words)}" for v in told)
    is_zombies = kind is StepKind.ZOMBIES
    return Step(
        kind=kind,
        subject=str(store.path),
        counts={tally.name: tally.entries for tally in numbers.rules if tally.entries},
        words=words if is_zombies else (),
        tallies=tuple(tally for tally in numbers.rules if tally.entries),
        running=dict(judged.running) if is_zombies else {},
        left=judged.left if is_zombies else 0,
    )
