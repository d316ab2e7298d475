"""Measures each store, records its size, and warns before the size hurts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tailflip.flow.observed import Evidence
from tailflip.flow.values import STRING_LIMIT_CHARS
from tailflip.observe.records.reading import read_jobs
from tailflip.plan.forecast import find_largest_size
from tailflip.plan.policy import Policy
from tailflip.reconcile.judge import growth
from tailflip.reconcile.steps.room import look_at_room

if TYPE_CHECKING:
    from tailflip.flow.conditions import StoreGrowth
    from tailflip.flow.observed import Store
    from tailflip.reconcile.context import Reconciliation

_TOUCH_NOTHING = Policy(
    slim=False, retire=False, retention_ms=None, max_lifetime_ms=None, single_flight=False
)


def look_at_growth(work: Reconciliation) -> None:
    """Measure each store, and name the day on which its size will hurt; the disks too."""
    look_at_room(work)
    scene, history = work.scene, work.history
    names = {job.job_id: job.title for job in read_jobs(scene.installation).jobs}
    growing: list[StoreGrowth] = []
    for store in scene.stores:
        with work.result.keeping_error():
            surveyed = scene.survey(
                store, _TOUCH_NOTHING, Evidence(scene.gateway), work.on_progress
            )
            fact = f"growth {store.path}"
            point = growth.measure(surveyed.numbers, scene.now_ms)
            points = growth.add_point(growth.from_fact(history.facts.get(fact)), point)
            if work.terms.apply:
                work.workspace.create()
                history.facts.put(fact, growth.to_fact(points))
            found = growth.find_growth(points)
            if found is not None:
                told = growth.judge_growth(
                    str(store.path),
                    found,
                    point.bytes,
                    hurts_at_bytes=_find_size_that_hurts(
                        work, store, point.bytes, wide=surveyed.numbers.wide
                    ),
                    now_ms=scene.now_ms,
                    names=names,
                )
                growing += [told] if told is not None else []
    work.result.inputs = replace(work.result.inputs, growth=tuple(growing))


def _find_size_that_hurts(work: Reconciliation, store: Store, own_bytes: int, *, wide: bool) -> int:
    """Find the size up to which one store may grow while the others stay as they are."""
    limit_bytes = work.scene.find_heap_limit(work.history).bytes
    if limit_bytes is None:
        return STRING_LIMIT_CHARS
    if store.is_database:
        use = work.terms.capabilities.database_heap
        return find_largest_size(work.terms.capabilities, limit_bytes, wide=False, use=use)
    stores = (store.path for store in work.scene.installation.stores)
    others = sum(path.stat().st_size for path in stores if path.is_file()) - own_bytes
    fits = find_largest_size(work.terms.capabilities, limit_bytes, wide=wide) - others
    return min(STRING_LIMIT_CHARS, max(0, fits))
