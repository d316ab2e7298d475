"""Predicts what the gateway will need once a store has grown, for who puts entries back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tailflip.base.errors import TailflipError
from tailflip.flow.late import dataclass
from tailflip.stores.aim import choose_aim, choose_policy
from tailflip.stores.compaction import Compaction

if TYPE_CHECKING:
    from tailflip.base.progress import Progress
    from tailflip.flow.observed import Gateway
    from tailflip.flow.outcomes import Forecast
    from tailflip.ledger.history import History
    from tailflip.stores.target import Scene


@dataclass(frozen=True)
class Foreseen:
    """The forecast with the stores as they are, and with one of them grown; the gateway beside it.

    Both forecasts are None where a store cannot be read.
    """

    gateway: Gateway
    before: Forecast | None = None
    after: Forecast | None = None


def foresee(scene: Scene, history: History, grown_bytes: int, on_progress: Progress) -> Foreseen:
    """Predict the heap for a scene's stores, as they are and with so many bytes more.

    Text outside Latin-1 in the bytes that come is not known before they are there; it takes twice
    the heap.
    """
    wait_for_limit = scene.begin_heap_limit(history, None)
    policy = choose_policy(scene.config.heal, scene.installation.retention_ms)
    aim = choose_aim(scene.config.heal, policy, scene.capabilities, salvages=False)
    job = Compaction(scene, aim, history.workspace, on_progress)
    job.look_at_kept()
    try:
        for store in scene.stores:
            job.measure(store)
    except TailflipError:
        return Foreseen(scene.gateway)
    before = job.forecast(wait_for_limit())
    grown = replace(before, heap_bytes=before.heap_bytes + int(grown_bytes * before.factor))
    return Foreseen(scene.gateway, before, grown)
