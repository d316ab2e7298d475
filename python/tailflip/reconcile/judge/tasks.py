"""Judges the runs that the task ledger calls running or lost.

The gateway calls a task lost after 5 minutes when a set in its memory does not have it:
after every restart, and for manual and catch-up runs even while they run. The run log
has the true end. A run without a line there was interrupted, at the death of its owner.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from tailflip.base.units import format_time
from tailflip.flow.late import dataclass
from tailflip.ledger.runs import INTERRUPTED, SeenRun
from tailflip.observe.records.tasks import ENDED
from tailflip.reconcile.judge.markers import find_line
from tailflip.stores.proof.prove import End, Facts, Fate, Proof, prove

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tailflip.flow.observed import Gateway, Job
    from tailflip.observe.records.runlog import RunLine
    from tailflip.observe.records.tasks import Task

CRON = "cron"
LOST = "lost"
UNKNOWN = "unknown"
# A run that was killed with its gateway has failed, as the gateway's own repair says.
_THEIRS = {ours: theirs for theirs, ours in ENDED.items()} | {"killed": "failed"}
_SLACK_MS = 2_000
_PATIENCE_MS = 10 * 60_000  # the line of a finished run is written within seconds
_KEPT_MS = 7 * 86_400_000  # as long as the gateway keeps a task that ended
# The gateway's text for a lost task; it stays when the run then ends well.
_LOST_ERROR = "backing session missing"


@dataclass(frozen=True)
class TaskEvidence:
    """The ledgers by which tasks are judged; `deaths` are start and end of gateways that died.

    `at_work` are job and start of runs whose owner, by its receipt, lives.
    `knows_ends` and `knows_markers` are as in `Facts`.
    """

    now_ms: int
    gateway: Gateway
    lines: Sequence[RunLine]
    jobs: Mapping[str, Job]
    deaths: Sequence[tuple[int, int]] = ()
    at_work: Sequence[tuple[str, int]] = ()
    knows_ends: bool = True
    knows_markers: bool = True


@dataclass(frozen=True)
class TaskVerdict:
    """The verdict on one task."""

    task: Task
    proof: Proof

    @property
    def verdict(self) -> str:
        """Give the verdict in one word, as `SeenRun.verdict` does; `running` for alive."""
        names = {Fate.ALIVE: "running", Fate.DEAD: INTERRUPTED, Fate.UNKNOWN: UNKNOWN}
        return names.get(self.proof.fate) or self.proof.status or UNKNOWN


@dataclass(frozen=True)
class Correction:
    """A correction of one task in the task ledger: columns and their values."""

    task_id: str
    after: Mapping[str, str | int | None]
    words: tuple[str, ...]


def judge_tasks(tasks: Iterable[Task], ledgers: TaskEvidence) -> tuple[TaskVerdict, ...]:
    """Judge every cron task by run log, markers and owners."""
    by_job: dict[str, list[RunLine]] = {}
    for line in ledgers.lines:
        by_job.setdefault(line.job_id, []).append(line)
    return tuple(
        TaskVerdict(task, prove(_collect(task, by_job, ledgers)))
        for task in tasks
        if task.runtime == CRON and task.source_id
    )


def _collect(task: Task, by_job: Mapping[str, list[RunLine]], ledgers: TaskEvidence) -> Facts:
    began = task.started_ms if task.started_ms is not None else task.created_ms
    job = ledgers.jobs.get(task.source_id or "")
    line = None
    if began is not None:
        near = [
            line
            for line in by_job.get(task.source_id or "", ())
            if abs(line.started_ms - began) <= _SLACK_MS
        ]
        line = min(near, key=lambda line: abs(line.started_ms - began), default=None)
    ends: tuple[End, ...] = ()
    if line is not None:
        ends = (End(line.status, line.ended_ms, line.runtime_ms, "run log", "by job and start"),)
    died = [end for start, end in ledgers.deaths if began is not None and start <= began <= end]
    return Facts(
        now_ms=ledgers.now_ms,
        gateway=ledgers.gateway,
        updated_ms=began,
        ends=ends,
        marker_ms=job.running_at_ms if job is not None else None,
        timeout_ms=job.timeout_ms if job is not None else None,
        task_seen_ms=task.heard_ms if task.status == "running" else None,
        died_ms=min(died, default=None),
        at_work=began is not None
        and any(
            job_id == task.source_id and abs(at_ms - began) <= _SLACK_MS
            for job_id, at_ms in ledgers.at_work
        ),
        knows_ends=ledgers.knows_ends,
        knows_markers=ledgers.knows_markers,
    )


def plan_corrections(verdicts: Iterable[TaskVerdict]) -> tuple[Correction, ...]:
    """Plan corrections of tasks that the ledger calls, or called, lost or running."""
    found = (_correct(each) for each in verdicts)
    return tuple(correction for correction in found if correction is not None)


def _correct(each: TaskVerdict) -> Correction | None:
    task, proof = each.task, each.proof
    has_ended = task.status in _THEIRS.values() and proof.fate is Fate.OVER
    was_lost = has_ended and task.error == _LOST_ERROR
    is_open = task.status in (LOST, "running", "queued")
    if not (is_open or was_lost) or proof.ended_ms is None:
        return None
    after: dict[str, str | int | None] = {
        "status": LOST if proof.fate is Fate.DEAD else _THEIRS[proof.status or "done"],
        "ended_at": proof.ended_ms,
        "last_event_at": proof.ended_ms,
        "error": _explain(proof),
        "cleanup_after": proof.ended_ms + _KEPT_MS,
    }
    is_told = (task.status, task.ended_ms) == (after["status"], after["ended_at"])
    return None if is_told and not was_lost else Correction(task.task_id, after, proof.words)


def _explain(proof: Proof) -> str | None:
    if proof.fate is Fate.DEAD and proof.ended_ms is not None:
        return f"interrupted: its gateway died, last sign of life {format_time(proof.ended_ms)}"
    return None if proof.status == "done" else f"the run log says {proof.status}"


def follow_runs(open_runs: Iterable[SeenRun], ledgers: TaskEvidence) -> tuple[SeenRun, ...]:
    """List the runs that are in flight now, and judge those that were.

    Args:
        open_runs: Runs on record as in flight.
        ledgers: The present ones. A marker counts where its owner may live.

    Returns:
        Runs to put on record: new ones, open ones, and ended ones.
    """
    now, gateway = ledgers.now_ms, ledgers.gateway
    in_flight = {}
    for job in ledgers.jobs.values():
        began = job.running_at_ms
        is_own = gateway.started_ms is None or began is None or began >= gateway.started_ms
        if began is not None and gateway.alive is not False and is_own:
            in_flight[job.job_id, began] = SeenRun(job.job_id, began, job.name, now)
    ended = [_end(run, ledgers) for run in open_runs if (run.job_id, run.began_ms) not in in_flight]
    return (*in_flight.values(), *(run for run in ended if run is not None))


def _end(run: SeenRun, ledgers: TaskEvidence) -> SeenRun | None:
    line = find_line(run.job_id, run.began_ms, ledgers.lines)
    ends: tuple[End, ...] = ()
    if line is not None:
        ends = (End(line.status, line.ended_ms, line.runtime_ms, "run log", "by job and start"),)
    died = [end for start, end in ledgers.deaths if start <= run.began_ms <= end]
    proof = prove(
        Facts(
            now_ms=ledgers.now_ms,
            gateway=ledgers.gateway,
            updated_ms=run.began_ms,
            ends=ends,
            transcript_ms=run.seen_ms,  # we saw its marker then, which is as good a sign of life
            died_ms=min(died, default=None),
            knows_ends=ledgers.knows_ends,
            knows_markers=ledgers.knows_markers,
        )
    )
    if proof.ended_ms is not None:
        name = INTERRUPTED if proof.fate is Fate.DEAD else proof.status
        return SeenRun(
            run.job_id, run.began_ms, run.title, run.seen_ms, proof.ended_ms, name, proof.words
        )
    if ledgers.now_ms - run.seen_ms > _PATIENCE_MS:
        words = (*proof.words, "its marker went without a line in the run log")
        return SeenRun(
            run.job_id, run.began_ms, run.title, run.seen_ms, run.seen_ms, UNKNOWN, words
        )
    return None


def pick_lines(
    lines: Iterable[RunLine], tasks: Iterable[Task], open_runs: Iterable[SeenRun]
) -> list[RunLine]:
    """Pick the lines by which tasks and open runs are judged from any number of lines.

    For a task they are the lines that began when it did; for a run, the first that began later.
    """
    begun: dict[str, list[int]] = {}
    for task in tasks:
        at = task.started_ms if task.started_ms is not None else task.created_ms
        if task.source_id and at is not None:
            begun.setdefault(task.source_id, []).append(at)
    for times in begun.values():
        times.sort()
    runs: dict[str, list[int]] = {}
    for run in open_runs:
        runs.setdefault(run.job_id, []).append(run.began_ms)
    first: dict[tuple[str, int], RunLine] = {}
    picked = []
    for line in lines:
        times = begun.get(line.job_id, [])
        at = bisect_left(times, line.started_ms - _SLACK_MS)
        if at < len(times) and times[at] <= line.started_ms + _SLACK_MS:
            picked.append(line)
        for began in runs.get(line.job_id, ()):
            known = first.get((line.job_id, began))
            is_sooner = known is None or line.started_ms < known.started_ms
            if line.started_ms >= began and is_sooner:
                first[line.job_id, began] = line
    return [*picked, *first.values()]
