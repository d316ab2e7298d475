"""All reconciliation of one installation at one moment: what is wrong, and with leave, mended.

Always in the order of locks: cron store, task ledger, session stores; then what is only
told. Each kind stands alone, and a failure of one keeps no other from being done.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tailflip.compact.transaction import compact_store
from tailflip.config import ReconcileSettings, load
from tailflip.errors import TailflipError, Usage
from tailflip.ledger.history import History
from tailflip.ledger.runs import Runs
from tailflip.observe.grammar import parse_duration_ms
from tailflip.observe.jobs import read_job_states
from tailflip.observe.release import read_release
from tailflip.observe.runlog import read_run_logs
from tailflip.reconcile.cronstore import Hands, apply_changes
from tailflip.reconcile.markers import count_deaths, plan_hold, plan_markers
from tailflip.reconcile.zombies import judge_store, make_sweep_policy, make_zombie_policy
from tailflip.scene import look

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from tailflip.compact.swap import Progress
    from tailflip.durable import Disk
    from tailflip.flow import Finding, Life, Report, Store, SurveyNumbers, Tally
    from tailflip.home import Home
    from tailflip.plan.policy import Policy
    from tailflip.reconcile.markers import Change
    from tailflip.reconcile.zombies import Judgement
    from tailflip.scene import Scene


@dataclass(frozen=True)
class Terms:
    """What may be done. `max_lifetime_ms` and `retention_ms` None turn their rules off.

    `version` is of the gateway that will start next, None if nobody can say.
    """

    max_lifetime_ms: int | None
    retention_ms: int | None
    apply: bool
    version: tuple[int, int, int] | None = None
    settings: ReconcileSettings = field(default_factory=ReconcileSettings)


@dataclass(frozen=True)
class Step:
    """One kind on one subject. `counts` says what is, or would be, changed; empty is nothing.

    `words` are the reasons. `action_id` and `undo` are there once it was done.
    """

    kind: str
    subject: str
    counts: Mapping[str, int]
    words: tuple[str, ...] = ()
    running: Mapping[str, int] = field(default_factory=dict)
    tallies: tuple[Tally, ...] = ()
    report: Report | None = None
    action_id: str | None = None
    undo: str | None = None


@dataclass
class Result:
    """What was found and done, in the order it was; `errors` by subject."""

    steps: list[Step] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    errors: list[TailflipError] = field(default_factory=list)

    @property
    def changes(self) -> int:
        """How many things are, or would be, changed."""
        return sum(sum(step.counts.values()) for step in self.steps)

    @contextmanager
    def keeping_error(self) -> Iterator[None]:
        """Go on with the others when one fails."""
        try:
            yield
        except TailflipError as e:
            self.errors.append(e)


@dataclass
class Work:
    """What all kinds work with. `lives` are those of gateways that our ledger saw die."""

    scene: Scene
    terms: Terms
    home: Home
    disk: Disk
    on_progress: Progress
    history: History
    lives: Sequence[Life] = ()
    result: Result = field(default_factory=Result)
    _moment: int = 0

    @property
    def hands(self) -> Hands:
        """What writing to the gateway's own ledgers takes."""
        return Hands(self.scene.installation, self.scene.env, self.home, self.disk)

    @property
    def deaths(self) -> tuple[tuple[int, int], ...]:
        """Start and end of the gateways whose death was seen."""
        return tuple(
            (life.started_ms, life.ended_ms)
            for life in self.lives
            if life.ended_ms is not None and life.end_known
        )

    def next_moment(self) -> int:
        """Name the next action: no two of one call have the same time."""
        self._moment += 1
        return self.scene.now_ms + self._moment - 1


def begin(
    env: Mapping[str, str],
    *,
    home: Home,
    disk: Disk,
    apply: bool,
    on_progress: Progress,
    state_dir: Path | None = None,
    profile: str | None = None,
    agent: str | None = None,
    max_lifetime: str | None = None,
    retention: str | None = None,
) -> Work:
    """Look at the installation, and find what the user's settings allow.

    Args:
        env: The gateway's environment, and ours.
        home: Where actions are recorded.
        disk: The effects.
        apply: Whether to change anything.
        on_progress: As for a compaction.
        state_dir: As everywhere; else `gateway.state_dir`.
        profile: The same.
        agent: Only this agent's store.
        max_lifetime: Instead of `heal.max_lifetime`, in OpenClaw's grammar, or "false".
        retention: Instead of `heal.retention`, and of the gateway's own; the same.

    Raises:
        Usage: A length of time that is none.
    """
    config = load(env).config
    scene = look(
        env,
        state_dir=state_dir or config.gateway.state_dir,
        profile=profile or config.gateway.profile,
        agent=agent,
    )
    history = History(home, disk, os.path.realpath(scene.installation.state_dir))
    terms = Terms(
        max_lifetime_ms=(
            config.heal.max_lifetime_ms
            if max_lifetime is None
            else _parse_time("--max-lifetime", max_lifetime)
        ),
        retention_ms=(
            config.heal.choose_retention_ms(scene.installation.retention_ms)
            if retention is None
            else _parse_time("--retention", retention)
        ),
        apply=apply,
        version=read_release(("openclaw",), env).version,
        settings=config.reconcile,
    )
    return Work(scene, terms, home, disk, on_progress, history, history.read_lives())


def _parse_time(option: str, text: str) -> int | None:
    if text == "false":
        return None
    try:
        return parse_duration_ms(text, "h")
    except ValueError as e:
        raise Usage(
            f"{option} is not a length of time: {text}", hint="write it as 90m, 24h or false"
        ) from e


def reconcile_all(work: Work, kinds: Sequence[str] = ()) -> Result:
    """Do the kinds that are named, or all, in the order of locks.

    Raises:
        Usage: there is no such kind.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise Usage(f"no such kind: {unknown[0]}", hint=f"kinds are: {', '.join(KINDS)}")
    for kind, do in KINDS.items():
        if not kinds or kind in kinds:
            do(work)
    work.result.notes = list(dict.fromkeys(work.result.notes))
    return work.result


def _clear_markers(work: Work) -> None:
    """Clear what a dead gateway left on its jobs, and hold those that kill it every time."""
    scene = work.scene
    jobs, problem = read_job_states(scene.installation.cron_store)
    if problem is not None:
        work.result.notes.append(f"cron store cannot be read: {problem}")
    marked = {job.job_id: job for job in jobs if job.running_at_ms is not None}
    if not marked or scene.gateway.alive is not False:
        return  # beside a living gateway a marker is its own business; `stuck` judges it
    lines = read_run_logs(scene.installation.cron_store.parent / "runs", work.result.notes)
    ends = [line for line in lines if line.job_id in marked]
    changes = plan_markers(marked.values(), ends, scene.now_ms, work.terms.version)
    runs = Runs(work.home, work.disk, work.history.guard)
    interrupted = [change.run for change in changes if change.run is not None]
    on_record = [*interrupted, *runs.read()]
    holds = []
    for job in marked.values():
        count = count_deaths(job.job_id, on_record, work.lives)
        if job.enabled and count >= work.terms.settings.hold_deaths:
            reason = f"it was in flight at the last {count} deaths by memory in a row"
            holds.append(
                plan_hold(job, reason, scene.now_ms, may_disable=work.terms.settings.hold_jobs)
            )
    if work.terms.apply:
        runs.put(interrupted)
    _change_jobs(work, "markers", "markers of a dead gateway cleared", changes)
    _change_jobs(work, "hold", "jobs held", holds)


def _change_jobs(work: Work, kind: str, what: str, changes: Sequence[Change]) -> None:
    if not changes:
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
    judged = judge_store(scene.installation, store, scene.gateway, scene.now_ms, work.deaths)
    work.result.notes += judged.evidence.notes
    surveyed = scene.survey(store, policy, judged.evidence, work.on_progress)
    step = _describe(kind, store, judged, surveyed.numbers)
    if not work.terms.apply or not step.counts:
        return step
    report = compact_store(
        store,
        policy,
        judged.evidence,
        home=work.home,
        disk=work.disk,
        now_ms=work.next_moment(),
        on_progress=work.on_progress,
        expected=surveyed,
    )
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
    words = tuple(f"{v.key}: {v.proof.fate}: {'; '.join(v.proof.words)}" for v in judged.told)
    is_zombies = kind == "zombies"
    return Step(
        kind=kind,
        subject=str(store.path),
        counts={tally.name: tally.entries for tally in numbers.rules if tally.entries},
        words=words if is_zombies else (),
        tallies=tuple(tally for tally in numbers.rules if tally.entries),
        running=dict(judged.running) if is_zombies else {},
    )


KINDS: dict[str, Callable[[Work], None]] = {
    "markers": _clear_markers,
    "zombies": _end_zombies,
    "retention": _sweep,
}
