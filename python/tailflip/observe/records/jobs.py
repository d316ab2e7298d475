"""The gateway's cron jobs as their scheduler sees them: schedule, time-out, markers.

Source: `Job` in OpenClaw's `src/cron/types.ts`; time-outs from `timeout-policy.ts`: without
one of its own an agent turn may take 60 min, anything else 10 min, and <= 0 is for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tailflip.observe.records import cron
from tailflip.observe.records.runlog import is_text, to_ms

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = cron.MAX_BYTES  # one file, two ways to look at it
_AGENT_TURN_MS = 60 * 60_000
_OTHER_MS = 10 * 60_000


@dataclass(frozen=True)
class Schedule:
    """When a job is to run; `kind` every, cron, at, or empty for one that we do not know."""

    kind: str = ""
    every_ms: int | None = None
    expression: str | None = None
    at_ms: int | None = None


@dataclass(frozen=True)
class Job:
    """One job. `target` as written; `timeout_ms` 0 is for ever; times as in its `state`."""

    job_id: str
    name: str
    enabled: bool
    target: str
    schedule: Schedule
    timeout_ms: int
    created_ms: int | None
    running_at_ms: int | None
    next_run_at_ms: int | None
    last_run_at_ms: int | None
    last_status: str | None

    @property
    def title(self) -> str:
        """The name people gave it, with its id."""
        return f"{self.name} ({self.job_id})" if self.name else self.job_id


def read_job_states(cron_store: Path) -> tuple[tuple[Job, ...], str | None]:
    """Read all jobs, and why they could not be read; a missing file has none."""
    return cron.read_each_job(cron_store, _parse)


def parse_jobs(text: bytes) -> tuple[Job, ...]:
    """Parse the file's text.

    Raises:
        ValueError: the gateway could not read it either.
    """
    return cron.parse_each_job(text, _parse)


def _parse(raw: Any) -> Job | None:
    job_id = cron.read_job_id(raw)
    if job_id is None or not is_text(job_id):
        return None
    state, payload = _object(raw.get("state")), _object(raw.get("payload"))
    name, target = raw.get("name"), raw.get("sessionTarget")
    status = state.get("lastStatus")
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
    )


def _parse_schedule(value: Any) -> Schedule:
    """Parse a schedule; old releases wrote an expression alone, or `cron` in place of `expr`."""
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
