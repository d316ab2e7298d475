"""What is picked of a million lines gives the same answers as all of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tailflip.flow.observed import Gateway, Job, Schedule
from tailflip.ledger.runs import SeenRun
from tailflip.observe.records.runlog import RunLine
from tailflip.observe.records.tasks import Task
from tailflip.reconcile.judge.markers import find_line
from tailflip.reconcile.judge.stuck import pick_ends
from tailflip.reconcile.judge.tasks import TaskEvidence, follow_runs, judge_tasks, pick_lines

NOW = 100_000_000
GONE = Gateway(False, None, None, "test")
times = st.integers(0, 30_000)
names = st.sampled_from("jk")
lines = st.lists(
    st.builds(
        lambda job, start, length, status: RunLine(job, None, None, status, start, start + length),
        names,
        times,
        st.integers(0, 5_000),
        st.sampled_from(["done", "failed"]),
    ),
    max_size=20,
    unique_by=lambda line: (line.job_id, line.started_ms),
)


def task(number, job, began):
    return Task(str(number), "cron", job, None, None, "lost", began, None, None, None, None)


@given(lines, st.lists(st.tuples(names, times), max_size=5), st.lists(st.tuples(names, times)))
def test_tasks_and_open_runs_are_judged_alike(lines, tasks, runs):
    tasks = [task(n, job, began) for n, (job, began) in enumerate(tasks)]
    runs = [SeenRun(job, began, "", began) for job, began in runs]

    def judge(lines):
        ledgers = TaskEvidence(now_ms=NOW, gateway=GONE, lines=lines, jobs={})
        return judge_tasks(tasks, ledgers), follow_runs(runs, ledgers)

    picked = pick_lines(iter(lines), tasks, runs)
    assert judge(picked) == judge(lines)
    assert len(set(picked)) <= len(lines)


@given(lines, st.none() | times)
def test_two_lines_tell_all_about_a_job(lines, marked_ms):
    job = Job("j", "", True, "", Schedule(), 0, 0, marked_ms, None, None, None)
    picked = pick_ends([job], iter(lines)).get("j", ())
    own = [line for line in lines if line.job_id == "j"]
    assert len(picked) <= 2
    assert bool(picked) == bool(own)
    if own:
        assert max(line.ended_ms for line in picked) == max(line.ended_ms for line in own)
    if marked_ms is not None:
        assert find_line("j", marked_ms, picked) == find_line("j", marked_ms, own)
