"""Writes a state directory like the one that started this project.

Three cron jobs of a gateway (2026.3.28) left 6,522 run entries, most of them "running" for
ever, in a session store of 185 MB: every run copies the whole skills prompt into its own entry.
Chats and base entries are few, and idle since before the runs began. All texts are invented.

The store is streamed, so memory does not grow with its size. Its bytes are those of
`JSON.stringify(store, null, 2)`. The same arguments give the same bytes.
"""

from __future__ import annotations

import heapq
import json
from collections import deque
from typing import TYPE_CHECKING, Any, TypedDict
from uuid import UUID, uuid5

from tailflip.demo.entries import AT, CHATS, RUN_MS, SESSION, SKILLS, make_templates
from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tailflip.demo.entries import Template

INCIDENT_BYTES = 185_000_000
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
RUN_LOG_LINES = 2_000  # the gateway keeps so many lines of a run log
PORT = 38_789  # unlikely to be the port of the reader's own gateway

_NAMESPACE = UUID("5f1d6c1e-7a11-4f11-9000-000000000185")


class Incident(TypedDict):
    """The written incident: `jobs` maps names to ids, `runs` maps names to counts."""

    store: Path
    bytes: int
    entries: int
    jobs: dict[str, str]
    runs: dict[str, int]


@dataclass(frozen=True)
class _Job:
    """A cron job: the number of its runs, their span, and the age of the last one.

    `stuck` of the runs say "running" although none runs, `failed` say "failed". The others have no
    status, like a healthy run.
    """

    name: str
    runs: int
    span_ms: int
    ended_ms_ago: int
    stuck: int = 0
    failed: int = 0

    @property
    def id(self) -> str:
        return str(uuid5(_NAMESPACE, self.name))

    def scaled(self, share: float) -> _Job:
        if self.runs == 1:
            return self
        runs = max(1, round(self.runs * share))
        stuck = round(runs * self.stuck / self.runs)
        failed = min(runs - stuck, round(runs * self.failed / self.runs))
        return _Job(self.name, runs, self.span_ms, self.ended_ms_ago, stuck, failed)

    def status(self, index: int) -> str | None:
        """Choose a run's status: failed ones are spread over all runs, stuck ones over the rest."""
        failed_before = index * self.failed // self.runs
        if (index + 1) * self.failed // self.runs > failed_before:
            return "failed"
        place, places = index - failed_before, self.runs - self.failed
        is_stuck = (place + 1) * self.stuck // places > place * self.stuck // places
        return "running" if is_stuck else None


_JOBS = (
    _Job("morning-sleep-report", 2_075, 25 * MINUTE_MS, 2 * HOUR_MS, stuck=2_016),
    _Job("git-backup-night", 2_236, 33 * HOUR_MS, 2 * HOUR_MS, stuck=2_085, failed=151),
    _Job("ssl-price-check", 2_211, 33 * HOUR_MS, 2 * HOUR_MS),
    _Job("weekly-digest", 1, 0, 6 * DAY_MS),
    _Job("inbox-triage", 1, 0, 20 * HOUR_MS),
)


@dataclass(frozen=True)
class _Run:
    """One run entry to write."""

    at_ms: int
    job: _Job
    session: str
    status: str | None


def write_incident(
    state_dir: Path,
    *,
    size_bytes: int = INCIDENT_BYTES,
    now_ms: int,
    wide: bool = False,
    port: int = PORT,
) -> Incident:
    """Write store, jobs, run logs and a minimal configuration below `state_dir`.

    Args:
        state_dir: is created; an existing store in it is overwritten.
        size_bytes: of the store, exact to a few KB; the number of runs scales with it and
            an entry stays as large as the incident's (28 KB).
        now_ms: the moment at which the gateway's owner looks; all ages count from it.
        wide: put a character outside Latin-1 into every prompt, so that V8 needs two
            bytes for each character of the store.
        port: the gateway's, in its configuration.
    """
    jobs = tuple(job.scaled(size_bytes / INCIDENT_BYTES) for job in _JOBS)
    store = state_dir / "agents" / "main" / "sessions" / "sessions.json"
    store.parent.mkdir(parents=True, exist_ok=True)
    chars = _choose_description_chars(jobs, size_bytes, wide=wide)
    templates = _make_templates(chars, wide=wide)
    logs: dict[str, deque[str]] = {job.id: deque(maxlen=RUN_LOG_LINES) for job in jobs}
    entries = 0
    with store.open("wb", buffering=1 << 20) as out:
        out.write(b"{")
        for key, template, session, at_ms, run in _members(jobs, templates, now_ms):
            out.write(template.fill(key, session, at_ms)[0 if entries else 1 :])
            entries += 1
            if run is not None and run.status != "running":
                logs[run.job.id].append(_log_line(run, key))
        out.write(b"\n}")
    store.chmod(0o600)
    _write_cron(state_dir / "cron", jobs, logs, now_ms)
    config = {"gateway": {"mode": "local", "port": port}, "cron": {"enabled": True}}
    (state_dir / "openclaw.json").write_text(json.dumps(config, indent=2))
    return {
        "store": store,
        "bytes": store.stat().st_size,
        "entries": entries,
        "jobs": {job.name: job.id for job in jobs},
        "runs": {job.name: job.runs for job in jobs},
    }


def _make_templates(description_chars: int, *, wide: bool) -> dict[Any, Template]:
    return make_templates((job.name for job in _JOBS), description_chars, wide=wide)


def _choose_description_chars(jobs: tuple[_Job, ...], size_bytes: int, *, wide: bool) -> int:
    """Compute the characters of all skill descriptions together; the size is linear in them."""

    def measure(chars: int) -> int:
        templates = _make_templates(chars, wide=wide)
        total = 2
        for key, *_ in CHATS:
            total += len(templates[key].fill(f"agent:main:{key}", SESSION, AT))
        for job in jobs:
            base = f"agent:main:cron:{SESSION}"
            total += len(templates[job.name, None].fill(base, SESSION, AT))
            healthy = job.runs - job.stuck - job.failed
            for status, count in (("running", job.stuck), ("failed", job.failed), (None, healthy)):
                template = templates[job.name, status]
                total += count * len(template.fill(f"{base}:run:{SESSION}", SESSION, AT))
        return total

    low, high = 100 * SKILLS, 200 * SKILLS
    at_low = measure(low)
    per_char = (measure(high) - at_low) / (high - low)
    return max(10 * SKILLS, low + round((size_bytes - at_low) / per_char))


def _members(
    jobs: tuple[_Job, ...], templates: dict[Any, Template], now_ms: int
) -> Iterator[tuple[str, Template, str, int, _Run | None]]:
    """Yield the store's members in file order: chats, base entries, runs by time."""
    idle_ms = now_ms - 3 * DAY_MS
    for key, *_ in CHATS:
        session = str(uuid5(_NAMESPACE, f"chat/{key}"))
        yield f"agent:main:{key}", templates[key], session, idle_ms, None
    for job in jobs:
        session = str(uuid5(_NAMESPACE, f"base/{job.name}"))
        yield f"agent:main:cron:{job.id}", templates[job.name, None], session, idle_ms, None
    for run in heapq.merge(*(_runs(job, now_ms) for job in jobs), key=lambda run: run.at_ms):
        key = f"agent:main:cron:{run.job.id}:run:{run.session}"
        yield key, templates[run.job.name, run.status], run.session, run.at_ms, run


def _runs(job: _Job, now_ms: int) -> Iterator[_Run]:
    first_ms = now_ms - job.ended_ms_ago - job.span_ms
    for index in range(job.runs):
        yield _Run(
            at_ms=first_ms + job.span_ms * index // job.runs,
            job=job,
            session=str(uuid5(_NAMESPACE, f"{job.name}/{index}")),
            status=job.status(index),
        )


def _log_line(run: _Run, key: str) -> str:
    line: dict[str, Any] = {"ts": run.at_ms + RUN_MS, "jobId": run.job.id, "action": "finished"}
    if run.status == "failed":
        line |= {"status": "error", "error": "upstream connection reset"}
    else:
        line |= {"status": "ok", "summary": "ok"}
    line |= {
        "sessionId": run.session,
        "sessionKey": key,
        "runAtMs": run.at_ms,
        "durationMs": RUN_MS,
    }
    return json.dumps(line, separators=(",", ":")) + "\n"


def _write_cron(
    cron_dir: Path, jobs: tuple[_Job, ...], logs: dict[str, deque[str]], now_ms: int
) -> None:
    (cron_dir / "runs").mkdir(parents=True, exist_ok=True)
    written = []
    for job in jobs:
        state: dict[str, Any] = {
            "nextRunAtMs": now_ms + 6 * HOUR_MS,
            "lastRunAtMs": now_ms - job.ended_ms_ago,
            "lastRunStatus": "ok",
            "lastStatus": "ok",
            "lastDurationMs": RUN_MS,
            "consecutiveErrors": 0,
        }
        if job.stuck:
            state["runningAtMs"] = now_ms - job.ended_ms_ago
        written.append(
            {
                "id": job.id,
                "name": job.name,
                "enabled": True,
                "createdAtMs": now_ms - 30 * DAY_MS,
                "updatedAtMs": now_ms - job.ended_ms_ago,
                "schedule": {
                    "kind": "every",
                    "everyMs": 12 * HOUR_MS,
                    "anchorMs": now_ms - 30 * DAY_MS,
                },
                "sessionTarget": "isolated",
                "wakeMode": "now",
                "payload": {"kind": "agentTurn", "message": f"Do the {job.name} job."},
                "delivery": {"mode": "none"},
                "state": state,
            }
        )
        log = cron_dir / "runs" / f"{job.id}.jsonl"
        log.write_text("".join(logs[job.id]))
    (cron_dir / "jobs.json").write_text(json.dumps({"version": 1, "jobs": written}, indent=2))
