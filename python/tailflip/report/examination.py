"""The thorough observation, for `check`: every store is read, every job judged."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tailflip.base.errors import TailflipError
from tailflip.base.progress import be_quiet
from tailflip.diagnose.findings.inputs import Inputs
from tailflip.diagnose.findings.registry import find_all, merge
from tailflip.flow.conditions import DamagedDatabase, Disagreement
from tailflip.flow.fill import FilledStore
from tailflip.flow.findings import Looked
from tailflip.flow.late import dataclass
from tailflip.ledger.actions import Ledger
from tailflip.observe.entry_cap import find_entry_cap
from tailflip.observe.gateway.gone_programs import find_gone_programs
from tailflip.observe.gateway.release import judge
from tailflip.observe.records.forms import DATABASE, Form, read_forms
from tailflip.observe.records.integrity import find_damage
from tailflip.reconcile.context import StepKind, begin
from tailflip.reconcile.kinds import TOLD, reconcile_all
from tailflip.report.ahead import tell_unlisted
from tailflip.report.observation import Observation, recall_from
from tailflip.stores.aim import choose_aim, choose_policy
from tailflip.stores.archive_limits import observe_use
from tailflip.stores.compaction import Compaction
from tailflip.stores.litter import observe_folders
from tailflip.stores.look import observe_all
from tailflip.stores.ownership import describe_kept
from tailflip.stores.quick_look import look_quickly

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tailflip.base.progress import Progress
    from tailflip.flow.observed import ObservedStore
    from tailflip.ledger.history import History
    from tailflip.observe.records.forms import Forms
    from tailflip.reconcile.context import Step
    from tailflip.stores.target import Scene


@dataclass(frozen=True)
class Asked:
    """The options that name a gateway, as reconciliation takes them.

    `mistakes` are those in our own settings.
    """

    state_dir: Path | None = None
    profile: str | None = None
    agent: str | None = None
    heap_limit: str | None = None
    mistakes: tuple[str, ...] = ()


def observe_thoroughly(
    scene: Scene, history: History, asked: Asked, on_progress: Progress
) -> Observation:
    """Observe stores, jobs, records and processes; changes nothing.

    Args:
        scene: the installation and the chosen stores.
        history: the gateway's record.
        asked: the user's options that name the gateway.
        on_progress: called while stores are read.

    Raises:
        Usage: the heap limit that was given is no size.
    """
    wait_for_limit, heal = scene.begin_heap_limit(history, asked.heap_limit), scene.config.heal
    installation, workspace = scene.installation, history.workspace
    policy = choose_policy(heal, installation.retention_ms)
    aim = choose_aim(heal, policy, scene.capabilities, salvages=False)
    job = Compaction(scene, aim, workspace, on_progress)
    stores = (*scene.stores, *scene.missing)
    surveyed = observe_all(stores, lambda store: job.measure(store).numbers, scene.now_ms)
    fills, notes_on_fills = _describe_fills(scene, surveyed)
    job.look_at_kept()
    ledger = Ledger(workspace)
    actions = ledger.read_all() if scene.kept else ()
    forms = read_forms(installation)
    limit = wait_for_limit()
    quick = look_quickly(
        installation,
        scene.gateway,
        forms,
        root=workspace.home.root,
        now_ms=scene.now_ms,
        stores=surveyed,
        capabilities=scene.capabilities,
        heap_limit=limit,
    )
    cap = find_entry_cap(installation, scene.capabilities)
    inputs = replace(
        quick,
        surveyed=surveyed,
        entry_caps=() if cap is None else (cap,),
        fills=fills,
        damaged=_find_damaged(scene, surveyed, forms),
        forecast=job.forecast(limit),
        kept=tuple(describe_kept(claim, actions) for claim in scene.kept.values()),
        folders=observe_folders(stores, scene.now_ms),
        gone_programs=find_gone_programs(installation, scene.env),
        archives=observe_use(workspace, scene.config.archive, scene.now_ms),
        mistakes=asked.mistakes or None,
    )
    judged, judged_notes = _judge_jobs(scene, history, asked, forms)
    told = set(forms.describe())  # a finding tells the same
    notes = (
        *installation.notes,
        *_tell_release(scene),
        *notes_on_fills,
        *(note for note in judged_notes if note not in told),
    )
    observation = Observation(
        inputs,
        merge(find_all(inputs), judged),
        ledger.read_half_done(),
        tuple(dict.fromkeys(notes)),
        records=forms.every,
    )
    return recall_from(history, observation)


def _find_damaged(
    scene: Scene, surveyed: Iterable[ObservedStore], forms: Forms
) -> tuple[DamagedDatabase, ...]:
    """Find damaged databases: page by page, unless a gateway may be at work on them."""
    told = {each.path: each for each in forms.damaged}
    for each in surveyed:
        if each.damaged and each.store.is_database:
            found = DamagedDatabase(str(each.store.path), str(each.error))
            told.setdefault(found.path, found)
    if scene.gateway.alive is False:
        installation = scene.installation
        paths = (installation.state_dir / DATABASE, *installation.databases)
        told |= {each.path: each for each in find_damage(p for p in paths if str(p) not in told)}
    return tuple(told.values())


def _describe_fills(
    scene: Scene, surveyed: Iterable[ObservedStore]
) -> tuple[tuple[FilledStore, ...] | None, tuple[str, ...]]:
    """Read what fills the databases that were surveyed; a failure becomes a note."""
    fills, notes = [], []
    for each in surveyed:
        if each.numbers is None:
            continue
        try:
            fill = scene.describe_fill(each.store)
        except TailflipError as e:
            notes.append(f"what fills a database was not looked for: {e.message}")
        else:
            if fill is not None:
                fills.append(FilledStore(each.store.path, fill))
    return (None if notes else tuple(fills)), tuple(notes)


def _tell_release(scene: Scene) -> tuple[str, ...]:
    """Say so if the release is not in the catalogue, and is judged as another one."""
    text = scene.next_start.release.text
    judged = judge(text) if text is not None else None
    told = tell_unlisted(text, judged) if text is not None and judged is not None else None
    return () if told is None else (told,)


def _judge_jobs(
    scene: Scene, history: History, asked: Asked, forms: Forms
) -> tuple[Looked, tuple[str, ...]]:
    """Find what `reconcile` finds; a failure of ours becomes a note.

    Runs of a dead gateway that say "running" are found by the survey of the stores already.
    """
    is_alive = scene.gateway.alive is True
    kinds = (*TOLD, StepKind.TASKS, *((StepKind.ZOMBIES,) if is_alive else ()))
    try:
        work = begin(
            scene.env,
            workspace=history.workspace,
            apply=False,
            on_progress=be_quiet,
            state_dir=scene.installation.state_dir,
            agent=asked.agent,
            config=scene.config,
        )
        result = reconcile_all(work, kinds)
    except TailflipError as e:
        return Looked(), (f"what `reconcile` finds was not looked for: {e.message}",)
    disagreements = find_all(Inputs(disagreements=tuple(_list_disagreements(result.steps, forms))))
    notes = (*result.notes, *(e.message for e in result.errors))
    return merge(result.looked, disagreements), notes


def _list_disagreements(steps: Iterable[Step], forms: Forms) -> Iterator[Disagreement]:
    for step in steps:
        if step.kind is StepKind.TASKS and step.words:
            says = ("is called lost or running", "are called lost or running")
            is_ours = forms.tasks.form is not Form.SQLITE
            yield Disagreement(step.subject, len(step.words), "task", says, is_ours)
        elif step.kind is StepKind.ZOMBIES and step.counts:
            says = ('says "running"', 'say "running"')
            yield Disagreement(step.subject, sum(step.counts.values()), "entry", says)
