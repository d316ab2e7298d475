"""What the gateway's state database tells of jobs, runs, tasks and sub-agents, in both shapes."""

from __future__ import annotations

import json
import sqlite3

import pytest

from support.state_rows import JSON_ONLY, SPLIT, StateRows
from tailflip.observe.records import database, state_database
from tailflip.observe.records.owners import read_ended_receipts
from tailflip.observe.records.runlog import RunLine
from tailflip.observe.records.state_database import (
    read_job_rows,
    read_run_rows,
    read_schema,
    read_subagent_rows,
    read_task_rows,
)

T0 = 1_795_000_000_000
BOTH = pytest.mark.parametrize("shape", [SPLIT, JSON_ONLY])


@pytest.fixture
def store(tmp_path):
    return tmp_path / "cron" / "jobs.json"


@BOTH
def test_a_job_has_its_state_whichever_place_holds_it(tmp_path, store, shape):
    """Up to 2026.7 the columns count: JSON beside them had no mark of a run in flight."""
    rows = StateRows(tmp_path, shape)
    state = {"runningAtMs": T0, "nextRunAtMs": T0 + 5, "lastRunAtMs": T0 - 5}
    rows.add_job("j", {**state, "lastRunStatus": "ok"}, payload={"kind": "agentTurn"})
    rows.add_job("off", enabled=False)
    job, off = read_job_rows(rows.path, store)
    found = (job.running_at_ms, job.next_run_at_ms, job.last_run_at_ms, job.last_status)
    assert found == (T0, T0 + 5, T0 - 5, "ok")
    assert (job.name, job.enabled, job.schedule.every_ms) == ("j", True, 3_600_000)
    assert (off.job_id, off.enabled, off.running_at_ms) == ("off", False, None)


@BOTH
def test_a_job_is_off_if_either_place_says_so(tmp_path, store, shape):
    rows = StateRows(tmp_path, shape)
    rows.add_job("j")
    rows.change("UPDATE cron_jobs SET enabled = 0")
    assert not read_job_rows(rows.path, store)[0].enabled


def test_jobs_of_another_store_are_not_ours(tmp_path, store):
    rows = StateRows(tmp_path, SPLIT)
    rows.add_job("ours")
    rows.store_key = "/elsewhere/jobs.json"
    rows.add_job("theirs")
    assert [job.job_id for job in read_job_rows(rows.path, store)] == ["ours"]
    with pytest.raises(sqlite3.OperationalError, match=r"of other cron stores: /elsewhere"):
        read_job_rows(rows.path, tmp_path / "third.json")


def test_the_only_store_is_ours_under_whatever_path_a_container_saw_it(tmp_path, store):
    rows = StateRows(tmp_path, SPLIT)
    rows.store_key = "/home/node/.openclaw/cron/jobs.json"
    rows.add_job("j")
    rows.add_run("j", T0)
    assert [job.job_id for job in read_job_rows(rows.path, store)] == ["j"]
    assert len(list(read_run_rows(rows.path, store))) == 1


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "1" * (2 << 20)])
def test_what_is_no_job_is_left_out_and_the_others_stay(tmp_path, store, text):
    rows = StateRows(tmp_path, JSON_ONLY)
    rows.add_job("a")
    rows.add_job("b")
    rows.change("UPDATE cron_jobs SET job_json = ?, state_json = ? WHERE job_id = 'b'", text, text)
    found = read_job_rows(rows.path, store)
    assert found[0].job_id == "a"
    assert len(found) == (1 if len(text) > state_database._MOST_JSON_CHARS else 2)
    assert all(job.running_at_ms is None for job in found)


@BOTH
def test_each_ended_run_is_a_line(tmp_path, store, shape):
    rows = StateRows(tmp_path, shape)
    rows.add_run("j", T0, key="agent:main:cron:j:run:s", session="s")
    rows.add_run("j", T0 + 10_000, lasted_ms=60, status="error", error="job timed out")
    rows.add_run("k", T0, status="error", error="Error: 500")
    rows.add_run("k", T0 + 1, status="skipped")
    rows.add_run("k", T0 + 2, status="error", error="cron: job interrupted by gateway restart")
    lines = read_run_rows(rows.path, store)
    found = sorted(lines, key=lambda line: (line.job_id, line.started_ms))
    assert found == [
        RunLine("j", "agent:main:cron:j:run:s", "s", "done", T0, T0 + 1000),
        RunLine("j", None, None, "timeout", T0 + 10_000, T0 + 10_060),
        RunLine("k", None, None, "failed", T0, T0 + 1000),
        RunLine("k", None, None, "killed", T0 + 2, T0 + 1002),
    ]


def test_a_task_in_flight_or_with_a_broken_detail_is_no_ended_run(tmp_path, store):
    rows = StateRows(tmp_path, JSON_ONLY)
    rows.add_task("t", job_id="j", status="running", began_ms=T0)
    rows.add_task("u", job_id="j", status="failed", began_ms=T0, detail={"kind": "other"})
    rows.add_run("k", T0)
    rows.add_task("v", job_id="j", status="failed", began_ms=T0)
    rows.change("UPDATE task_runs SET detail_json = '{torn' WHERE task_id = 'v'")
    assert [line.job_id for line in read_run_rows(rows.path, store)] == ["k"]


@BOTH
def test_lines_come_page_by_page_and_none_is_lost_at_a_border(tmp_path, store, shape, monkeypatch):
    monkeypatch.setattr("tailflip.observe.records.database._PAGE_ROWS", 7)
    rows = StateRows(tmp_path, shape)
    wanted = [(job, T0 + n) for job in "ab" for n in range(25)]
    for job, began in wanted:
        rows.add_run(job, began)
    found = [(line.job_id, line.started_ms) for line in read_run_rows(rows.path, store)]
    assert found == wanted


def test_a_history_that_moves_away_while_it_is_read_goes_on_from_where_it_was(
    tmp_path, store, monkeypatch
):
    """A gateway that writes between two pages: the file is another, and no line comes twice."""
    monkeypatch.setattr("tailflip.observe.records.database._PAGE_ROWS", 5)
    rows = StateRows(tmp_path, SPLIT)
    for n in range(20):
        rows.add_run("j", T0 + n)
    found = []
    for line in read_run_rows(rows.path, store):
        if len(found) == 7:
            rows.add_run("j", T0 + 100)
        found.append(line.started_ms - T0)
    assert found == [*range(20), 100]


@BOTH
def test_tasks_come_newest_first(tmp_path, shape):
    rows = StateRows(tmp_path, shape)
    rows.add_task("old", job_id="j", status="lost", began_ms=T0, error="backing session missing")
    rows.add_task("new", job_id=None, status="running", began_ms=T0 + 1)
    new, old = read_task_rows(rows.path)
    assert (new.task_id, new.runtime, new.status, new.ended_ms) == ("new", "cli", "running", None)
    assert (old.source_id, old.status, old.error) == ("j", "lost", "backing session missing")


@BOTH
def test_a_sub_agents_end_is_found_in_columns_and_in_json(tmp_path, shape):
    rows = StateRows(tmp_path, shape)
    key, asked = "agent:main:subagent:1", "agent:main:main"
    rows.add_subagent(key, asked, T0)
    rows.add_subagent(f"{key}b", asked, T0, T0 + 9, outcome={"status": "error"})
    rows.add_subagent(f"{key}c", asked, T0, T0 + 9, outcome={"status": "ok"})
    living, failed, done = read_subagent_rows(rows.path)
    assert (living.keys, living.started_ms, living.ended_ms) == ((key, asked), T0, None)
    assert (failed.ended_ms, failed.status) == (T0 + 9, "failed")
    assert done.status == "done"


@BOTH
def test_nothing_is_left_beside_a_database_with_a_log(tmp_path, store, shape):
    """A gateway that was killed leaves its log: what was written last stands there alone."""
    rows = StateRows(tmp_path, shape)
    with sqlite3.connect(rows.path) as db:
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute(
            "INSERT INTO cron_jobs (store_key, job_id, name, enabled, job_json, state_json, "
            "updated_at) VALUES (?, 'j', 'j', 1, ?, ?, 1)",
            (rows.store_key, json.dumps({"id": "j"}), json.dumps({"runningAtMs": T0})),
        )
        db.commit()
        before = {path: path.read_bytes() for path in rows.path.parent.iterdir()}
        assert rows.path.with_name("openclaw.sqlite-wal") in before
        assert [job.running_at_ms for job in read_job_rows(rows.path, store)] == [T0]
        assert {path: path.read_bytes() for path in rows.path.parent.iterdir()} == before
    db.close()


def test_the_schema_names_what_a_table_lacks(tmp_path):
    rows = StateRows(tmp_path, SPLIT)
    rows.change("ALTER TABLE task_runs DROP COLUMN error")
    found = read_schema(rows.path)
    assert found.version == 1
    assert (found.lacks("task_runs"), found.lacks("cron_jobs")) == (("error",), ())


def test_a_table_of_the_history_that_was_copied_into_tasks_is_not_read_twice(tmp_path, store):
    """2026.8.1 copies the old rows, and may leave the table behind."""
    rows = StateRows(tmp_path, JSON_ONLY)
    rows.add_run("j", T0)
    rows.change(
        "CREATE TABLE cron_run_logs (store_key, job_id, seq, ts, status, error, session_id, "
        "session_key, run_at_ms, duration_ms)"
    )
    rows.change(
        "INSERT INTO cron_run_logs VALUES (?, 'j', 1, ?, 'ok', NULL, 's', NULL, ?, 1000)",
        *(rows.store_key, T0 + 1000, T0),
    )
    assert [line.started_ms for line in read_run_rows(rows.path, store)] == [T0]


@BOTH
def test_no_page_is_sorted_anew(tmp_path, store, shape, monkeypatch):
    """With an index of the gateway's own, each page of a thousand rows sorted all of them."""
    rows = StateRows(tmp_path, shape)
    rows.add_job("j")
    rows.add_run("j", T0)
    plans = []
    fetch = database._fetch

    def explain(statement, values, db):
        plans.append([row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {statement}", values)])
        return fetch(statement, values, db)

    monkeypatch.setattr(database, "_fetch", explain)
    assert len(list(read_run_rows(rows.path, store))) == 1
    read_subagent_rows(rows.path)
    if shape == JSON_ONLY:
        rows.add_receipt("j", T0, 1, None, status="ok")
        assert list(read_ended_receipts(rows.path, store))
    assert len(plans) == (3 if shape == JSON_ONLY else 2)
    assert not [step for plan in plans for step in plan if "TEMP B-TREE" in step]
