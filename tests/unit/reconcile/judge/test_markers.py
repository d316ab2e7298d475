"""Markers of the dead are cleared as each version would; a job that kills is held."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tailflip.base.durable import RealDisk
from tailflip.base.workspace import Workspace
from tailflip.flow.observed import Job, Schedule
from tailflip.ledger.runs import INTERRUPTED, MOST_RUNS, Runs, SeenRun
from tailflip.observe.gateway.capabilities import find_capabilities
from tailflip.observe.records.cron import parse_jobs
from tailflip.observe.records.runlog import RunLine
from tailflip.reconcile.judge.markers import HOLD_MS, plan_hold, plan_markers
from tailflip.reconcile.write.jsonedit import MISSING, Edit

NOW = 1_800_000_000_000
MIN = 60_000
OLD, NEW = (find_capabilities(version) for version in ((2026, 3, 28), (2026, 4, 14)))
BEGAN = NOW - 5 * MIN
CLEAR = Edit("j", ("state", "runningAtMs"), MISSING)


def job(kind="every", *, running=BEGAN, due=NOW - 6 * MIN, last=NOW - 60 * MIN, enabled=True):
    return Job(
        job_id="j",
        name="report",
        enabled=enabled,
        target="isolated",
        schedule=Schedule(kind),
        timeout_ms=60 * MIN,
        created_ms=0,
        running_at_ms=running,
        next_run_at_ms=due,
        last_run_at_ms=last,
        last_status="ok",
    )


def waits(last=None):
    edits = [CLEAR, Edit("j", ("state", "nextRunAtMs"), MISSING)]
    return (*edits, *([Edit("j", ("state", "lastRunAtMs"), last)] if last else []))


@pytest.mark.parametrize(
    ("what", "capabilities", "edits"),
    [
        (job(), NEW, (CLEAR,)),
        (job(), find_capabilities(None), (CLEAR,)),
        (job(), OLD, waits(BEGAN)),
        (job("cron"), OLD, waits(BEGAN)),
        (job(last=None), OLD, waits(BEGAN)),
        (job(last=NOW - 1), OLD, waits()),
        (job(due=NOW + MIN), OLD, (CLEAR,)),
        (job("at"), OLD, (CLEAR,)),
        (job(due=None), OLD, (CLEAR,)),
        (job(enabled=False), NEW, (CLEAR,)),
    ],
)
def test_marker_goes_and_the_job_does_what_its_version_would(what, capabilities, edits):
    (change,) = plan_markers([what], (), NOW, capabilities)
    assert change.edits == edits
    assert change.run is not None
    assert (change.run.verdict, change.run.began_ms) == (INTERRUPTED, BEGAN)


def test_a_run_that_ended_before_its_result_was_applied_was_not_interrupted():
    lines = [
        RunLine("j", None, None, "done", BEGAN - MIN, BEGAN - 1),
        RunLine("k", None, None, "done", BEGAN, BEGAN + 5),
        RunLine("j", None, None, "failed", BEGAN + 10, BEGAN + 50),
    ]
    (change,) = plan_markers([job()], lines, NOW, OLD)
    assert change.edits == (CLEAR,)
    assert change.run is not None
    assert (change.run.verdict, change.run.ended_ms) == ("failed", BEGAN + 50)
    assert "ended failed" in change.words[1]


def test_jobs_without_marker_are_left_alone():
    assert plan_markers([job(running=None)], (), NOW, NEW) == ()


def test_hold_disables_with_consent():
    change = plan_hold(job(), "it kills", NOW, may_disable=True)
    assert change.edits == (Edit("j", ("enabled",), False), CLEAR)
    assert "openclaw cron enable j" in change.words[1]


@pytest.mark.parametrize("kind", ["every", "cron", "at"])
def test_hold_pushes_the_next_run_out_without_consent(kind):
    change = plan_hold(job(kind, running=None), "it kills", NOW, may_disable=False)
    pushed = [Edit("j", ("state", "nextRunAtMs"), NOW + HOLD_MS)]
    if kind == "cron":
        pushed.append(Edit("j", ("state", "lastRunAtMs"), NOW))
    assert list(change.edits) == pushed


def test_jobs_are_read_as_their_scheduler_sees_them():
    text = b"""{version: 1, jobs: [
      {id: "a", name: "n", schedule: {kind: "every", everyMs: 900000}, sessionTarget: "isolated",
       payload: {kind: "agentTurn", timeoutSeconds: 30}, state: {runningAtMs: 5, lastStatus: "ok"}},
      {id: "b", enabled: false, schedule: {kind: "cron", expr: "*/5 * * * *"},
       payload: {kind: "agentTurn"}},
      {id: "c", schedule: {kind: "at", at: "2026-11-21T10:00:00Z"}, payload: {kind: "systemEvent"}},
      {id: "d", payload: {kind: "agentTurn", timeoutSeconds: 0}, schedule: 7, state: []},
      {name: "no id"}, null,
    ]}"""
    a, b, c, d = parse_jobs(text)
    assert (a.schedule, a.timeout_ms) == (Schedule("every", 900_000), 30_000)
    assert (a.running_at_ms, a.last_status) == (5, "ok")
    assert (b.enabled, b.timeout_ms) == (False, 60 * MIN)
    assert b.schedule.expression == "*/5 * * * *"
    assert (c.schedule.at_ms, c.timeout_ms) == (1_795_255_200_000, 10 * MIN)
    assert (d.timeout_ms, d.schedule) == (0, Schedule())


def test_runs_are_on_record_once_and_cost_no_write_when_nothing_is_new(home):
    runs = Runs(Workspace(home, RealDisk()), "guard")
    assert runs.read() == ()
    first = SeenRun("j", 5, "t", 9)
    assert runs.put([first, SeenRun("k", 6, "t", 9)])
    assert not runs.put([replace(first, seen_ms=10)]), "still in flight is no news"
    assert {run.job_id for run in runs.read_open()} == {"j", "k"}
    ended = replace(first, ended_ms=20, verdict="done", words=("because",))
    assert runs.put([ended])
    assert not runs.put([ended])
    assert [run.job_id for run in runs.read_open()] == ["k"]
    assert runs.read()[1] == ended
    assert Runs(Workspace(home, RealDisk()), "other").read() == ()


def test_runs_on_record_are_bounded(home):
    runs = Runs(Workspace(home, RealDisk()), "guard")
    runs.put([SeenRun("j", n, "", n) for n in range(MOST_RUNS + 50)])
    found = runs.read(2 * MOST_RUNS)
    assert len(found) == MOST_RUNS
    assert min(run.began_ms for run in found) == 50


def test_jobs_of_old_releases_are_read_as_the_gateway_takes_them():
    """`jobId` for `id`, `cron` for `expr`, and an expression alone: the gateway rewrites them."""
    text = b"""{jobs: [
      {jobId: "morning", schedule: {kind: "cron", cron: "20 6 * * *"}, state: {runningAtMs: 5}},
      {id: "legacy2", schedule: "0 */2 * * *", command: "bash /x.sh"},
      {id: "new", jobId: "old", schedule: {kind: "cron", expr: "1 * * * *", cron: "2 * * * *"}},
      {jobId: ""}, {name: "none"}
    ]}"""
    morning, legacy, new = parse_jobs(text)
    assert (morning.job_id, morning.running_at_ms) == ("morning", 5)
    assert morning.schedule == Schedule("cron", expression="20 6 * * *")
    assert legacy.schedule == Schedule("cron", expression="0 */2 * * *")
    assert (new.job_id, new.schedule.expression) == ("new", "1 * * * *")


def test_an_interval_written_as_text_is_read_as_the_gateway_reads_it():
    text = b"""{jobs: [
      {id: "a", schedule: {kind: "every", everyMs: "60000"}},
      {id: "b", schedule: {kind: "every", everyMs: "soon"}},
      {id: "c", schedule: {kind: "every", everyMs: "nan"}}
    ]}"""
    assert [job.schedule.every_ms for job in parse_jobs(text)] == [60_000, None, None]
