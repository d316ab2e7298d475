"""The end of a run in its three places, window included, and back again row by row."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace

import pytest

from support.agent_database import (
    NODES,
    VERSIONS,
    WINDOWS,
    add_entry,
    add_window,
    connect,
    dump,
    make_database,
)
from support.stores import GONE, HOUR_MS, JOB, NOW_MS, make_entries, make_entry, run_key
from tailflip.flow.observed import OverRun, Store
from tailflip.plan.policy import Policy
from tailflip.stores.restore import restore
from tailflip.stores.tables import Ends
from tailflip.stores.transaction import compact_store

BASE = f"agent:main:cron:{JOB}"
KEY = run_key("stuck")
ENDED_MS = NOW_MS - 7_000
END_RUNS = Policy(slim=False, retention_ms=None, max_lifetime_ms=None, single_flight=False)
AT_WORK = {"lifecycleRunId": "r", "activeWriterRunId": "r"}
STUCK = make_entry("stuck", HOUR_MS // 2, status="running", z="\u2028 \\ud83d", **AT_WORK, a=1.50)


@pytest.fixture(params=VERSIONS)
def path(tmp_path, request):
    """A run that was killed in the middle: its job's own node uses the same window."""
    path = tmp_path / "agents" / "main" / "agent" / "openclaw-agent.sqlite"
    entries = make_entries() | {KEY: STUCK}
    entries[BASE] = make_entry("stuck", HOUR_MS // 2)
    entries = {KEY: entries.pop(KEY)} | entries  # its window is its own
    make_database(path, entries, request.param)
    return path


def end(path, workspace, policy=END_RUNS, key=KEY, session=None):
    over = Ends.of([OverRun(key, "killed", ENDED_MS, 11_000, session)])
    evidence = replace(GONE, over=over)
    return compact_store(Store(path, "main"), policy, evidence, workspace=workspace, now_ms=NOW_MS)


def put_back(path, workspace):
    return restore(workspace, everything=True, apply=True, now_ms=NOW_MS + 1, store=path)


def run(path, *statements):
    with closing(connect(path)) as db, db:
        for statement, *values in statements:
            db.execute(statement, values)


def ask(path, statement, *values):
    with closing(connect(path)) as db:
        return db.execute(statement, values).fetchall()


def read_window(path, session):
    return ask(
        path, f"SELECT session_key, status, ended_at FROM {WINDOWS} WHERE session_id = ?", session
    )


def test_entry_column_and_window_say_the_same_and_the_node_is_proven(path, workspace):
    before = dump(path)
    end(path, workspace)
    [(text, status, updated_ms, valid)] = ask(
        path,
        f"SELECT entry_json, status, updated_at, entry_valid FROM {NODES} WHERE session_key = ?",
        KEY,
    )
    told = {"status": "killed", "endedAt": ENDED_MS, "runtimeMs": 11_000}
    assert json.loads(text) == {k: v for k, v in (STUCK | told).items() if k not in AT_WORK}
    assert json.dumps(STUCK["z"], ensure_ascii=False) in text, "the rest is the same text"
    assert (status, updated_ms, valid) == ("killed", STUCK["updatedAt"], 1)
    assert read_window(path, "stuck") == [(KEY, "killed", ENDED_MS)]
    changed = {name for name, rows in dump(path).items() if rows != before[name]}
    assert changed == {NODES, WINDOWS}
    put_back(path, workspace)
    assert dump(path) == before


def test_a_closed_window_that_says_running_is_ended_alone(path, workspace):
    """A release that removes a run's node leaves its window, as it was, under the job's own key."""
    with closing(connect(path)) as db, db:
        add_window(db, BASE, "closed", NOW_MS - HOUR_MS, "running")
    before = dump(path)
    report = end(path, workspace, key=f"{BASE}:run:closed")
    assert {t.name: t.entries for t in report.rules if t.entries}["retire"] >= 1
    assert read_window(path, "closed") == [(BASE, "killed", ENDED_MS)]
    base = f"SELECT entry_json, status, entry_valid FROM {NODES} WHERE session_key = ?"
    assert ask(path, base, BASE)[0][1:] == (None, 1)
    put_back(path, workspace)
    assert dump(path) == before


def test_a_window_is_ended_by_the_node_whose_it_is(path, workspace):
    """Job and run both say "running", and share a window: the run's end counts for it."""
    own = make_entry("stuck", HOUR_MS // 2, status="running")
    run(
        path,
        (f"UPDATE {NODES} SET entry_json = ?, status = 'running' WHERE session_key = ?",
         json.dumps(own, separators=(",", ":")), BASE),
        (f"UPDATE {NODES} SET entry_valid = 1 WHERE session_key = ?", BASE),
    )  # fmt: skip
    before = dump(path)
    over = [
        OverRun(KEY, "killed", ENDED_MS, 11_000),
        OverRun(BASE, "failed", ENDED_MS + 5, 11_005, "stuck"),
    ]
    evidence = replace(GONE, over=Ends.of(over))
    compact_store(Store(path, "main"), END_RUNS, evidence, workspace=workspace, now_ms=NOW_MS)
    assert ask(path, f"SELECT status FROM {NODES} WHERE session_key IN (?, ?)", KEY, BASE) == [
        ("failed",),
        ("killed",),
    ]
    assert read_window(path, "stuck") == [(KEY, "killed", ENDED_MS)]
    put_back(path, workspace)
    assert dump(path) == before


def test_a_window_that_says_how_it_ended_stays_as_it_is(path, workspace):
    run(path, (f"UPDATE {WINDOWS} SET status = 'done', ended_at = 5 WHERE session_id = 'stuck'",))
    end(path, workspace)
    assert read_window(path, "stuck") == [(KEY, "done", 5)]


def test_a_run_that_goes_leaves_its_job_a_window_that_has_ended(path, workspace):
    before = dump(path)
    policy = Policy(slim=False, retention_ms=0, max_lifetime_ms=None, single_flight=False)
    end(path, workspace, policy)
    assert not ask(path, f"SELECT 1 FROM {NODES} WHERE session_key = ?", KEY)
    assert read_window(path, "stuck") == [(BASE, "killed", ENDED_MS)]
    put_back(path, workspace)
    assert dump(path) == before


def test_an_entry_is_made_smaller_and_ended_at_once(path, workspace):
    bulk = {"skillsSnapshot": {"prompt": "p" * 5_000}}
    with closing(connect(path)) as db, db:
        add_entry(db, run_key("big"), make_entry("big", HOUR_MS, status="running", **bulk))
    before = dump(path)
    policy = Policy(retention_ms=None, max_lifetime_ms=None, single_flight=False)
    report = end(path, workspace, policy, key=run_key("big"))
    assert {"retire", "slim"} <= {t.name for t in report.rules if t.entries}
    [(text,)] = ask(path, f"SELECT entry_json FROM {NODES} WHERE session_key = ?", run_key("big"))
    assert json.loads(text)["status"] == "killed"
    assert "skillsSnapshot" not in text
    put_back(path, workspace)
    assert dump(path) == before


def test_a_window_that_was_changed_since_is_a_conflict(path, workspace):
    end(path, workspace)
    run(path, (f"UPDATE {WINDOWS} SET status = 'done' WHERE session_id = 'stuck'",))
    before = dump(path)
    outcome = put_back(path, workspace)
    assert outcome.conflict_keys == (KEY,)
    assert dump(path) == before


@pytest.mark.parametrize(
    "oddity",
    [
        f"UPDATE {NODES} SET entry_valid = 0 WHERE session_key = ?",
        f"UPDATE {NODES} SET status = 'done' WHERE session_key = ?",
    ],
    ids=["not proven", "column and entry differ"],
)
def test_a_node_that_contradicts_itself_is_not_ended(path, workspace, oddity):
    run(path, (oddity, KEY))
    before = dump(path)
    assert not end(path, workspace).action_id
    assert dump(path) == before


def test_what_was_ended_and_later_removed_comes_back_as_it_was_first(path, workspace):
    before = dump(path)
    end(path, workspace)
    later = Policy(retention_ms=0)
    compact_store(Store(path, "main"), later, GONE, workspace=workspace, now_ms=NOW_MS + 1_000)
    assert not ask(path, f"SELECT 1 FROM {NODES} WHERE session_key = ?", KEY)
    done = restore(workspace, everything=True, apply=True, now_ms=NOW_MS + 2_000, store=path)
    assert done.conflicts == 0
    assert dump(path) == before
