"""The gateway's cron store: which jobs there are, and which it believes to be running.

Source: `{version: 1, jobs: [...]}`; unlike with sessions, a parse error stops the
gateway's cron service from starting. Jobs of old releases have `jobId` in place of `id`; the
gateway renames it when it loads them (2026.3.28 and 2026.4.14, `normalizeCronJobIdentityFields`).
2026.5 keeps each job's state, and so its marker, in a
second file, `{version: 1, jobs: {<id>: {state}}}`, which counts alone where it is.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from tailflip.flow.observed import CronJob
from tailflip.observe.files import read_regular
from tailflip.observe.json5config import parse_json5

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
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
        text = read_regular(cron_store, MAX_BYTES)
        return parse_each_job(text, parse_job, _read_states(cron_store)), None
    except FileNotFoundError:
        return (), None
    except OSError as error:
        return (), error.strerror
    except (ValueError, RecursionError):
        return (), "not valid JSON"


def find_state_file(cron_store: Path) -> Path:
    """Name the file that 2026.5 keeps the jobs' state in; it need not exist."""
    stem = cron_store.name.removesuffix(".json")
    return cron_store.with_name(f"{stem}-state.json")


def parse_each_job(
    text: bytes,
    parse_job: Callable[[Any], _T | None],
    states: Mapping[str, Any] | None = None,
) -> tuple[_T, ...]:
    """Parse the file's text; jobs of which `parse_job` makes nothing are left out.

    Args:
        text: Of the cron store.
        parse_job: Makes something of one job.
        states: By job id, where a second file has them; None where there is no such file.

    Raises:
        ValueError: the gateway could not read it either.
    """
    root = parse_json5(text)
    jobs = root.get("jobs") if isinstance(root, dict) else None
    listed = jobs if isinstance(jobs, list) else ()
    if states is not None:
        listed = [_with_state(job, states) for job in listed]
    return tuple(job for each in listed if (job := parse_job(each)) is not None)


def read_version(cron_store: Path) -> Any:
    """Read which form the file says that it has; None if it does not say.

    Raises:
        OSError: It is not there, or not ours to read.
        ValueError: It cannot be parsed.
    """
    root = parse_json5(read_regular(cron_store, MAX_BYTES))
    return root.get("version") if isinstance(root, dict) else None


def _with_state(job: Any, states: Mapping[str, Any]) -> Any:
    entry = states.get(str(read_job_id(job))) if isinstance(job, dict) else None
    return {**job, "state": entry.get("state")} if isinstance(entry, dict) else job


def _read_states(cron_store: Path) -> Mapping[str, Any] | None:
    """Read the second file; None where there is none, and each job has its state in itself.

    Raises:
        OSError: It is there, but not ours to read.
        ValueError: It is not whole, or its form is not known here.
    """
    try:
        root = parse_json5(read_regular(find_state_file(cron_store), MAX_BYTES))
    except FileNotFoundError:
        return None
    jobs = root.get("jobs") if isinstance(root, dict) and root.get("version") == 1 else None
    if not isinstance(jobs, dict):
        raise ValueError("not the state of jobs")  # noqa: TRY004 - about a file, not a caller
    return jobs


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
