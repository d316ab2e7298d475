"""Reads the gateway's cron store: its jobs, their schedules, and their running marks.

Source: `{version: 1, jobs: [...]}`; unlike with sessions, a parse error stops the
gateway's cron service from starting. Jobs of old releases have `jobId` in place of `id`; the
gateway renames it when it loads them (2026.3.28 and 2026.4.14, `normalizeCronJobIdentityFields`).
2026.5 keeps each job's state, and so its marker, in a second file,
`{version: 1, jobs: {<id>: {state}}}`; where that file exists, it alone counts. Members of a job:
`Job` in `src/cron/types.ts`; time-outs from `timeout-policy.ts`: by default an agent turn may
take 60 min, other work 10 min, and <= 0 is for ever.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tailflip.flow.late import dataclass
from tailflip.flow.observed import Job, Schedule
from tailflip.observe.files import read_regular
from tailflip.observe.json5config import parse_json5
from tailflip.observe.records.runlog import is_text, to_ms

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MAX_BYTES = 32 << 20
_AGENT_TURN_MS = 60 * 60_000
_OTHER_MS = 10 * 60_000


@dataclass(frozen=True)
class CronStore:
    """The contents of a cron store. `problem` says why the jobs could not be read.

    A missing file has no jobs and no problem. `version` is the file's own. `is_split`: the jobs'
    state is in a second file.
    """

    jobs: tuple[Job, ...] = ()
    problem: str | None = None
    exists: bool = True
    version: Any = None
    is_split: bool = False


def read_cron_store(path: Path) -> CronStore:
    """Read a cron store, and the jobs' state beside it."""
    try:
        root = parse_json5(read_regular(path, MAX_BYTES))
        states = _read_states(path)
    except FileNotFoundError:
        return CronStore(exists=False)
    except OSError as error:
        return CronStore(problem=error.strerror)
    except (ValueError, RecursionError):
        return CronStore(problem="not valid JSON")
    version = root.get("version") if isinstance(root, dict) else None
    return CronStore(_parse_jobs(root, states), None, True, version, states is not None)


def parse_jobs(text: bytes) -> tuple[Job, ...]:
    """Parse the file's text alone.

    Raises:
        ValueError: the gateway could not read the text either.
    """
    return _parse_jobs(parse_json5(text), None)


def find_state_file(cron_store: Path) -> Path:
    """Name the file of the jobs' state in 2026.5, whether it exists or not."""
    stem = cron_store.name.removesuffix(".json")
    return cron_store.with_name(f"{stem}-state.json")


def read_job_id(raw: Any) -> str | None:
    """Read a job's id as the gateway does: trimmed, `jobId` where there is no `id`."""
    if not isinstance(raw, dict):
        return None
    texts = (value.strip() for name in ("id", "jobId") if isinstance(value := raw.get(name), str))
    return next(filter(None, texts), None)


def _parse_jobs(root: Any, states: Mapping[str, Any] | None) -> tuple[Job, ...]:
    """Parse the jobs; values that are no jobs are left out.

    Args:
        root: of the cron store.
        states: by job id, where a second file has them; None where there is no such file.
    """
    jobs = root.get("jobs") if isinstance(root, dict) else None
    listed = jobs if isinstance(jobs, list) else ()
    if states is not None:
        listed = [_with_state(job, states) for job in listed]
    return tuple(job for each in listed if (job := parse_job(each)) is not None)


def _with_state(job: Any, states: Mapping[str, Any]) -> Any:
    entry = states.get(str(read_job_id(job))) if isinstance(job, dict) else None
    return {**job, "state": entry.get("state")} if isinstance(entry, dict) else job


def _read_states(cron_store: Path) -> Mapping[str, Any] | None:
    """Read the second file; None where there is none, and each job holds its state.

    Raises:
        OSError: the file exists, but may not be read.
        ValueError: the file is not whole, or its form is unknown.
    """
    try:
        root = parse_json5(read_regular(find_state_file(cron_store), MAX_BYTES))
    except FileNotFoundError:
        return None
    jobs = root.get("jobs") if isinstance(root, dict) and root.get("version") == 1 else None
    if not isinstance(jobs, dict):
        raise ValueError("not the state of jobs")  # noqa: TRY004 - about a file, not a caller
    return jobs


def parse_job(raw: Any) -> Job | None:
    """Parse one job with its `state`; None if it is none."""
    job_id = read_job_id(raw)
    if job_id is None or not is_text(job_id):
        return None
    state, payload = _object(raw.get("state")), _object(raw.get("payload"))
    name, target = raw.get("name"), raw.get("sessionTarget")
    status = state.get("lastStatus") or state.get("lastRunStatus")
    return Job(
        job_id=job_id,
        name=name if is_text(name) else "",
        enabled=raw.get("enabled") is not False,
        target=target if isinstance(target, str) else "",
        schedule=_parse_schedule(raw.get("schedule")),
        timeout_ms=_parse_timeout(payload),
        created_ms=to_ms(raw.get("createdAtMs")),
        running_at_ms=to_ms(state.get("runningAtMs")),
        next_run_at_ms=to_ms(state.get("nextRunAtMs")),
        last_run_at_ms=to_ms(state.get("lastRunAtMs")),
        last_status=status if isinstance(status, str) else None,
        does=_describe_work(raw),
    )


def _describe_work(raw: dict[str, Any]) -> str:
    """Describe a job's work and schedule as text; jobs with equal texts are twins."""
    agent = raw.get("agentId") or "main"
    parts = [agent, *(raw.get(name) for name in ("name", "schedule", "sessionTarget", "payload"))]
    return json.dumps(parts, sort_keys=True)


def _parse_schedule(value: Any) -> Schedule:
    """Parse a schedule; old releases wrote the expression alone, or `cron` in place of `expr`."""
    if isinstance(value, str):
        return Schedule("cron", expression=value)
    raw = _object(value)
    expression = raw.get("expr") if "expr" in raw else raw.get("cron")
    kind, at = raw.get("kind"), raw.get("at")
    return Schedule(
        kind=kind if kind in ("every", "cron", "at") else "",
        every_ms=_read_number(raw.get("everyMs")),
        expression=expression if isinstance(expression, str) else None,
        at_ms=_parse_moment(at),
    )


def _read_number(value: Any) -> int | None:
    """Read a number, also one written as text (2026.4.14, `coerceFiniteScheduleNumber`)."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    return to_ms(value)


def _parse_moment(value: Any) -> int | None:
    if not isinstance(value, str):
        return to_ms(value)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _parse_timeout(payload: dict[str, Any]) -> int:
    if payload.get("kind") != "agentTurn":
        return _OTHER_MS
    seconds = payload.get("timeoutSeconds")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return _AGENT_TURN_MS
    return to_ms(seconds * 1000) or 0


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
