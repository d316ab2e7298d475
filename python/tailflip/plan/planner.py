"""How far must a compaction go? Hygiene first, and pressure only as far as the forecast demands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tailflip.flow import STRING_LIMIT_CHARS
from tailflip.plan.forecast import forecast
from tailflip.plan.policy import PRESSURE_LADDER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tailflip.flow import Forecast, Store, SurveyNumbers
    from tailflip.plan.policy import Policy


@dataclass(frozen=True)
class Plan:
    """What one compaction will do to these stores.

    `pressure` names the steps beyond hygiene that the forecast asked for. `fits` is
    False when even all of them leave too much: protected entries alone exceed the limit.
    """

    policy: Policy
    numbers: Mapping[Store, SurveyNumbers]
    before: Forecast
    after: Forecast
    pressure: tuple[str, ...]
    fits: bool


def plan_stores(
    stores: Sequence[Store],
    policy: Policy,
    measure: Callable[[Store, Policy], SurveyNumbers],
    *,
    limit_bytes: int | None,
    source: str,
    others_bytes: int = 0,
) -> Plan:
    """Choose the mildest policy under which the gateway can load its stores.

    Args:
        stores: those that will be compacted; one heap holds them all.
        policy: hygiene, with what the user asked for.
        measure: surveys a store under a policy; called once a store and step.
        limit_bytes: the gateway's heap, None when it is not known.
        source: where the limit is from.
        others_bytes: size of stores that the gateway loads but that are left alone.
    """
    numbers = {store: measure(store, policy) for store in stores}
    wide = any(each.wide for each in numbers.values())

    def predict(sizes_bytes: list[int]) -> Forecast:
        return forecast([*sizes_bytes, others_bytes], wide, limit_bytes, source)

    def is_enough() -> bool:
        readable = all(each.bytes_after <= STRING_LIMIT_CHARS for each in numbers.values())
        return readable and not predict([each.bytes_after for each in numbers.values()]).over

    before = predict([each.bytes for each in numbers.values()])
    taken: list[str] = []
    for step in PRESSURE_LADDER:
        if is_enough():
            break
        tighter = step.apply(policy)
        if tighter == policy:
            continue
        policy = tighter
        taken.append(step.name)
        numbers = {store: measure(store, policy) for store in stores}
    after = predict([each.bytes_after for each in numbers.values()])
    return Plan(policy, numbers, before, after, tuple(taken), is_enough())
