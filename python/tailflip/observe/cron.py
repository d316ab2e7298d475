"""The gateway's cron store: which jobs there are, and which it believes to be running.

Source: `{version: 1, jobs: [...]}`; unlike with sessions, a parse error stops the
gateway's cron service from starting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tailflip.flow import CronJob
from tailflip.observe.files import read_regular
from tailflip.observe.json5config import parse_json5

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 32 << 20


def read_jobs(cron_store: Path) -> tuple[tuple[CronJob, ...], str | None]:
    """Read the jobs, and why they could not be read; a missing file has none."""
    try:
        root = parse_json5(read_regular(cron_store, MAX_BYTES))
    except FileNotFoundError:
        return (), None
    except OSError as error:
        return (), error.strerror
    except (ValueError, RecursionError):
        return (), "not valid JSON"
    jobs = root.get("jobs") if isinstance(root, dict) else None
    if not isinstance(jobs, list):
        return (), None
    return tuple(job for job in map(_parse_job, jobs) if job is not None), None


def _parse_job(raw: Any) -> CronJob | None:
    if not isinstance(raw, dict) or not isinstance(raw.get("id"), str):
        return None
    state = raw.get("state")
    running = state.get("runningAtMs") if isinstance(state, dict) else None
    name = raw.get("name")
    return CronJob(
        job_id=raw["id"],
        name=name if isinstance(name, str) else "",
        enabled=raw.get("enabled") is not False,
        running_at_ms=running if type(running) is int else None,
    )
