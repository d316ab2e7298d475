"""The thorough observation, which `check` takes: every store is read, every job judged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tailflip.base.errors import TailflipError
from tailflip.base.progress import be_quiet
from tailflip.diagnose.findings.registry import find_all, merge
from tailflip.flow.findings import Looked
from tailflip.ledger.actions import Ledger
from tailflip.observe.records.forms import read_forms
from tailflip.plan.forecast import factor_for, forecast, has_databases, is_measured
from tailflip.plan.policy import Policy
from tailflip.reconcile.context import begin
from tailflip.reconcile.kinds import TOLD, reconcile_all
from tailflip.report.observation import Observation, recall_from
from tailflip.stores.json.litter import observe_folders
from tailflip.stores.json.look import observe_all
from tailflip.stores.ownership import describe_kept
from tailflip.stores.quick_look import look_quickly

if TYPE_CHECKING:
    from pathlib import Path

    from tailflip.base.progress import Progress
    from tailflip.flow.numbers import SurveyNumbers
    from tailflip.flow.observed import ObservedStore, Store
    from tailflip.flow.outcomes import Forecast
    from tailflip.ledger.history import History
    from tailflip.stores.target import Scene


@dataclass(frozen=True)
class Asked:
    """Which gateway was asked about, as the reconciliation takes it."""

    state_dir: Path | None = None
    profile: str | None = None
    agent: str | None = None
    heap_limit: str | None = None


def observe_thoroughly(
    scene: Scene, history: History, asked: Asked, on_progress: Progress
) -> Observation:
    """Observe everything there is to see; changes nothing.

    Args:
        scene: which installation and which of its stores.
        history: the gateway's record.
        asked: what the user said of it.
        on_progress: told while stores are read.

    Raises:
        Usage: the heap limit that was given is no size.
    """
    limit = scene.find_heap_limit(asked.heap_limit)
    stores = (*scene.stores, *scene.missing)
    surveyed = _survey(scene, stores, on_progress)
    ledger = Ledger(history.home, history.disk)
    actions = ledger.read_all() if scene.kept else ()
    quick = look_quickly(
        scene.installation,
        scene.gateway,
        root=history.home.root,
        now_ms=scene.now_ms,
        stores=stores,
    )
    inputs = replace(
        quick,
        stores=surveyed,
        surveyed=surveyed,
        forecast=_predict(scene, surveyed, *limit),
        kept=tuple(describe_kept(claim, actions) for claim in scene.kept.values()),
        folders=observe_folders(stores, scene.now_ms),
    )
    judged, judged_notes = _judge_jobs(scene, history, asked)
    notes = (
        *scene.installation.notes,
        *read_forms(scene.installation).describe(),
        *judged_notes,
    )
    observation = Observation(
        inputs,
        merge(find_all(inputs), judged),
        ledger.read_half_done(),
        tuple(dict.fromkeys(notes)),
    )
    return recall_from(history, observation)


def _survey(
    scene: Scene, stores: tuple[Store, ...], on_progress: Progress
) -> tuple[ObservedStore, ...]:
    policy = Policy(retention_ms=scene.installation.retention_ms)

    def measure(store: Store) -> SurveyNumbers:
        evidence = scene.read_evidence(store, frozenset())
        return scene.survey(store, policy, evidence, on_progress).numbers

    return observe_all(stores, measure, scene.now_ms)


def _predict(
    scene: Scene, surveyed: tuple[ObservedStore, ...], limit_bytes: int | None, source: str
) -> Forecast:
    version = scene.find_version()
    return forecast(
        [*(each.size_bytes or 0 for each in surveyed), scene.others_bytes],
        any(each.numbers.wide for each in surveyed if each.numbers is not None),
        limit_bytes,
        source,
        *factor_for(version, legacy_import=has_databases(version)),
        measured=is_measured(version),
    )


def _judge_jobs(scene: Scene, history: History, asked: Asked) -> tuple[Looked, tuple[str, ...]]:
    """Find what `reconcile` only tells of: storms, stuck jobs, growth. Our failure is a note."""
    try:
        work = begin(
            scene.env,
            home=history.home,
            disk=history.disk,
            apply=False,
            on_progress=be_quiet,
            state_dir=asked.state_dir,
            profile=asked.profile,
            agent=asked.agent,
        )
        result = reconcile_all(work, TOLD)
    except TailflipError as e:
        return Looked(), (f"storms, stuck jobs and growth were not looked for: {e.message}",)
    return result.looked, (*result.notes, *(e.message for e in result.errors))
