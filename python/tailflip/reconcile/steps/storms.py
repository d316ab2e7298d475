"""Reports jobs that run again and again, and with consent holds them."""

from __future__ import annotations

import heapq
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from tailflip.base.units import format_count, format_counted
from tailflip.diagnose.findings.jobs import describe_storm
from tailflip.flow.outcomes import ActionKind
from tailflip.observe.records.cron import read_cron_store
from tailflip.observe.records.forms import read_forms
from tailflip.plan.policy import HOUR_MS
from tailflip.reconcile.judge import storms
from tailflip.reconcile.judge.markers import plan_hold
from tailflip.reconcile.judge.storms import describe, find_storms
from tailflip.reconcile.steps.markers import change_jobs
from tailflip.stores.formats import find_engine
from tailflip.stores.tables import Starts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailflip.flow.conditions import JobStorm, Storm
    from tailflip.reconcile.context import Reconciliation


def look_for_storms(work: Reconciliation) -> None:
    """Report jobs that run again and again; with consent, hold those that still do."""
    scene = work.scene
    since_ms = scene.now_ms - storms.RECENT_MS
    seed = secrets.randbits(63)
    by_log, by_store = Starts(seed), Starts(seed)
    with work.result.keeping_error():
        for line in work.read_lines():
            if line.started_ms > since_ms:
                by_log.add(line.job_id, line.started_ms)
    for store in scene.stores:
        with work.result.keeping_error():
            find_engine(store.path).gather_starts(store.path, by_store, since_ms)
    listed = read_cron_store(scene.installation.cron_store).jobs
    jobs = {by_log.hash(job.job_id): job for job in listed}
    total = 0

    def count() -> Iterator[tuple[int, Storm]]:
        nonlocal total
        for each in find_storms((by_log, by_store), jobs):
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
    may_hold = work.terms.settings.hold_jobs and scene.gateway.alive is False
    may_hold = may_hold and read_forms(scene.installation).may_hold
    holds = []
    storms_found: list[JobStorm] = []
    for job_hash, storm in found:
        job = jobs.get(job_hash)
        title = by_log.name(job_hash) or by_store.name(job_hash) or storms.NAMELESS
        told = describe(title if job is None else job.title, job, storm)
        storms_found.append(told)
        is_on = scene.now_ms - storm.last_ms < HOUR_MS
        if may_hold and job is not None and job.enabled and is_on:
            reason = f"retry storm: {describe_storm(told)}"
            holds.append(plan_hold(job, reason, scene.now_ms, may_disable=True))
    work.result.inputs = replace(work.result.inputs, storms=tuple(storms_found))
    change_jobs(work, ActionKind.HOLD, "jobs held", holds)
