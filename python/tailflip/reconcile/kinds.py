"""All kinds of reconciliation: what is wrong is told, and with leave mended.

Always in the order of locks: cron store, task ledger, session stores; then what is only
told. Each kind stands alone, and a failure of one keeps no other from being done.
"""

from __future__ import annotations

import heapq
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from tailflip.base.durable import naming, open_regular
from tailflip.base.errors import Usage
from tailflip.base.units import format_count
from tailflip.flow.observed import Evidence
from tailflip.flow.values import STRING_LIMIT_CHARS
from tailflip.ledger.runs import Runs
from tailflip.observe.records.forms import Form, read_forms
from tailflip.observe.records.jobs import read_job_states
from tailflip.observe.records.runlog import read_run_logs
from tailflip.observe.records.tasks import find_ledger, read_tasks
from tailflip.plan.forecast import find_largest_size
from tailflip.plan.policy import HOUR_MS, Policy
from tailflip.reconcile import growth, storms, stuck
from tailflip.reconcile.cronstore import apply_changes
from tailflip.reconcile.markers import count_deaths, plan_hold, plan_markers
from tailflip.reconcile.release import release_jobs
from tailflip.reconcile.run import Step
from tailflip.reconcile.storms import find_storms, tell_storm
from tailflip.reconcile.stuck import find_stuck, pick_ends
from tailflip.reconcile.tasks import Ledgers, follow_runs, judge_tasks, pick_lines, plan_corrections
from tailflip.reconcile.taskstore import apply_corrections
from tailflip.stores.compaction import Aim, Compaction
from tailflip.stores.json import native
from tailflip.stores.ownership import find_claim
from tailflip.stores.proof.judge import judge_store, make_sweep_policy, make_zombie_policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tailflip.flow.numbers import SurveyNumbers
    from tailflip.flow.observed import Store
    from tailflip.ledger.runs import SeenRun
    from tailflip.observe.records.runlog import RunLine
    from tailflip.observe.records.tasks import Task
    from tailflip.reconcile.markers import Change
    from tailflip.reconcile.run import Result, Work
    from tailflip.reconcile.storms import Storm
    from tailflip.reconcile.tasks import TaskVerdict
    from tailflip.stores.proof.judge import Judgement
    from tailflip.stores.target import Scene


def reconcile_all(work: Work, kinds: Sequence[str] = ()) -> Result:
    """Do the kinds that are named, or all, in the order of locks.

    Raises:
        Usage: there is no such kind.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise Usage(f"no such kind: {unknown[0]}", hint=f"kinds are: {', '.join(KINDS)}")
    work.result.notes += [claim.to_error().message for claim in work.scene.kept.values()]
    for kind, do in KINDS.items():
        if not kinds or kind in kinds:
            do(work)
    if work.terms.apply:
        codes = {code for kind, code in CODES if not kinds or kind in kinds}
        with work.result.keeping_error():
            work.history.note_findings(work.result.findings, work.scene.now_ms, codes)
    work.result.notes = list(dict.fromkeys(work.result.notes))
    return work.result


def _clear_markers(work: Work) -> None:
    """Clear what a dead gateway left on its jobs, and hold those that kill it every time."""
    scene = work.scene
    if _is_kept(work, scene.installation.cron_store):
        return  # what its marks say is long past
    jobs, problem = read_job_states(scene.installation.cron_store)
    if problem is not None:
        work.result.notes.append(f"cron store cannot be read: {problem}")
    marked = {job.job_id: job for job in jobs if job.running_at_ms is not None}
    if not marked or scene.gateway.alive is True:
        return  # beside a living gateway a marker is its own business; `stuck` judges it
    if scene.gateway.alive is None:
        why = f"whether a gateway runs could not be told: {scene.gateway.evidence}"
        work.result.notes.append(f"{len(marked)} markers of running jobs were left alone; {why}")
        return
    if not read_forms(scene.installation).may_clear_markers:
        return
    ends = pick_ends(tuple(marked.values()), _read_lines(work))
    changes = [
        change
        for job in marked.values()
        for change in plan_markers(
            (job,), ends.get(job.job_id, ()), scene.now_ms, work.terms.capabilities, work.deaths
        )
    ]
    runs = Runs(work.home, work.disk, work.history.guard)
    interrupted = [change.run for change in changes if change.run is not None]
    on_record: dict[str, list[SeenRun]] = {}
    for run in (*interrupted, *runs.read()):
        on_record.setdefault(run.job_id, []).append(run)
    holds = []
    for job in marked.values():
        count = count_deaths(job.job_id, on_record.get(job.job_id, ()), work.lives)
        if job.enabled and count >= work.terms.settings.hold_deaths:
            reason = f"it was in flight at the last {count} deaths by memory in a row"
            holds.append(
                plan_hold(job, reason, scene.now_ms, may_disable=work.terms.settings.hold_jobs)
            )
    if work.terms.apply:
        runs.put(interrupted)
    # Holds first: were we killed between the two, only a marker still tells whom to hold.
    _change_jobs(work, "hold", "jobs held", holds)
    held = {hold.job_id for hold in holds}  # and their markers are gone with it
    others = [change for change in changes if change.job_id not in held]
    _change_jobs(work, "markers", "markers of a dead gateway cleared", others)


def _change_jobs(work: Work, kind: str, what: str, changes: Sequence[Change]) -> None:
    if not changes or _is_kept(work, work.scene.installation.cron_store):
        return
    step = Step(
        kind=kind,
        subject=str(work.scene.installation.cron_store),
        counts={what: len(changes)},
        words=tuple(f"{change.title}: {'; '.join(change.words)}" for change in changes),
    )
    with work.result.keeping_error():
        if work.terms.apply:
            action_id = apply_changes(
                changes, kind=kind, hands=work.hands, now_ms=work.next_moment()
            )
            undo = f"tailflip restore {action_id} --apply" if action_id else None
            step = replace(step, action_id=action_id, undo=undo)
        work.result.steps.append(step)


def _repair_tasks(work: Work) -> None:
    """Put on record what is in flight and what ended, and correct the gateway's own ledger."""
    scene, notes = work.scene, work.result.notes
    runs = Runs(work.home, work.disk, work.history.guard)
    verdicts, ledgers = judge_installation(scene, notes, runs, work.deaths)
    if work.terms.apply:
        runs.put(follow_runs(runs.read_open(), ledgers))
    corrections = plan_corrections(verdicts)
    if not corrections:
        return
    if _is_kept(work, find_ledger(scene.installation.state_dir)):
        return
    is_allowed = scene.gateway.alive is False and work.terms.write_tasks
    words = tuple(f"{each.task_id}: {'; '.join(each.words)}" for each in corrections)
    step = Step(
        kind="tasks",
        subject=str(find_ledger(scene.installation.state_dir)),
        counts={"tasks told their true end": len(corrections)} if is_allowed else {},
        words=words,
    )
    if not is_allowed:
        notes.append(
            f"the task ledger is wrong about {len(corrections)} tasks; it is corrected only "
            "while the gateway is stopped, `tailflip tasks` shows the truth"
        )
    with work.result.keeping_error():
        if work.terms.apply and is_allowed:
            action_id, _ = apply_corrections(
                corrections, hands=work.hands, now_ms=work.next_moment()
            )
            undo = f"tailflip restore {action_id} --apply" if action_id else None
            step = replace(step, action_id=action_id, undo=undo)
        work.result.steps.append(step)


def _is_kept(work: Work, path: Path) -> bool:
    """Say whether a ledger is not ours to write, and tell why."""
    if not path.exists():
        return False
    claim = find_claim(path, work.scene.installation.state_dir)
    if claim is not None:
        work.result.notes.append(claim.to_error().message)
    return claim is not None


def judge_installation(
    scene: Scene, notes: list[str], runs: Runs, deaths: Sequence[tuple[int, int]]
) -> tuple[tuple[TaskVerdict, ...], Ledgers]:
    """Judge every task in the gateway's ledger; also what it was judged by."""
    installation = scene.installation
    forms = read_forms(installation)
    notes += forms.describe()
    tasks: tuple[Task, ...] | None = ()  # what lies in the old place is not what the gateway reads
    if forms.tasks.form is not Form.SQLITE:
        is_gone = scene.gateway.alive is False
        tasks = read_tasks(installation.state_dir, notes, gateway_is_gone=is_gone)
    jobs, problem = read_job_states(installation.cron_store)
    if problem is not None:
        notes.append(f"cron store cannot be read: {problem}")
    lines = read_run_logs(installation.cron_store.parent / "runs", notes)
    ledgers = Ledgers(
        now_ms=scene.now_ms,
        gateway=scene.gateway,
        lines=pick_lines(lines, tasks or (), runs.read_open()),
        jobs={job.job_id: job for job in jobs if forms.cron.is_read},
        deaths=deaths,
        knows_ends=forms.knows_ends,
        knows_markers=forms.cron.is_read,
    )
    return judge_tasks(tasks or (), ledgers), ledgers


def _end_zombies(work: Work) -> None:
    _change_stores(work, "zombies", make_zombie_policy(work.terms.max_lifetime_ms))


def _sweep(work: Work) -> None:
    if work.terms.retention_ms is not None:
        _change_stores(work, "retention", make_sweep_policy(work.terms.retention_ms))


def _change_stores(work: Work, kind: str, policy: Policy) -> None:
    for store in work.scene.stores:
        with work.result.keeping_error():
            work.result.steps.append(_change_store(work, kind, policy, store))


def _change_store(work: Work, kind: str, policy: Policy, store: Store) -> Step:
    scene = work.scene
    judged = _judge(work, store)
    work.result.notes += judged.evidence.notes
    job = Compaction(
        scene,
        Aim(policy, work.terms.capabilities),
        work.home,
        work.disk,
        work.on_progress,
        evidence={store: judged.evidence},
    )
    surveyed = job.survey(store, policy)
    step = _describe(kind, store, judged, surveyed.numbers)
    if not work.terms.apply or not step.counts:
        return step
    report = job.compact(store, policy, surveyed, now_ms=work.next_moment())
    done = {tally.name: tally.entries for tally in report.rules if tally.entries}
    return replace(
        step,
        counts=done,
        tallies=report.rules,
        report=report,
        action_id=report.action_id or None,
        undo=report.undo,
    )


def _describe(kind: str, store: Store, judged: Judgement, numbers: SurveyNumbers) -> Step:
    told = sorted(judged.told, key=lambda v: v.is_left)
    words = tuple(f"{v.key}: {v.proof.fate}: {'; '.join(v.proof.words)}" for v in told)
    is_zombies = kind == "zombies"
    return Step(
        kind=kind,
        subject=str(store.path),
        counts={tally.name: tally.entries for tally in numbers.rules if tally.entries},
        words=words if is_zombies else (),
        tallies=tuple(tally for tally in numbers.rules if tally.entries),
        running=dict(judged.running) if is_zombies else {},
        left=judged.left if is_zombies else 0,
    )


def _look_for_storms(work: Work) -> None:
    """Tell of jobs that run again and again; hold those that still do, with consent."""
    scene = work.scene
    since_ms = scene.now_ms - storms.RECENT_MS
    seed = secrets.randbits(63)
    by_log, by_store = native.Starts(seed), native.Starts(seed)
    with work.result.keeping_error():
        for line in _read_lines(work):
            if line.started_ms > since_ms:
                by_log.add(line.job_id, line.started_ms)
    for store in scene.stores:
        with work.result.keeping_error(), naming(store.path), open_regular(store.path) as fd:
            by_store.gather(fd, since_ms)
    listed = read_job_states(scene.installation.cron_store)[0]
    jobs = {by_log.hash(job.job_id): job for job in listed}
    total = 0

    def count() -> Iterator[tuple[int, Storm]]:
        nonlocal total
        for each in find_storms((by_log, by_store), jobs):
            total += 1
            yield each

    found: list[tuple[int, Storm]] = []
    with work.result.keeping_error():
        found = heapq.nlargest(storms.MOST_TOLD, count(), key=lambda each: each[1].runs)
    if total > len(found):
        work.result.notes.append(
            f"{format_count(total)} jobs run again and again; the worst "
            f"{format_count(len(found))} are told"
        )
    may_hold = work.terms.settings.hold_jobs and scene.gateway.alive is False
    may_hold = may_hold and read_forms(scene.installation).may_hold
    holds = []
    for job_hash, storm in found:
        job = jobs.get(job_hash)
        title = by_log.name(job_hash) or by_store.name(job_hash) or storms.NAMELESS
        finding = tell_storm(title if job is None else job.title, job, storm)
        work.result.findings.append(finding)
        is_on = scene.now_ms - storm.last_ms < HOUR_MS
        if may_hold and job is not None and job.enabled and is_on:
            reason = f"retry storm: {finding.message}"
            holds.append(plan_hold(job, reason, scene.now_ms, may_disable=True))
    _change_jobs(work, "hold", "jobs held", holds)


def _look_for_stuck(work: Work) -> None:
    """Tell of jobs that will not run by themselves, and release them where that is allowed."""
    scene = work.scene
    if scene.gateway.alive is not True:
        return
    jobs, _ = read_job_states(scene.installation.cron_store)
    at_work = {job for judged in _judge_all(work) for job in judged.at_work}
    ends = pick_ends(jobs, _read_lines(work))
    found = find_stuck(jobs, ends, scene.gateway, scene.now_ms, at_work)
    work.result.findings += [each.finding for each in found]
    stuck = [each for each in found if each.may_release]
    if not (stuck and work.terms.settings.release_stuck_jobs):
        return
    step = Step(
        kind="release",
        subject=str(scene.installation.cron_store),
        counts={"stuck jobs released through openclaw": len(stuck)},
        words=tuple(each.finding.message for each in stuck),
    )
    with work.result.keeping_error():
        if work.terms.apply:
            release_jobs([each.job for each in stuck], work.hands, work.lives, work.next_moment())
        work.result.steps.append(step)


def _look_at_growth(work: Work) -> None:
    """Measure each store, and tell of the day on which its size will hurt."""
    scene, history = work.scene, work.history
    names = {job.job_id: job.title for job in read_job_states(scene.installation.cron_store)[0]}
    for store in scene.stores:
        with work.result.keeping_error():
            surveyed = scene.survey(
                store, _TOUCH_NOTHING, Evidence(scene.gateway), work.on_progress
            )
            fact = f"growth {store.path}"
            point = growth.measure(surveyed.numbers, scene.now_ms)
            points = growth.add_point(growth.from_fact(history.get_fact(fact)), point)
            if work.terms.apply:
                work.home.create(work.disk)
                history.put_fact(fact, growth.to_fact(points))
            found = growth.find_growth(points)
            if found is not None:
                finding = growth.judge_growth(
                    str(store.path),
                    found,
                    point.bytes,
                    hurts_at_bytes=_find_size_that_hurts(work, point.bytes, surveyed.numbers.wide),
                    now_ms=scene.now_ms,
                    names=names,
                )
                work.result.findings += [finding] if finding is not None else []


def _find_size_that_hurts(work: Work, own_bytes: int, wide: bool) -> int:
    """Say up to which size one store may grow, the others staying as they are."""
    limit_bytes = work.terms.heap_limit_bytes
    if limit_bytes is None:
        limit_bytes, _ = work.scene.next_start.find_heap_limit(work.scene.gateway.pid)
    if limit_bytes is None:
        return STRING_LIMIT_CHARS
    stores = (store.path for store in work.scene.installation.stores)
    others = sum(path.stat().st_size for path in stores if path.is_file()) - own_bytes
    fits = find_largest_size(work.terms.capabilities, limit_bytes, wide=wide) - others
    return min(STRING_LIMIT_CHARS, max(0, fits))


def _judge_all(work: Work) -> list[Judgement]:
    for store in work.scene.stores:
        with work.result.keeping_error():
            _judge(work, store)
    return list(work.judged.values())


def _judge(work: Work, store: Store) -> Judgement:
    """Judge a store once: an end that we write into it changes nothing of what is known."""
    scene = work.scene
    if store not in work.judged:
        work.judged[store] = judge_store(
            scene.installation, store, scene.gateway, scene.now_ms, work.deaths
        )
    return work.judged[store]


def _read_lines(work: Work) -> Iterator[RunLine]:
    folder = work.scene.installation.cron_store.parent / "runs"
    return read_run_logs(folder, work.result.notes)


KINDS: dict[str, Callable[[Work], None]] = {
    "markers": _clear_markers,
    "tasks": _repair_tasks,
    "zombies": _end_zombies,
    "retention": _sweep,
    "storms": _look_for_storms,
    "stuck": _look_for_stuck,
    "growth": _look_at_growth,
}
TOLD = ("storms", "stuck", "growth")  # they change nothing without consent
# What each kind finds, so that findings which are gone end.
CODES = (
    ("storms", storms.CODE),
    ("stuck", stuck.STUCK),
    ("stuck", stuck.OVERDUE),
    ("growth", growth.CODE),
)
_TOUCH_NOTHING = Policy(
    slim=False, retire=False, retention_ms=None, max_lifetime_ms=None, single_flight=False
)
