"""Chooses how far a compaction goes: hygiene first, then pressure until the forecast fits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from tailflip.flow.late import dataclass
from tailflip.flow.limits import MAX_CAP_TOTAL
from tailflip.flow.numbers import Measured
from tailflip.flow.values import STRING_LIMIT_CHARS
from tailflip.plan.forecast import forecast, may_fill_heap
from tailflip.plan.policy import PRESSURE_LADDER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tailflip.flow.capabilities import Capabilities, EntryCap, HeapUse
    from tailflip.flow.observed import Store
    from tailflip.flow.outcomes import Forecast, HeapLimit
    from tailflip.plan.policy import Policy, Pressure

_Surveyed = TypeVar("_Surveyed", bound=Measured)


@dataclass(frozen=True)
class Plan(Generic[_Surveyed]):
    """The plan of one compaction of these stores, as `surveyed` under `policy`.

    `pressure` names the steps beyond hygiene that the forecast asked for. `fits` is
    False when all steps together leave too much: protected entries alone exceed the limit.
    `spills`: a store has so many entries that its gateway will delete some.
    """

    policy: Policy
    surveyed: Mapping[Store, _Surveyed]
    before: Forecast
    after: Forecast
    pressure: tuple[str, ...]
    fits: bool
    spills: bool = False


def plan_stores(
    stores: Sequence[Store],
    policy: Policy,
    measure: Callable[[Store, Policy], _Surveyed],
    *,
    capabilities: Capabilities,
    limit: HeapLimit,
    others_bytes: int = 0,
    others_wide: bool = False,
    use: HeapUse | None = None,
    entry_cap: EntryCap | None = None,
    ladder: Sequence[Pressure] = PRESSURE_LADDER,
    at_least: int = 0,
    heeds_forecast: bool = True,
) -> Plan[_Surveyed]:
    """Choose the mildest policy under which the gateway can load its stores.

    Args:
        stores: those that will be compacted; one heap holds them all.
        policy: hygiene, with what the user asked for.
        measure: surveys a store under a policy; called once a store and step.
        capabilities: of the release that will load them.
        limit: the gateway's heap.
        others_bytes: size of stores that the gateway loads but that are left alone.
        others_wide: one of those holds text outside Latin-1.
        use: the heap that they take, where they are databases.
        entry_cap: what the gateway keeps of a store; it deletes the oldest beyond, chats too.
        ladder: what may be done beyond hygiene.
        at_least: number of steps to take although the forecast fits, as long as the forecast may
            be wrong: it was wrong before.
        heeds_forecast: False: it is enough that node can read the stores.
    """
    surveyed = {store: measure(store, policy) for store in stores}
    wide = others_wide or any(each.numbers.wide for each in surveyed.values())
    room_bytes = None if limit.bytes is None else int(limit.bytes * limit.margin)

    def predict(sizes_bytes: list[int]) -> Forecast:
        sizes = [*sizes_bytes, others_bytes]
        return forecast(sizes, capabilities, limit, wide=wide, use=use)

    def list_sizes_after() -> list[int]:
        return [each.numbers.loaded_bytes_after for each in surveyed.values()]

    def is_enough() -> bool:
        sizes_bytes = list_sizes_after()
        is_readable = use is not None or all(n <= STRING_LIMIT_CHARS for n in sizes_bytes)
        return is_readable and (not heeds_forecast or predict(sizes_bytes).fits)

    def is_surely_enough() -> bool:
        told = predict(list_sizes_after())
        return not heeds_forecast or room_bytes is None or not may_fill_heap(told, room_bytes)

    spills = entry_cap is not None and any(
        each.numbers.entries >= entry_cap.high_water for each in surveyed.values()
    )
    before = predict([each.numbers.loaded_bytes for each in surveyed.values()])
    taken: list[str] = []
    for step in ladder:
        if is_enough() and (len(taken) >= at_least or is_surely_enough()):
            break
        tighter = step.apply(policy)
        if tighter == policy:
            continue
        policy = tighter
        taken.append(step.name)
        surveyed = {store: measure(store, policy) for store in stores}
    if entry_cap is not None:
        roomy = _keep_below(entry_cap, policy, measure, surveyed)
        if roomy != policy:
            policy = roomy
            taken.append(
                f"at most {policy.cap_total:,} runs in all (OpenClaw keeps the newest "
                f"{entry_cap.kept:,} entries of a store, and deletes the others, chats too)"
            )
            surveyed = {store: measure(store, policy) for store in stores}
    after = predict(list_sizes_after())
    return Plan(policy, surveyed, before, after, tuple(taken), is_enough(), spills)


def _keep_below(
    entry_cap: EntryCap,
    policy: Policy,
    measure: Callable[[Store, Policy], _Surveyed],
    surveyed: Mapping[Store, _Surveyed],
) -> Policy:
    """Keep so few runs that each store has no more entries than its gateway keeps.

    What protects itself counts first; where that alone is too much, one run stays.
    """
    one = policy.model_copy(update={"cap_total": 1})
    runs = []
    for store, each in surveyed.items():
        entries = each.numbers.entries_after
        if entries >= entry_cap.high_water:
            least = measure(store, one).numbers.entries_after
            if least < entries:  # else there is no run that may go
                runs.append(max(1, entry_cap.kept - (least - 1)))
    if not runs:
        return policy
    most_runs = min(*runs, policy.cap_total or MAX_CAP_TOTAL, MAX_CAP_TOTAL)
    return policy.model_copy(update={"cap_total": most_runs})
