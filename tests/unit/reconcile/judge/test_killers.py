"""A session is ended as its gateway ends one that it gave up; a job is disabled in both places."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from support.agent_database import connect, make_database
from support.state_rows import JSON_ONLY, StateRows
from tailflip.base.errors import Unavailable
from tailflip.flow.observed import Job
from tailflip.flow.work import Killer, Work, WorkKind, name_session
from tailflip.reconcile.judge.killers import plan_job_hold, plan_session_hold

ENDED = 1_800_000_000_000
MAIN = "agent:main:main"
RECOVERY = {"cycleId": "c", "revision": 4, "chargedAttempts": 2, "startedAttempt": 2}
RUNNING = {
    "sessionId": "s1",
    "updatedAt": ENDED - 5,
    "startedAt": ENDED - 9,
    "status": "running",
    "lifecycleRunId": "r",
    "mainRestartRecovery": RECOVERY,
}


def killer(kind, key):
    return Killer(work=Work(kind=kind, key=key), deaths=3)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "agents" / "main" / "agent" / "openclaw-agent.sqlite"


def plan(path, entries, key=MAIN):
    make_database(path, entries)
    with closing(connect(path)) as db:
        return plan_session_hold(db, path, killer(WorkKind.SESSION, key), ENDED)


def test_a_session_gets_what_its_gateway_would_write(path):
    found = plan(path, {MAIN: RUNNING})
    assert found is not None
    node, window = found.rows
    after = {each.path or each.column: each.after for each in node.members}
    assert after == {
        "$.status": '"failed"',
        "$.endedAt": str(ENDED),
        "$.runtimeMs": "9",
        "$.lifecycleRunId": None,
        "$.abortedLastRun": "false",
        "$.mainRestartRecovery.revision": "5",
        "$.mainRestartRecovery.tombstone": after["$.mainRestartRecovery.tombstone"],
        "status": "failed",
    }
    assert "in flight at the last 3 deaths" in str(after["$.mainRestartRecovery.tombstone"])
    assert node.proven == "entry_valid"
    assert {each.column: (each.before, each.after) for each in window.members} == {
        "status": ("running", "failed"),
        "ended_at": (None, ENDED),
    }


def test_a_turn_that_ended_is_left_alone(path):
    assert plan(path, {MAIN: {**RUNNING, "status": "done"}}) is None


def test_a_release_without_that_mark_is_left_alone_and_told(path):
    entry = {name: value for name, value in RUNNING.items() if name != "mainRestartRecovery"}
    with pytest.raises(Unavailable, match="keeps no record"):
        plan(path, {MAIN: entry})


def test_a_session_is_found_by_its_name(path):
    key = "agent:main:whatsapp:direct:+4915112345678"
    found = plan(path, {MAIN: RUNNING, key: {**RUNNING, "sessionId": "s2"}}, name_session(key))
    assert found is not None
    assert found.rows[0].key == {"session_key": key}
    assert "4915" not in " ".join(found.words)


def test_a_job_is_disabled_in_its_row_and_its_json(tmp_path):
    rows = StateRows(tmp_path, JSON_ONLY)
    rows.add_job("nightly")
    rows.add_job("off", enabled=False)
    with closing(sqlite3.connect(rows.path)) as db:
        made = plan_job_hold(db, rows.path, Job("nightly"), killer(WorkKind.JOB, "nightly"))
        assert plan_job_hold(db, rows.path, Job("off"), killer(WorkKind.JOB, "off")) is None
    assert made is not None
    (row,) = made.rows
    assert [(e.column, e.path, e.before, e.after) for e in row.members] == [
        ("enabled", None, 1, 0),
        ("job_json", "$.enabled", "true", "false"),
    ]
