"""In which form a kind of record exists is told from the disk, each kind for itself."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

import pytest

from support.state_rows import JSON_ONLY, SPLIT, StateRows
from tailflip.flow.conditions import DamagedDatabase
from tailflip.observe.records.forms import Form

KINDS = ("cron", "run_log", "tasks", "subagents")
TABLES = ("cron_jobs", "cron_run_logs", "task_runs", "subagent_runs")
EACH_TABLE = pytest.mark.parametrize(("table", "kind"), [*zip(TABLES, KINDS, strict=True)])


def test_nothing_there_is_absent_and_hides_nothing(state):
    assert state.forms == (Form.ABSENT,) * 4
    found = state.read()
    assert (found.unread, found.describe(), found.knows_ends) == ((), (), True)


def test_files_are_read(state):
    state.put("cron/jobs.json", {"version": 1, "jobs": []})
    state.put("cron/runs/j.jsonl", "")
    state.put("tasks/runs.sqlite", "")
    state.put("subagents/runs.json", {})
    assert state.forms == (Form.FILES,) * 4
    assert state.read().may_clear_markers


@EACH_TABLE
def test_each_kind_moves_for_itself(state, table, kind):
    state.put("cron/jobs.json", {"version": 1, "jobs": []})
    rows = StateRows(state.root, SPLIT)
    for other in set(TABLES) - {table}:
        rows.change(f"DROP TABLE {other}")
    found = state.read()
    forms = dict(zip(KINDS, state.forms, strict=True))
    assert forms.pop(kind) is Form.SQLITE
    assert forms == {
        other: Form.FILES if other == "cron" else Form.ABSENT for other in KINDS if other != kind
    }
    assert (found.unread, found.knows_ends) == ((), True)
    assert found.may_clear_markers is (kind != "cron")


@EACH_TABLE
def test_a_table_without_the_columns_is_of_an_unknown_schema(state, table, kind):
    """A later release may name them otherwise: nothing is guessed, nothing taken for dead."""
    state.put("cron/jobs.json", {"version": 1, "jobs": []})
    state.database(table, "migration_sources")
    found = state.read()
    assert {record.kind: record.form for record in found.unread} == {
        getattr(found, kind).kind: Form.UNKNOWN
    }
    assert f"table {table} of {state.root / 'state/openclaw.sqlite'} lacks" in found.describe()[0]
    assert found.knows_ends is (kind not in ("run_log", "tasks"))
    assert found.may_clear_markers is (kind == "subagents")


@pytest.mark.parametrize("shape", [SPLIT, JSON_ONLY])
def test_a_schema_that_is_newer_than_known_is_told_and_not_read(state, shape):
    StateRows(state.root, shape).change("PRAGMA user_version = 99")
    assert state.forms == (Form.UNKNOWN,) * 4
    assert "has schema 99, newer than" in state.read().describe()[0]


def test_a_database_without_them_leaves_the_files_as_they_are(state):
    state.database("migration_sources")
    assert state.forms == (Form.ABSENT,) * 4


def test_what_a_database_that_cannot_be_read_holds_is_unknown(state):
    state.put("state/openclaw.sqlite", "no database at all, but long enough for one" * 100)
    assert state.forms == (Form.UNREADABLE,) * 4
    (state.root / "state/openclaw.sqlite").unlink()
    os.mkfifo(state.root / "state/openclaw.sqlite")
    assert state.forms == (Form.UNREADABLE,) * 4


def test_a_damaged_database_is_told_once_and_one_that_may_not_be_read_is_none(state):
    path = state.root / "state/openclaw.sqlite"
    state.put("state/openclaw.sqlite", "no database at all, but long enough for one" * 100)
    found = state.read()
    assert found.damaged == (DamagedDatabase(str(path), "file is not a database"),)
    assert found.sum_up(without_damaged=True) == ()
    assert len(found.sum_up()) == 1
    path.unlink()
    os.mkfifo(path)
    assert state.read().damaged == ()


def test_tables_may_stand_in_the_databases_log_alone(state):
    """A young database of a gateway that was killed: its file has no table yet."""
    state.put("state/openclaw.sqlite", "")
    with closing(sqlite3.connect(state.root / "state/openclaw.sqlite")) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE cron_run_logs (x)")
        db.commit()
        assert state.forms == (Form.ABSENT, Form.UNKNOWN, Form.ABSENT, Form.ABSENT)
        before = sorted((state.root / "state").iterdir())
        state.read()
        assert sorted((state.root / "state").iterdir()) == before  # without a trace


@pytest.mark.parametrize("text", ["{torn", '{"version": 2, "jobs": []}'])
def test_a_cron_store_of_an_unknown_form_is_unreadable(state, text):
    state.put("cron/jobs.json", text)
    assert state.forms[0] is Form.UNREADABLE
    assert not state.read().may_clear_markers


def test_a_pipe_in_a_files_place_is_unreadable(state):
    (state.root / "tasks").mkdir()
    os.mkfifo(state.root / "tasks/runs.sqlite")
    assert state.forms[2] is Form.UNREADABLE
    assert not state.read().knows_ends


# --- 2026.5: the jobs in one file, their state in another -----------------------------------
