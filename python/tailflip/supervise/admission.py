"""May the gateway start? Looked at before every start, and healed where it can be.

A start is refused only on proof or forecast of harm: a store that the gateway would take
for empty and overwrite, or one that its heap cannot hold. A failure of our own (a ledger
that cannot be written, another tailflip at work) never keeps a healthy gateway down.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from tailflip.base import clock
from tailflip.base.errors import CannotCreate, StoreInvalid, TailflipError, TryLater
from tailflip.base.progress import be_quiet
from tailflip.base.units import format_bytes
from tailflip.flow.lives import Waiting
from tailflip.flow.values import STRING_LIMIT_CHARS
from tailflip.observe.gateway.release import is_external_mode
from tailflip.observe.records.era import has_session_databases
from tailflip.plan.forecast import factor_for, is_measured, may_fill_heap
from tailflip.plan.planner import plan_stores
from tailflip.plan.policy import PRESSURE_LADDER, Policy
from tailflip.stores.preflight import refuse_duplicates
from tailflip.stores.recovery import recover
from tailflip.stores.target import look

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tailflip.base.durable import Disk
    from tailflip.base.progress import Progress
    from tailflip.base.state_dir import Home
    from tailflip.config.schema import HealSettings
    from tailflip.flow.observed import Evidence, Store
    from tailflip.flow.outcomes import Forecast, Report
    from tailflip.observe.gateway.release import Version
    from tailflip.plan.planner import Plan
    from tailflip.stores.json.native import Surveyed
    from tailflip.stores.json.salvage import SalvagePlan
    from tailflip.stores.target import Scene

_CLAIM_PATIENCE_S = 30.0
_CLAIM_PAUSE_S = 0.2
_SHOWN_KINDS = 3


@dataclass
class Admission:
    """The answer: `go`, or why not and what must change. `reports` are what was done.

    `stores_may_kill` is False where the stores are too small to have filled the heap.
    `claim_running` counts runs that say so in stores that were not compacted, `held_jobs`
    jobs that were in flight at every death and will not run again. `mended` are the
    actions that made ledgers agree.
    """

    go: bool = True
    reason: str = "nothing stands against it"
    hint: str | None = None
    exit_code: int = 0
    waiting: Waiting = Waiting.NOTHING
    reports: list[Report] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    before: Forecast | None = None
    after: Forecast | None = None
    stores_may_kill: bool = True
    claim_running: int = 0
    held_jobs: int = 0
    mended: tuple[str, ...] = ()

    @property
    def actions(self) -> tuple[str, ...]:
        """Name what was done to stores and ledgers; each can be undone."""
        return (*(each.action_id for each in self.reports if each.action_id), *self.mended)

    @property
    def cured(self) -> bool:
        """Say whether any store was made smaller or whole, or a job that kills is held."""
        return self.held_jobs > 0 or any(report.action_id for report in self.reports)

    def refuse(self, error: TailflipError) -> None:
        """Turn into a refusal; the first reason stays."""
        if self.go:
            self.go, self.reason, self.hint = False, error.message, error.hint
            self.exit_code, self.waiting = error.exit_code, Waiting.CURE


@dataclass(frozen=True)
class Start:
    """The start that is asked about: whose, of what, with which memory, healed how far.

    `died_of_memory` counts deaths in a row: the forecast said "fits" and was wrong, so stores
    that may have filled the heap are compacted all the same, and further each time.
    """

    env: Mapping[str, str]
    version: Version | None
    limit_bytes: int | None
    limit_source: str
    heal: HealSettings
    state_dir: Path | None = None
    profile: str | None = None
    died_of_memory: int = 0


def admit(
    start: Start,
    *,
    home: Home,
    disk: Disk,
    on_progress: Progress | None = None,
) -> Admission:
    """Look at all that the gateway will load, heal what must be, and say whether it may start.

    Raises:
        ConfigInvalid: OpenClaw's own configuration cannot be read; the gateway says that better.
        Exception: whatever `on_progress` raises, to stop at once; every store is then whole.
    """
    found = Admission()
    try:
        scene = look(start.env, state_dir=start.state_dir, profile=start.profile)
    except CannotCreate:
        found.notes.append("no state directory yet: nothing to look at")
        return found
    if scene.gateway.alive:
        found.notes.append(f"a gateway is running ({scene.gateway.evidence}): nothing was touched")
        return found
    try:
        _heal(_Work(scene, start, home, disk, found, on_progress or be_quiet))
    except (TailflipError, OSError) as e:
        # Ours, and not the gateway's: what is wrong with a store was dealt with below.
        found.notes.append(f"not looked at in full: {e}")
    return found


@dataclass
class _Work:
    """One admission at work."""

    scene: Scene
    start: Start
    home: Home
    disk: Disk
    found: Admission
    on_progress: Progress
    evidence: dict[Store, Evidence] = field(default_factory=dict)
    failed: list[TailflipError] = field(default_factory=list)

    @property
    def policy(self) -> Policy:
        heal = self.start.heal
        return Policy(
            retention_ms=heal.choose_retention_ms(self.scene.installation.retention_ms),
            max_lifetime_ms=heal.max_lifetime_ms,
        )

    @property
    def now_ms(self) -> int:
        """Name the next action: each needs a moment of its own."""
        return self.scene.now_ms + len(self.found.reports)

    def survey(self, store: Store, policy: Policy) -> Surveyed:
        if store not in self.evidence:
            self.evidence[store] = self.scene.read_evidence(store, frozenset())
        return self.scene.survey(store, policy, self.evidence[store], self.on_progress)

    def act(self, effect: Callable[[], Report]) -> None:
        """Do something to a store; wait for another tailflip that is at it."""
        until = clock.monotonic_s() + _CLAIM_PATIENCE_S
        while True:
            try:
                report = effect()
            except TryLater:
                if clock.monotonic_s() > until:
                    raise
                clock.sleep_s(_CLAIM_PAUSE_S)
            else:
                if report.action_id:
                    self.found.reports.append(report)
                return


def _heal(work: _Work) -> None:
    found, heal = work.found, work.start.heal
    found.notes += recover(work.home, work.disk)
    whole = _look_at_all(work)
    if not found.go:
        return
    plan = _plan(work, whole)
    found.before = found.after = plan.before
    found.stores_may_kill = plan.before.over or _may_kill(work, plan.before)
    again = work.start.died_of_memory > 0 and heal.after_oom and found.stores_may_kill
    sizes = {store: each.numbers.bytes for store, each in whole.items()}
    too_long = any(size > STRING_LIMIT_CHARS for size in sizes.values())
    if heal.enabled and (again or plan.before.over or too_long):
        for store, surveyed in plan.surveyed.items():
            try:
                work.act(partial(_compact, work, plan, store, surveyed))
                sizes[store] = surveyed.numbers.bytes_after
            except TailflipError as e:
                found.notes.append(f"could not be compacted: {e}")
                work.failed.append(e)
        found.after = _forecast_after(plan, sizes)
        if plan.pressure:
            found.notes.append(f"beyond hygiene: {', '.join(plan.pressure)}")
    if not found.reports:
        jobs = (job for each in whole.values() for job in each.numbers.jobs)
        found.claim_running = sum(job.status.get("running", 0) for job in jobs)
    _judge(work, found.after, sizes, whole)


def _compact(work: _Work, plan: Plan[Surveyed], store: Store, surveyed: Surveyed) -> Report:
    from tailflip.stores.transaction import compact_store  # noqa: PLC0415 - nor this

    return compact_store(
        store,
        plan.policy,
        work.evidence[store],
        home=work.home,
        disk=work.disk,
        now_ms=work.now_ms,
        on_progress=work.on_progress,
        expected=surveyed,
    )


def _look_at_all(work: _Work) -> dict[Store, Surveyed]:
    """Survey every store; what is broken or was rotated away is salvaged, or forbids the start."""
    whole: dict[Store, Surveyed] = {}
    _tell_kept(work, whole)
    for store in work.scene.stores:
        try:
            whole[store] = _survey_or_salvage(work, store)
        except TryLater as e:
            work.found.notes.append(f"not looked at: {e}")
            continue
        except TailflipError as e:
            # What we cannot read, the gateway takes for empty and overwrites.
            work.found.refuse(e)
            continue
        try:
            refuse_duplicates(whole[store], store.path)
        except StoreInvalid as e:
            # The gateway reads it, the last entry wins; only we cannot rewrite it.
            work.found.notes.append(e.message)
            work.failed.append(e)
            work.evidence.pop(store)
    if work.scene.missing and not has_session_databases(work.scene.installation):
        for store in work.scene.missing:
            _bring_back(work, store)
    return whole


def _tell_kept(work: _Work, whole: dict[Store, Surveyed]) -> None:
    """Leave what a gateway has on record alone, whatever is wrong with it: that keeps nobody down.

    A release that loads it nevertheless (one of the JSON era, after a downgrade or beside a
    state database that cannot be read) still is not let near one that it would overwrite.
    """
    version = work.start.version
    loads = version is not None and not is_external_mode(version)
    for store, claim in work.scene.kept.items():
        work.found.notes.append(claim.to_error().message)
        if not loads:
            continue
        try:
            whole[store] = work.survey(store, work.policy)
        except TryLater as e:
            work.found.notes.append(f"not looked at: {e}")
        except TailflipError as e:
            work.found.refuse(e)
        else:
            work.evidence.pop(store)  # it counts, and is not rewritten


def _survey_or_salvage(work: _Work, store: Store) -> Surveyed:
    try:
        return work.survey(store, work.policy)
    except StoreInvalid as broken:
        if not (work.start.heal.enabled and work.start.heal.salvage):
            raise
        try:
            plan = _plan_salvage(work, store)
            work.act(partial(_salvage, work, plan))
        except TailflipError as e:
            raise StoreInvalid(f"{broken.message}; {e.message}", hint=e.hint) from e
        work.found.notes.append(
            f"{broken.message}: set aside whole, and salvaged: {plan.describe()}"
        )
        return work.survey(store, work.policy)


def _plan_salvage(work: _Work, store: Store) -> SalvagePlan:
    from tailflip.stores.json.salvage import plan_salvage  # noqa: PLC0415 - a healthy start has none

    return plan_salvage(store, work.on_progress)


def _salvage(work: _Work, plan: SalvagePlan) -> Report:
    from tailflip.stores.json.salvage import apply_salvage  # noqa: PLC0415 - a healthy start has none

    return apply_salvage(
        plan, home=work.home, disk=work.disk, now_ms=work.now_ms, gateway=work.scene.gateway
    )


def _bring_back(work: _Work, store: Store) -> None:
    """A store that is gone beside backups of it: rotated away, and never written again."""
    try:
        plan = _plan_salvage(work, store)
    except (StoreInvalid, OSError):
        return
    if not plan.best.entries:
        return
    if plan.doubt is not None:
        work.found.notes.append(f"store is missing: {store.path}; {plan.doubt}")
        return
    if not (work.start.heal.enabled and work.start.heal.salvage):
        work.found.notes.append(f"store is missing, {plan.best.path.name} holds one: {store.path}")
        return
    work.act(partial(_salvage, work, plan))
    work.found.notes.append(f"store was missing, brought back from {plan.best.path.name}")


def _appetite(work: _Work) -> tuple[float, int]:
    version = work.start.version
    return factor_for(version, legacy_import=is_external_mode(version))


def _may_kill(work: _Work, told: Forecast) -> bool:
    """Say whether the stores may have filled the heap; a small one never did."""
    return may_fill_heap(told, _appetite(work)[1], work.start.limit_bytes)


def _plan(work: _Work, whole: Mapping[Store, Surveyed]) -> Plan[Surveyed]:
    """Plan within the margin; what cannot be rewritten counts, and is left alone.

    What loses something needs a reason: figures of this very release, or a death.
    """
    can_shrink = [store for store in whole if store in work.evidence]
    others = sum(s.numbers.bytes for store, s in whole.items() if store not in can_shrink)
    limit = work.start.limit_bytes
    heal = work.start.heal
    measured = is_measured(work.start.version)
    factor, base_bytes = _appetite(work)
    policy, died = work.policy, work.start.died_of_memory
    return plan_stores(
        can_shrink,
        policy,
        lambda store, tried: whole[store] if tried == policy else work.survey(store, tried),
        limit_bytes=int(limit * heal.margin) if limit is not None and heal.admission else None,
        source=f"{work.start.limit_source}, {heal.margin:.0%} of it",
        others_bytes=others,
        factor=factor,
        base_bytes=base_bytes,
        measured=measured,
        ladder=PRESSURE_LADDER if heal.pressure and (measured or died) else (),
        at_least=max(0, died - 1),
    )


def _judge(
    work: _Work,
    forecast: Forecast | None,
    sizes: Mapping[Store, int],
    surveyed: Mapping[Store, Surveyed],
) -> None:
    """Refuse a start that is expected to end in death or in the loss of a store."""
    for store, size in sizes.items():
        if size > STRING_LIMIT_CHARS:
            work.found.refuse(
                _blame(
                    work,
                    f"the gateway cannot read a store of {format_bytes(size)} and would "
                    f"overwrite it: {store.path}",
                    "nothing more may go",
                    "see `tailflip inspect`; name what may go with `tailflip compact "
                    "--drop-key KEY --apply`",
                )
            )
    limit = work.start.limit_bytes
    if (
        forecast is None
        or limit is None
        or not work.start.heal.admission
        or forecast.heap_bytes <= limit
    ):
        return
    if not forecast.measured:
        # The gateway may take far less: 2026.7.35 does, of what kills 2026.4.14.
        work.found.notes.append(
            f"loading the stores may need {format_bytes(forecast.heap_bytes)} of heap, the "
            f"gateway has {format_bytes(limit)}; this was not measured for this release, "
            "so it is started"
        )
        return
    filling = ", ".join(f"{format_bytes(size)} {name}" for name, size in _list_kinds(surveyed))
    work.found.refuse(
        _blame(
            work,
            f"loading the stores needs about {format_bytes(forecast.heap_bytes)} of heap, the "
            f"gateway has {format_bytes(limit)} ({work.start.limit_source})",
            f"nothing more may go; before, they held: {filling}",
            "give the gateway more heap (NODE_OPTIONS=--max-old-space-size=MB), or name "
            "what may go with `tailflip compact --drop-key KEY --apply`; with heal.admission = "
            "false it is started all the same",
        )
    )


def _blame(work: _Work, what: str, otherwise: str, hint: str) -> TailflipError:
    """Say why a start is refused: what keeps us from compacting, or else that nothing may go."""
    if not work.start.heal.enabled:
        return StoreInvalid(f"{what}, and heal.enabled = false leaves them as they are", hint=hint)
    if not work.failed:
        return StoreInvalid(f"{what}, and {otherwise}", hint=hint)
    first = work.failed[0]
    return type(first)(f"{what}, and cannot be made smaller: {first.message}", hint=first.hint)


def _forecast_after(plan: Plan[Surveyed], sizes: Mapping[Store, int]) -> Forecast:
    """Predict the heap that is needed now; not every store need have become as small as planned."""
    if all(each.numbers.bytes_after == sizes[store] for store, each in plan.surveyed.items()):
        return plan.after
    before = plan.before
    saved = sum(each.numbers.bytes - sizes[store] for store, each in plan.surveyed.items())
    return replace(before, heap_bytes=before.heap_bytes - int(saved * before.factor))


def _list_kinds(surveyed: Mapping[Store, Surveyed]) -> list[tuple[str, int]]:
    sums: dict[str, int] = {}
    for each in surveyed.values():
        for tally in each.numbers.kinds:
            sums[tally.name] = sums.get(tally.name, 0) + tally.bytes
    return sorted(sums.items(), key=lambda pair: -pair[1])[:_SHOWN_KINDS]
