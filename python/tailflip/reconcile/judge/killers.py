"""Plans how the work that kills the gateway is held: by what the gateway itself respects.

- A session whose turn was in flight is resumed at the next start. It gets the mark by which
  2026.9.6 itself ends a session that it gave up: status `failed`, and a tombstone in the state of
  its recovery. It is not resumed, and whoever writes to it is told so.
- A job in files: see `judge.markers.plan_hold`. A job in the state database is disabled in both
  places where that is written. To put its next run off does not help there: a start runs an
  interrupted job again.

Source: OpenClaw 2026.9.6, rows changed in place, then real starts; `main-session-recovery-state`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tailflip.base.errors import Unavailable
from tailflip.base.units import format_counted
from tailflip.flow.work import name_session
from tailflip.reconcile.write.rows import Member, Plan, RowChange, read_member

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from tailflip.flow.observed import Job
    from tailflip.flow.work import Killer

_RUNNING, _FAILED = "running", "failed"
_RECOVERY = "$.mainRestartRecovery"


def describe_killer(killer: Killer) -> str:
    """Say why a work is held."""
    return f"it was in flight at the last {format_counted(killer.deaths, 'death')} in a row"


def plan_session_hold(
    db: sqlite3.Connection, path: Path, killer: Killer, ended_ms: int
) -> Plan | None:
    """Plan to end a session as its gateway would, had it counted the deaths.

    Args:
        db: the agent's open database.
        path: of the database.
        killer: a session.
        ended_ms: when its last turn ended, with the gateway.

    Returns:
        None where the session says no more that it runs.

    Raises:
        Unavailable: its release keeps no record of its recovery: then nothing is known that would
            keep it from being resumed.
    """
    rows = db.execute(
        "SELECT session_key, current_session_id, json_extract(entry_json, ?), "
        "json_extract(entry_json, '$.startedAt') FROM session_nodes WHERE status = ?",
        (f"{_RECOVERY}.revision", _RUNNING),
    ).fetchall()
    found = [row for row in rows if name_session(row[0]) == killer.work.key]
    if len(found) != 1:
        return None
    if not isinstance(found[0][2], int):
        raise Unavailable("its release keeps no record of resumed sessions")
    key, session, revision, began_ms = found[0]
    lasted_ms = max(0, ended_ms - began_ms) if isinstance(began_ms, int) else 0
    reason = f"tailflip: {describe_killer(killer)}"
    node = _change(
        db,
        "session_nodes",
        {"session_key": key},
        (
            ("entry_json", "$.status", _to_json(_FAILED)),
            ("entry_json", "$.endedAt", str(ended_ms)),
            ("entry_json", "$.runtimeMs", str(lasted_ms)),
            ("entry_json", "$.lifecycleRunId", None),
            ("entry_json", "$.abortedLastRun", "false"),
            ("entry_json", f"{_RECOVERY}.revision", str(revision + 1)),
            ("entry_json", f"{_RECOVERY}.tombstone", _to_json({"reason": reason})),
            ("status", None, _FAILED),
        ),
        proven="entry_valid",
    )
    window = _change(
        db,
        "session_windows",
        {"session_id": session},
        (("status", None, _FAILED), ("ended_at", None, ended_ms)),
    )
    told = f"{killer.work.words}: {describe_killer(killer)}; it is ended, and not resumed again"
    words = f"{told}; `/new` or `/reset` begins it anew"
    return Plan(path, (node, window), (killer.work,), (words,))


def plan_job_hold(db: sqlite3.Connection, path: Path, job: Job, killer: Killer) -> Plan | None:
    """Plan to disable a job of the state database; None where it is not enabled, or not alone."""
    rows = db.execute(
        "SELECT store_key FROM cron_jobs WHERE job_id = ? AND enabled = 1", (job.job_id,)
    ).fetchall()
    if len(rows) != 1:
        return None
    key = {"store_key": rows[0][0], "job_id": job.job_id}
    change = _change(
        db, "cron_jobs", key, (("enabled", None, 0), ("job_json", "$.enabled", "false"))
    )
    told = f"{job.title}: {describe_killer(killer)}; disabled"
    words = f"{told}; `openclaw cron enable {job.job_id}` lets it run again"
    return Plan(path, (change,), (killer.work,), (words,))


def _to_json(value: object) -> str:
    """Write JSON as SQLite gives it back."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _change(
    db: sqlite3.Connection,
    table: str,
    key: dict[str, str],
    values: tuple[tuple[str, str | None, str | int | None], ...],
    proven: str | None = None,
) -> RowChange:
    """Make a change of a row from its new values; the old ones are read."""
    row = RowChange(table=table, key=key, members=(), proven=proven)
    members = []
    for column, path, after in values:
        member = Member(column=column, path=path, before=None, after=after)
        members.append(member.model_copy(update={"before": read_member(db, row, member)}))
    return row.model_copy(update={"members": tuple(members)})
