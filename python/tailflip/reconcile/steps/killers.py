"""Holds the one session or job that was in flight at the last deaths in a row."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from tailflip.base.errors import TailflipError
from tailflip.diagnose.killers import list_suspects, pick
from tailflip.flow.conditions import NamedKiller
from tailflip.flow.outcomes import ActionKind, tell_undo
from tailflip.flow.work import WorkKind
from tailflip.ledger.actions import HALF_DONE, Ledger, State
from tailflip.observe.installation import owns
from tailflip.observe.records.forms import DATABASE
from tailflip.observe.records.reading import Records
from tailflip.reconcile.context import Step, StepKind
from tailflip.reconcile.judge.killers import (
    describe_killer,
    plan_job_hold,
    plan_session_hold,
)
from tailflip.reconcile.judge.markers import plan_hold
from tailflip.reconcile.steps.markers import change_jobs
from tailflip.reconcile.write.holds import read_holds
from tailflip.reconcile.write.rows import apply_rows, read_rows

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

    from tailflip.flow.work import Killer
    from tailflip.ledger.actions import Action
    from tailflip.reconcile.context import Reconciliation
    from tailflip.reconcile.write.rows import Plan

_STAYS = (*HALF_DONE, State.DONE)


def hold_killer(work: Reconciliation) -> None:
    """Hold what was in flight at each of the last deaths; tell of it where it is not held."""
    held_ms = {
        hold.work.name: hold.action.created_ms
        for hold in read_holds(work.workspace.home, _list_actions(work))
    }
    suspects = list_suspects(
        work.lives,
        deaths=work.terms.settings.hold_deaths,
        good_life_s=work.good_life_s,
        held_ms=held_ms,
    )
    told: tuple[NamedKiller, ...] = ()
    killer = pick(suspects)
    if work.scene.gateway.alive is True:
        pass  # it lives, whatever killed it before
    elif killer is not None:
        why_not = _hold(work, killer)
        if why_not:
            told = (NamedKiller(work.history.guard, killer.work.words, killer.deaths, why_not),)
    elif suspects:
        names = " and ".join(each.work.words for each in suspects)
        why_not = "which of them kills the gateway cannot be told"
        told = (NamedKiller(work.history.guard, names, suspects[0].deaths, why_not),)
    work.result.inputs = replace(work.result.inputs, killers=told)


def _list_actions(work: Reconciliation) -> list[Action]:
    """List the actions on this gateway, oldest first: of a work, the last hold counts."""
    guard, installation = work.history.guard, work.scene.installation
    return [
        each
        for each in reversed(Ledger(work.workspace).read_all())
        if each.state in _STAYS and owns(each.store, guard, installation)
    ]


def _hold(work: Reconciliation, killer: Killer) -> str:
    """Hold a work; returns why it is not held, empty where it is, or would be."""
    if work.scene.gateway.alive is not False:
        return "a gateway may be running; it is held before the next start"
    is_job = killer.work.kind is WorkKind.JOB
    return _hold_job(work, killer) if is_job else _hold_session(work, killer)


def _hold_job(work: Reconciliation, killer: Killer) -> str:
    records = Records(work.scene.installation)
    job = next((j for j in records.read_jobs().jobs if j.job_id == killer.work.key), None)
    if job is None or not job.enabled:
        return ""  # nothing is left to hold
    may_disable = work.terms.settings.hold_jobs
    if records.forms.may_hold:
        held = plan_hold(job, describe_killer(killer), work.scene.now_ms, may_disable=may_disable)
        change_jobs(work, ActionKind.HOLD, "jobs held", [held])
        return ""
    if not may_disable:
        return "`reconcile.hold_jobs = true` lets tailflip disable it before a start"
    path = work.scene.installation.state_dir / DATABASE
    return _change(
        work, path, "jobs held", partial(plan_job_hold, path=path, job=job, killer=killer)
    )


def _hold_session(work: Reconciliation, killer: Killer) -> str:
    if not work.terms.settings.hold_sessions:
        return "`reconcile.hold_sessions = true` lets tailflip end it before a start"
    ended_ms = next((life.ended_ms for life in work.lives if life.ended_ms), work.scene.now_ms)
    if not any(store.is_database for store in work.scene.stores):
        return "the sessions of this release lie in files, and are not resumed by a mark known here"
    for store in work.scene.stores:
        if store.is_database:
            path = store.path.resolve()
            plan = partial(plan_session_hold, path=path, killer=killer, ended_ms=ended_ms)
            why_not = _change(work, path, "sessions held", plan)
            if why_not:
                return why_not
    return ""


def _change(
    work: Reconciliation, path: Path, what: str, plan: Callable[[sqlite3.Connection], Plan | None]
) -> str:
    """Change rows by a plan, or report the change as planned; returns why it cannot be made."""
    try:
        planned = read_rows(path, plan)
    except TailflipError as e:
        return e.message
    if planned is None:
        return ""  # nothing is left to hold
    step = Step(
        kind=StepKind.HOLD,
        subject=str(path),
        counts={what: len(planned.works)},
        words=planned.words,
    )
    with work.result.keeping_error():
        if work.terms.apply:
            now_ms = work.next_moment()
            action_id = apply_rows(planned, kind=ActionKind.HOLD, hands=work.hands, now_ms=now_ms)
            step = replace(step, action_id=action_id, undo=tell_undo(ActionKind.HOLD, action_id))
        work.result.steps.append(step)
        return ""
    return "it could not be held"
