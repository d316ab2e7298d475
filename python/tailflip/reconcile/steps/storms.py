"""Reports jobs that run again and again, and with consent holds them."""

from __future__ import annotations

import heapq
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from tailflip.base.units import format_count, format_counted
from tailflip.diagnose import storms
from tailflip.diagnose.findings.jobs import describe_storm
from tailflip.diagnose.storms import describe, find_storms, is_over
from tailflip.flow.outcomes import ActionKind
from tailflip.observe.records.reading import Records
from tailflip.plan.policy import HOUR_MS
from tailflip.reconcile.judge.markers import plan_hold
from tailflip.stores.formats import find_engine
from tailflip.stores.removed_storms import recall
from tailflip.stores.tables import Starts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tailflip.flow.conditions import JobStorm, Storm
    from tailflip.flow.observed import Job
    from tailflip.reconcile.context import Reconciliation


def look_for_storms(work: Reconciliation) -> None:
    """Report jobs that run again and again; with consent, hold those that still do.

    A job is judged by its history and its schedule, whatever was removed since.
    """
    scene = work.scene
    records = Records(scene.installation)
    forms = records.forms
    seed = secrets.randbits(63)
    by_log, by_store = Starts(seed), Starts(seed)
    _gather(work, by_log, by_store)
    listed = records.read_jobs().jobs
    titles = {by_log.hash(job.job_id): job.title for job in listed}
    jobs = {by_log.hash(job.job_id): job for job in listed}
    found = _find(work, (by_log, by_store), jobs)
    # Runs that were removed are in no store any more; their storm is on record.
    for job_id, storm in recall(work.history.facts, scene.now_ms).items():
        job_hash = by_log.hash(job_id)
        titles.setdefault(job_hash, job_id)
        if job_hash not in found or found[job_hash].runs < storm.runs:
            found[job_hash] = storm
    may_hold = work.terms.settings.hold_jobs and scene.gateway.alive is False and forms.may_hold
    holds = []
    storms_found: list[JobStorm] = []
    for job_hash, storm in found.items():
        job = jobs.get(job_hash)
        if is_over(storm, job, is_listed=forms.lists_jobs):
            continue
        title = titles.get(job_hash) or by_log.name(job_hash) or by_store.name(job_hash)
        told = describe(title or storms.NAMELESS, job, storm, is_read=forms.cron.is_read)
        storms_found.append(told)
        is_on = scene.now_ms - storm.last_ms < HOUR_MS
        if may_hold and job is not None and is_on:
            reason = f"retry storm: {describe_storm(told)}"
            holds.append(plan_hold(job, reason, scene.now_ms, may_disable=True))
    work.result.inputs = replace(work.result.inputs, storms=tuple(storms_found))
    if holds:
        from tailflip.reconcile.steps.markers import change_jobs  # noqa: PLC0415 - few are held

        change_jobs(work, ActionKind.HOLD, "jobs held", holds)


def _gather(work: Reconciliation, by_log: Starts, by_store: Starts) -> None:
    """Gather the recent starts of runs, by the run logs and by the stores."""
    since_ms = work.scene.now_ms - storms.RECENT_MS
    with work.result.keeping_error():
        for line in work.read_lines():
            if line.started_ms > since_ms:
                by_log.add(line.job_id, line.started_ms)
    for store in work.scene.stores:
        with work.result.keeping_error():
            find_engine(store.path).gather_starts(store.path, by_store, since_ms)


def _find(
    work: Reconciliation, sources: tuple[Starts, Starts], jobs: Mapping[int, Job]
) -> dict[int, Storm]:
    """Find the worst storm of each job, by the hash of the job; the worst jobs alone."""
    total = 0

    def count() -> Iterator[tuple[int, Storm]]:
        nonlocal total
        for each in find_storms(sources, jobs):
            total += 1
            yield each

    found: list[tuple[int, Storm]] = []
    with work.result.keeping_error():
        found = heapq.nlargest(storms.MOST_TOLD, count(), key=lambda each: each[1].runs)
    if total > len(found):
        work.result.notes.append(
            f"{format_counted(total, 'job', 'runs', 'run')} again and again; the worst "
            f"{format_count(len(found))} are told"
        )
    return dict(found)
