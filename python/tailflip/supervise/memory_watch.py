"""Measurements of a living gateway's memory and stores.

An idle gateway is measured rarely, and a measurement without a change is not recorded. A gateway
that starts, or fills its heap, is measured every second or two.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from tailflip.base import clock
from tailflip.base.units import format_bytes, format_span
from tailflip.diagnose.trend import find_trend
from tailflip.flow.conditions import MemoryTrend
from tailflip.flow.observed import Sample
from tailflip.ledger.runs import SeenRun
from tailflip.observe.installation import measure_stores
from tailflip.observe.records.reading import read_jobs

if TYPE_CHECKING:
    from tailflip.flow.lives import Life
    from tailflip.flow.outcomes import Trend
    from tailflip.observe.installation import Installation
    from tailflip.supervise.context import GuardedGateway
    from tailflip.supervise.process.guarded import Service

_KEPT = 720
_EAGER_S, _STARTING_S = 2.0, 1.0
_FULL_SHARE = 0.7
_GROWTH_SHARE = 0.05


class MemoryWatch:
    """The measurements of one life."""

    def __init__(self, gateway: GuardedGateway) -> None:
        """Prepare to measure; `begin` names the life."""
        self._gateway = gateway
        self._samples: deque[Sample] = deque(maxlen=_KEPT)
        self._limit_bytes: int | None = None
        self._trend: Trend | None = None
        self._stores_bytes = 0

    def begin(self, life: Life) -> None:
        """Forget the last life's measurements, and begin those of this life."""
        self._samples.clear()
        self._trend = None
        self._limit_bytes = self._gateway.find_heap_limit().bytes
        self._life_id = life.id
        self._began_ms = life.started_ms
        self._in_flight: set[tuple[str, int]] = set()

    def measure(self, service: Service, at: Installation | None = None) -> float:
        """Measure once, and say in how many seconds to measure again.

        `at` here and below is a fresh result of `GuardedGateway.locate`, to spare looking again.
        """
        vitals = service.measure()
        installation = at or self._gateway.locate()
        self._stores_bytes = measure_stores(installation) if installation else 0
        rss_bytes = vitals.rss_bytes if vitals.processes else None
        sample = Sample(clock.now_ms(), rss_bytes, self._stores_bytes)
        last = self._samples[-1] if self._samples else None
        self._samples.append(sample)
        self._gateway.record.record_sample(sample, self._life_id)
        interval_s = self._gateway.config.memory.interval_s
        if service.life.ready_ms is None:
            return min(_STARTING_S, interval_s)
        if self._is_tense(sample, last):
            return min(_EAGER_S, interval_s)
        return interval_s

    def _is_tense(self, sample: Sample, last: Sample | None) -> bool:
        """Say whether memory is near its limit, or growing fast towards it."""
        limit, rss = self._limit_bytes, sample.rss_bytes
        if limit is None or rss is None or rss < limit * _FULL_SHARE:
            return False
        before = last.rss_bytes if last is not None and last.rss_bytes is not None else rss
        return rss > limit or rss - before > limit * _GROWTH_SHARE

    def find_trend(self, now_ms: int) -> MemoryTrend | None:
        """Compute whether memory will reach its limit soon at its present growth."""
        if self._limit_bytes is None:
            return None
        self._trend = find_trend(list(self._samples), self._limit_bytes, now_ms=now_ms)
        trend = self._trend
        if trend is None:
            return None
        ahead_ms = max(0, trend.hits_ms - now_ms)
        if ahead_ms > self._gateway.config.memory.warn_ahead_s * 1000:
            return None
        return MemoryTrend(self._gateway.name, trend, ahead_ms)

    def note_runs(self, at: Installation | None = None) -> None:
        """Record the jobs in flight, if they have changed.

        The gateway keeps them in its memory, and calls a run lost when that memory is gone.
        """
        installation = at or self._gateway.locate()
        if installation is None:
            return
        jobs = read_jobs(installation).jobs
        now_ms = clock.now_ms()
        runs = {
            (job.job_id, job.running_at_ms): SeenRun(
                job.job_id, job.running_at_ms, job.name, now_ms
            )
            for job in jobs
            if job.running_at_ms is not None and job.running_at_ms >= self._began_ms
        }
        if runs.keys() != self._in_flight:
            self._in_flight = set(runs)
            self._gateway.record.record_runs(tuple(runs.values()))

    def is_quiet(self, at: Installation | None = None) -> bool:
        """Say whether no job is marked as running, so that a restart interrupts none."""
        installation = at or self._gateway.locate()
        if installation is None:
            return False
        cron = read_jobs(installation)
        return cron.problem is None and all(job.running_at_ms is None for job in cron.jobs)

    def describe(self, service: Service) -> str:
        """Say in one line how the gateway is."""
        rss = self._samples[-1].rss_bytes if self._samples else None
        parts = [f"gateway pid {service.life.worker_pid or service.child.pid}"]
        parts.append(f"up {format_span(int(service.uptime_s * 1000))}")
        if rss is not None:
            parts.append(f"memory {format_bytes(rss)}")
        parts.append(f"stores {format_bytes(self._stores_bytes)}")
        return ", ".join(parts)
