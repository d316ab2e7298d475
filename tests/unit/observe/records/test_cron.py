"""The gateway's jobs, and their state in the same file or in another."""

from __future__ import annotations

import pytest

from tailflip.observe.records.cron import read_cron_store
from tailflip.observe.records.forms import Form


def jobs(state):
    found = read_cron_store(state.root / "cron/jobs.json")
    return found.jobs, found.problem


def test_markers_beside_the_jobs_are_read(state):
    state.put("cron/jobs.json", {"version": 1, "jobs": [{"id": "j", "state": {}}, {"id": "k"}]})
    states = {"j": {"state": {"runningAtMs": 7}}, "gone": {"state": {"runningAtMs": 8}}}
    state.put("cron/jobs-state.json", {"version": 1, "jobs": states})
    found, problem = jobs(state)
    assert (problem, [job.running_at_ms for job in found]) == (None, [7, None])
    assert state.forms[0] is Form.SPLIT
    assert not state.read().may_clear_markers  # this gateway settles them itself


@pytest.mark.parametrize("text", ["{torn", "[]", '{"version": 2, "jobs": {}}', '{"version": 1}'])
def test_a_state_file_that_is_not_whole_makes_markers_unknown(state, text):
    state.put("cron/jobs.json", {"version": 1, "jobs": [{"id": "j"}]})
    state.put("cron/jobs-state.json", text)
    assert jobs(state)[1] is not None
    assert state.forms[0] is Form.UNREADABLE
