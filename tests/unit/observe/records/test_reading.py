"""Each kind of record is read in the form that it has on the disk, and in no other."""

from __future__ import annotations

import pytest

from support.state_rows import JSON_ONLY, SPLIT, StateRows
from tailflip.observe.installation import locate
from tailflip.observe.records.reading import Records, read_job_names, read_jobs

T0 = 1_795_000_000_000
KEY = "agent:main:subagent:1"


@pytest.fixture
def installation(state):
    def find():
        return locate({"OPENCLAW_STATE_DIR": str(state.root)})

    return find


@pytest.fixture
def files(state):
    state.put("cron/jobs.json", {"version": 1, "jobs": [{"id": "f", "name": "of the files"}]})
    line = '{"action":"finished","status":"ok","runAtMs":1,"durationMs":1}'
    state.put("cron/runs/f.jsonl", f"{line}\n")
    run = {"childSessionKey": f"{KEY}-f", "createdAt": 1}
    state.put("subagents/runs.json", {"version": 2, "runs": {"r": run}})
    return state


def read_all(records):
    notes: list[str] = []
    found = (
        [job.job_id for job in records.read_jobs().jobs],
        [line.job_id for line in records.read_lines(notes)],
        [task.task_id for task in records.read_tasks(notes) or ()],
        [run.keys[0] for run in records.read_subagents(notes) or ()],
    )
    return found, notes


def test_files_are_read_where_there_is_no_database(files, installation):
    assert read_all(Records(installation())) == ((["f"], ["f"], [], [f"{KEY}-f"]), [])
    assert read_job_names(installation()) == {"f": "of the files"}


@pytest.mark.parametrize("shape", [SPLIT, JSON_ONLY])
def test_what_moved_is_read_from_the_database_alone(files, installation, shape):
    """The files stay behind as they were; the gateway no longer reads them."""
    rows = StateRows(files.root, shape)
    rows.add_job("d")
    rows.add_run("d", T0)
    rows.add_task("t", job_id="d", status="running", began_ms=T0 + 5)
    rows.add_subagent(KEY, "agent:main:main", T0)
    found, notes = read_all(Records(installation()))
    assert (found[0], found[1], found[2][0], found[3]) == (["d"], ["d"], "t", [KEY])
    assert notes == []
    assert Records(installation()).find_task_ledger() == rows.path


@pytest.mark.parametrize("shape", [SPLIT, JSON_ONLY])
def test_an_unknown_schema_is_not_read_and_neither_are_the_old_files(files, installation, shape):
    rows = StateRows(files.root, shape)
    rows.add_job("d")
    rows.change("PRAGMA user_version = 99")
    records = Records(installation())
    assert read_all(records)[0] == ([], [], [], [])
    assert (records.read_tasks([]), records.read_subagents([])) == (None, None)
    assert "has schema 99" in records.read_jobs().problem


def test_a_damaged_database_is_a_problem_and_no_crash(files, installation):
    rows = StateRows(files.root, SPLIT)
    for n in range(200):
        rows.add_job(f"j{n}", payload={"kind": "agentTurn", "message": "x" * 500})
    with rows.path.open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * 16_384)
    records = Records(installation())
    assert records.read_jobs().problem
    assert read_jobs(installation()).jobs == ()


def test_names_of_jobs_that_cannot_be_read_are_none(state, installation):
    assert read_job_names(installation()) == {}
    state.put("cron/jobs.json", "{")
    assert read_job_names(installation()) == {}
    state.put("cron/jobs.json", "{jobs: [{id: 'j', name: 'night'}, {id: 'k'}, null, 3],}")
    assert read_job_names(installation()) == {"j": "night"}
