"""Jobs that hang on a mark or are overdue: what is told of them, and what is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tailflip.diagnose.findings.inputs import Inputs
from tailflip.diagnose.findings.registry import find_all
from tailflip.flow.observed import Gateway, Job, Schedule
from tailflip.observe.records.runlog import RunLine
from tailflip.reconcile.judge.growth import (
    HOUR_MS,
)
from tailflip.reconcile.judge.stuck import find_stuck, pick_ends

NOW = 1_800_000_000_000

MIN = 60_000


def every(gap_ms):
    return Schedule("every", every_ms=gap_ms)


def job(name="j", *, running=None, due=None, enabled=True, timeout=60 * MIN, schedule=None):
    schedule = schedule or every(15 * MIN)
    return Job(name, "report", enabled, "isolated", schedule, timeout, 0, running, due, None, "ok")


LIVING = Gateway(True, 7, NOW - 10 * HOUR_MS, "x")


def stuck(jobs, ends=(), gateway=LIVING, at_work=()):
    found = find_stuck(jobs, pick_ends(jobs, ends), gateway, NOW, at_work)
    marks = [("job-stuck", job.enabled) for job, _ in found.marked]
    return [*marks, *(("job-overdue", False) for _ in found.overdue)]


def test_a_mark_older_than_the_run_may_take_is_stuck_long_before_two_hours():
    assert stuck([job(running=NOW - 64 * MIN)]) == []
    assert stuck([job(running=NOW - 66 * MIN)]) == [("job-stuck", True)]
    assert stuck([job(running=NOW - 16 * MIN, timeout=10 * MIN)]) == [("job-stuck", True)]
    assert stuck([job(running=NOW - 9 * HOUR_MS, timeout=0)]) == [], "may run for ever"
    assert stuck([job(running=NOW - 66 * MIN, enabled=False)]) == [("job-stuck", False)]


def test_a_batch_waits_for_all_its_runs():
    batch = [job("a", running=NOW - 66 * MIN), job("b", running=NOW - 66 * MIN)]
    assert stuck(batch) == []
    assert stuck([replace(each, running_at_ms=NOW - 126 * MIN) for each in batch]) == [
        ("job-stuck", True),
        ("job-stuck", True),
    ]
    late = [replace(each, running_at_ms=NOW - 126 * MIN) for each in batch]
    assert stuck(late, at_work={"b"}) == [], "somebody of the batch is at work"


def test_a_mark_whose_run_has_its_line_is_stuck():
    began = NOW - 20 * MIN
    line = RunLine("j", None, None, "done", began + 5, NOW - 6 * MIN)
    assert stuck([job(running=began)], [line]) == [("job-stuck", True)]
    fresh = line._replace(ended_ms=NOW - MIN)
    assert stuck([job(running=began)], [fresh]) == []
    earlier = line._replace(started_ms=began - 5)
    assert stuck([job(running=began)], [earlier]) == []


def test_a_mark_of_an_earlier_gateway_is_stuck_and_says_so():
    found = find_stuck([job(running=NOW - 11 * HOUR_MS, timeout=0)], {}, LIVING, NOW, ())
    ((_, mark),) = found.marked
    (finding,) = find_all(Inputs(now_ms=NOW, stuck=(mark,))).findings
    assert "older than the gateway" in finding.message
    assert "its run history is empty" in finding.evidence


@pytest.mark.parametrize("alive", [False, None])
def test_only_a_living_gateway_has_stuck_jobs(alive):
    gateway = Gateway(alive, None, None, "x")
    assert stuck([job(running=NOW - 9 * HOUR_MS)], gateway=gateway) == []


def test_a_job_that_was_due_while_the_scheduler_idles_is_overdue():
    late = job(due=NOW - 16 * MIN)
    assert stuck([late]) == [("job-overdue", False)]
    assert stuck([late, job("busy", running=NOW - MIN)]) == [], "a batch is running"
    assert stuck([replace(late, enabled=False)]) == []
    assert stuck([job(due=NOW - MIN)]) == []
    assert stuck([late], gateway=replace(LIVING, started_ms=NOW - MIN)) == [], "just started"
