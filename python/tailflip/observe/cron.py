"""The gateway's cron store: which jobs there are, and which it believes to be running.

Source: `{version: 1, jobs: [...]}`; unlike with sessions, a parse error stops the
gateway's cron service from starting. Jobs of old releases have `jobId` in place of `id`; the
gateway renames it when it loads them (2026.3.28 and 2026.4.14, `normalizeCronJobIdentityFields`).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from tailflip.flow import CronJob
from tailflip.observe.files import read_regular
from tailflip.observe.json5config import parse_json5

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_T = TypeVar("_T")
MAX_BYTES = 32 << 20


def read_jobs(cron_store: Path) -> tuple[tuple[CronJob, ...], str | None]:
    """Read the jobs, and why they could not be read; a missing file has none."""
    return read_each_job(cron_store, _parse_job)


def read_each_job(
    cron_store: Path, parse_job: Callable[[Any], _T | None]
) -> tuple[tuple[_T, ...], str | None]:
    """Read what `parse_job` makes of each job, and why they could not be read."""
    try:
        return parse_each_job(read_regular(cron_store, MAX_BYTES), parse_job), None
    except FileNotFoundError:
        return (), None
    except OSError as error:
        return (), error.strerror
    except (ValueError, RecursionError):
        return (), "not valid JSON"


def parse_each_job(text: bytes, parse_job: Callable[[Any], _T | None]) -> tuple[_T, ...]:
    """Parse the file's text; jobs of which `parse_job` makes nothing are left out.

    Raises:
        ValueError: the gateway could not read it either.
    """
    root = parse_json5(text)
    jobs = root.get("jobs") if isinstance(root, dict) else None
    found = map(parse_job, jobs if isinstance(jobs, list) else ())
    return tuple(job for job in found if job is not None)


def read_job_id(raw: Any) -> str | None:
    """Read a job's id, as the gateway would take it: trimmed, `jobId` where there is no `id`."""
    if not isinstance(raw, dict):
        return None
    texts = (value.strip() for name in ("id", "jobId") if isinstance(value := raw.get(name), str))
    return next(filter(None, texts), None)


def _parse_job(raw: Any) -> CronJob | None:
    job_id = read_job_id(raw)
    if job_id is None:
        return None
    state = raw.get("state")
    running = state.get("runningAtMs") if isinstance(state, dict) else None
    name = raw.get("name")
    return CronJob(
        job_id=job_id,
        name=name if isinstance(name, str) else "",
        enabled=raw.get("enabled") is not False,
        running_at_ms=running if type(running) is int else None,
        does=_describe_work(raw),
    )


def _describe_work(raw: dict[str, Any]) -> str:
    """Write what a job does and when; jobs of which this is equal are twins."""
    agent = raw.get("agentId") or "main"
    parts = [agent, *(raw.get(name) for name in ("name", "schedule", "sessionTarget", "payload"))]
    return json.dumps(parts, sort_keys=True)
