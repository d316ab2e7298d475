"""What a dead gateway was at, read from what it left: rows, marks, receipts, locks."""

from __future__ import annotations

import json

import pytest

from support.agent_database import make_database
from support.state_rows import JSON_ONLY, StateRows
from tailflip.flow.lives import Life
from tailflip.flow.work import Work, WorkKind
from tailflip.observe.installation import locate
from tailflip.stores.in_flight import read_in_flight

BEGAN = 1_700_000_000_000
MAIN, OTHER = "agent:main:main", "agent:main:other"
LIFE = Life(id="l", guard="g", mode="run", started_ms=BEGAN, pid=4_194_300, ended_ms=BEGAN + 60_000)


def session(key):
    return Work(kind=WorkKind.SESSION, key=key)


def job(key):
    return Work(kind=WorkKind.JOB, key=key)


def entry(number, updated_ms, status="running"):
    return {"sessionId": f"s{number}", "updatedAt": updated_ms, "status": status}


@pytest.fixture
def state(tmp_path):
    (tmp_path / "state").mkdir()
    return tmp_path


def read(state, life=LIFE):
    return read_in_flight(locate({"HOME": str(state)}, state_dir=state), life)


def put_files(state, entries, jobs=()):
    sessions = state / "agents" / "main" / "sessions"
    sessions.mkdir(parents=True)
    (sessions / "sessions.json").write_text(json.dumps(entries))
    (state / "cron").mkdir()
    (state / "cron" / "jobs.json").write_text(json.dumps({"version": 1, "jobs": list(jobs)}))
    return sessions


def put_rows(state, entries):
    make_database(state / "agents" / "main" / "agent" / "openclaw-agent.sqlite", entries)
    return StateRows(state, JSON_ONLY)


ENTRIES = {
    MAIN: entry(1, BEGAN + 5),
    OTHER: entry(2, BEGAN - 5),
    "agent:main:done": entry(3, BEGAN + 5, "done"),
}


@pytest.mark.parametrize("put", [put_files, put_rows])
def test_a_session_that_was_touched_in_this_life_is_in_flight(state, put):
    """One that says "running" since an earlier life is a lie of that life's."""
    put(state, ENTRIES)
    assert read(state) == (session(MAIN),)


def test_a_row_that_nobody_touched_is_nothing(state):
    put_rows(state, {OTHER: ENTRIES[OTHER]})
    assert read(state) == ()


def test_a_run_and_its_mark_are_one_job(state):
    run = "agent:main:cron:nightly:run:s9"
    marked = {"id": "nightly", "schedule": {"kind": "every"}, "state": {"runningAtMs": BEGAN + 1}}
    old = {"id": "old", "schedule": {"kind": "every"}, "state": {"runningAtMs": BEGAN - 1}}
    put_files(state, {run: entry(9, BEGAN + 2)}, [marked, old])
    assert read(state) == (job("nightly"),)


def test_a_receipt_names_the_job(state):
    rows = put_rows(state, {OTHER: ENTRIES[OTHER]})
    rows.add_job("nightly")
    rows.add_receipt("nightly", BEGAN + 3, 4_194_300, 7)
    rows.add_receipt("hourly", BEGAN - 3, 4_194_301, 7)
    assert read(state) == (job("nightly"),)


def test_of_a_batch_that_is_marked_only_the_locked_one_was_at_work(state):
    jobs = [
        {"id": name, "schedule": {"kind": "every"}, "state": {"runningAtMs": BEGAN + 1}}
        for name in ("first", "second")
    ]
    entries = {f"agent:main:cron:{n}": entry(n, BEGAN + 1) for n in ("first", "second")}
    sessions = put_files(state, entries, jobs)
    assert read(state) == (job("first"), job("second"))
    for name, pid in (("second", 4_194_300), ("first", 4_194_299)):
        (sessions / f"s{name}.jsonl.lock").write_text(json.dumps({"pid": pid}))
    assert read(state) == (job("second"),), "the other's lock is not of this process"


def test_the_turn_of_a_job_in_the_main_session_says_so(state):
    marked = {"id": "j", "sessionTarget": "main", "state": {"runningAtMs": BEGAN + 1}}
    sessions = put_files(state, {MAIN: entry(1, BEGAN + 2)}, [marked])
    assert read(state) == (job("j"), Work(kind=WorkKind.SESSION, key=MAIN, job="j"))
    (sessions / "s1.jsonl.lock").write_text(json.dumps({"pid": 4_194_300}))
    assert read(state) == (job("j"),)


def test_what_cannot_be_read_is_not_known(state):
    sessions = put_files(state, ENTRIES)
    (sessions / "sessions.json").write_text("{broken")
    assert read(state) is None
    assert read(state, LIFE.model_copy(update={"begin_known": False})) is None
