"""One compaction, whoever asks for it: survey, salvage, repair, plan, show, execute.

The gate before a start, `compact` by hand, `check`, `inspect` and `reconcile` look at the same
stores in the same way and plan from the same figures. They differ in what they may do.
"""

from __future__ import annotations

import os
from dataclasses import field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from tailflip.base import clock
from tailflip.base.errors import StoreInvalid, TailflipError, TryLater
from tailflip.base.progress import be_quiet
from tailflip.flow.late import dataclass
from tailflip.ledger.lives import Lives, find_deaths
from tailflip.observe.entry_cap import find_entry_cap
from tailflip.plan.forecast import forecast
from tailflip.plan.planner import plan_stores
from tailflip.stores.formats import find_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tailflip.base.progress import Progress
    from tailflip.base.workspace import Workspace
    from tailflip.flow.capabilities import HeapUse
    from tailflip.flow.numbers import Measured
    from tailflip.flow.observed import Evidence, Store
    from tailflip.flow.outcomes import Forecast, HeapLimit, Report
    from tailflip.plan.planner import Plan
    from tailflip.plan.policy import Policy
    from tailflip.stores.aim import Aim
    from tailflip.stores.candidates import SalvagePlan
    from tailflip.stores.target import Scene

_CLAIM_PAUSE_S = 0.2


@dataclass(frozen=True)
class Damage:
    """A broken store, or one that is gone beside backups, and the plan to salvage it.

    `broken` is None where the file is missing. `plan` is None where nothing can be salvaged;
    `problem` then says why.
    """

    broken: StoreInvalid | None
    plan: SalvagePlan | None
    problem: TailflipError | None = None


@dataclass
class Compaction:
    """One look at the stores of an installation, and their compaction.

    `measured` are all stores that the gateway will load and that could be read; of these `fixed`
    are left as they are, for the reason that is told. `damaged` are to be salvaged first.
    `repairs` is what stores need whatever the policy, once that was looked for. `errors` are of
    stores that could not be read, or that failed.
    """

    scene: Scene
    aim: Aim
    workspace: Workspace
    on_progress: Progress = be_quiet
    patience_s: float = 0.0  # how long to wait for another tailflip at work
    measured: dict[Store, Measured] = field(default_factory=dict)
    fixed: dict[Store, TailflipError] = field(default_factory=dict)
    damaged: dict[Store, Damage] = field(default_factory=dict)
    repairs: dict[Store, Measured] = field(default_factory=dict)
    errors: dict[Store, TailflipError] = field(default_factory=dict)
    evidence: dict[Store, Evidence] = field(default_factory=dict)
    reports: list[Report] = field(default_factory=list)

    @cached_property
    def deaths(self) -> tuple[tuple[int, int], ...]:
        """Start and end of the gateways whose death is in our ledger; a run ended with its own."""
        guard = os.path.realpath(self.scene.installation.state_dir)
        try:
            return find_deaths(Lives(self.workspace, guard).read())
        except TailflipError:
            return ()

    def look(self) -> None:
        """Survey every store of the scene; look for candidates of those that are broken or gone."""
        for store in self.scene.stores:
            try:
                self.measure(store)
            except StoreInvalid as e:
                self.errors[store] = e
                if self.aim.salvages and _may_be_salvaged(store):
                    self.damaged[store] = self._look_for_salvage(store, e)
            except TailflipError as e:
                self.errors[store] = e
        self.look_at_kept()
        if self.aim.salvages:
            for store in self.scene.missing:
                found = self._look_for_salvage(store, None)
                if found.plan is not None:
                    self.damaged[store] = found

    def look_at_kept(self) -> None:
        """Count stores that are not ours to write but that this release loads all the same.

        One of the JSON era does, after a downgrade or beside a state database that cannot be read.
        """
        if not self.aim.capabilities.loads_stores:
            return
        for store, claim in self.scene.kept.items():
            try:
                self.measured[store] = self.survey(store, self.aim.policy)
            except TailflipError as e:
                self.errors[store] = e
            else:
                self.fixed[store] = claim.to_error()

    def look_for_repairs(self, *, reads_events: bool, gives_back: bool) -> None:
        """Look for what the stores need whatever the policy, as `Engine.find_repairs`."""
        for store in [each for each in self.measured if each not in self.fixed]:
            engine = find_engine(store.path)
            try:
                found = engine.find_repairs(
                    store.path, self.scene.now_ms, reads_events=reads_events, gives_back=gives_back
                )
            except TailflipError as e:
                self.errors[store] = e
            else:
                if found is not None:
                    self.repairs[store] = found

    def measure(self, store: Store) -> Measured:
        """Survey a store that the gateway will load.

        Raises:
            StoreInvalid: it is none.
        """
        found = self.survey(store, self.aim.policy)
        self.measured[store] = found
        # The gateway reads it, and takes the last of two entries; we cannot rewrite it.
        for refusal in find_engine(store.path).refuse(store.path, found):
            self.fixed[store] = refusal
        return found

    def survey(self, store: Store, policy: Policy) -> Measured:
        """Measure a store under a policy; evidence is gathered once for each store."""
        if store not in self.evidence:
            self.evidence[store] = self.scene.read_evidence(
                store, self.aim.dropped_keys, self.deaths
            )
        return self.scene.survey(store, policy, self.evidence[store], self.on_progress)

    def forecast(self, limit: HeapLimit) -> Forecast:
        """Predict the heap that the stores take as they are."""
        return forecast(
            [
                *(each.numbers.loaded_bytes for each in self.measured.values()),
                self.scene.others_bytes,
            ],
            self.aim.capabilities,
            limit,
            wide=any(each.numbers.wide for each in self.measured.values()),
            use=self.use,
        )

    @property
    def use(self) -> HeapUse | None:
        """The heap that the stores take, where they are databases; None for files."""
        if any(store.is_database for store in self.measured):
            return self.aim.capabilities.database_heap
        return None

    def plan(self, limit: HeapLimit) -> Plan[Measured]:
        """Choose the mildest policy under which the stores fit; fixed stores count, and stay."""
        fixed = [self.measured[store].numbers for store in self.fixed if store in self.measured]
        aim = self.aim
        return plan_stores(
            [store for store in self.measured if store not in self.fixed],
            aim.policy,
            lambda store, tried: (
                self.measured[store] if tried == aim.policy else self.survey(store, tried)
            ),
            capabilities=aim.capabilities,
            limit=limit,
            others_bytes=sum(numbers.loaded_bytes for numbers in fixed) + self.scene.others_bytes,
            others_wide=any(numbers.wide for numbers in fixed),
            use=self.use,
            entry_cap=find_entry_cap(self.scene.installation, aim.capabilities)
            if aim.makes_room
            else None,
            ladder=aim.ladder,
            at_least=aim.at_least,
            heeds_forecast=aim.heeds_forecast,
        )

    def salvage(self, store: Store) -> Report:
        """Replace a damaged store by what can be read of it, and measure the store again.

        Raises:
            StoreInvalid: nothing can be salvaged, or a person has to decide.
            TryLater: the files are no longer those that were measured.
        """
        from tailflip.stores.salvage import apply_salvage  # noqa: PLC0415 - healthy: none

        found = self.damaged[store]
        if found.plan is None:
            raise found.problem or StoreInvalid(f"nothing can be salvaged: {store.path}")
        plan = found.plan
        report = self._act(
            lambda: apply_salvage(
                plan,
                workspace=self.workspace,
                now_ms=self._next_moment(),
                accept_loss=self.aim.accept_loss,
                gateway=self.scene.gateway,
                on_progress=self.on_progress,
            )
        )
        self.errors.pop(store, None)
        self.measure(store)
        return report

    def repair(self, store: Store) -> Report:
        """Do what a store needs whatever the policy, as it was found, and measure it again.

        Raises:
            TailflipError: it was not done, and the rows are as they were.
        """
        from tailflip.stores.transaction import repair_store  # noqa: PLC0415 - healthy: none

        expected = self.repairs[store]
        report = self._act(
            lambda: repair_store(
                store,
                workspace=self.workspace,
                now_ms=self._next_moment(),
                gateway=self.scene.gateway,
                expected=expected,
                on_progress=self.on_progress,
            )
        )
        self.measure(store)
        return report

    def execute(self, plan: Plan[Measured]) -> None:
        """Compact each store as it was planned; an error of one does not stop the others."""
        for store, surveyed in plan.surveyed.items():
            try:
                self.compact(store, plan.policy, surveyed)
            except TailflipError as e:
                self.errors[store] = e

    def compact(
        self, store: Store, policy: Policy, surveyed: Measured, *, now_ms: int | None = None
    ) -> Report:
        """Compact one store as it was surveyed; `now_ms` names the action."""
        # A healthy start compacts nothing and needs no such import.
        from tailflip.stores.removed_storms import find_in_store, remember  # noqa: PLC0415
        from tailflip.stores.transaction import compact_store  # noqa: PLC0415

        installation = self.scene.installation
        storms = find_in_store(installation, store, self.scene.now_ms)
        report = self._act(
            lambda: compact_store(
                store,
                policy,
                self.evidence[store],
                workspace=self.workspace,
                now_ms=self._next_moment() if now_ms is None else now_ms,
                on_progress=self.on_progress,
                expected=surveyed,
            )
        )
        if report.action_id:
            remember(self.workspace, installation.state_dir, storms)
        return report

    def list_sizes_now(self) -> Mapping[Store, int]:
        """List the present size of each store that the gateway loads."""
        done = {report.store: report.bytes_after for report in self.reports}
        return {
            store: done.get(_name(store), each.numbers.bytes)
            for store, each in self.measured.items()
        }

    def forecast_now(self, plan: Plan[Measured]) -> Forecast:
        """Predict the heap again: a store may have stayed larger than planned."""
        done = {report.store for report in self.reports}
        left = {s: each.numbers for s, each in plan.surveyed.items() if _name(s) not in done}
        if not any(numbers.rules for numbers in left.values()):
            return plan.after
        saved = sum(
            each.numbers.loaded_bytes - each.numbers.loaded_bytes_after
            for s, each in plan.surveyed.items()
            if s not in left
        )
        before = plan.before
        return replace(before, heap_bytes=before.heap_bytes - int(saved * before.factor))

    def _act(self, effect: Callable[[], Report]) -> Report:
        """Call an action on a store; wait for another tailflip that is at work."""
        until = clock.monotonic_s() + self.patience_s
        while True:
            try:
                report = effect()
            except TryLater:
                if clock.monotonic_s() >= until:
                    raise
                clock.sleep_s(_CLAIM_PAUSE_S)
            else:
                if report.action_id:
                    self.reports.append(report)
                return report

    def _next_moment(self) -> int:
        """Return a timestamp unique to the next action of this compaction; ids are made from it."""
        return self.scene.now_ms + len(self.reports)

    def _look_for_salvage(self, store: Store, broken: StoreInvalid | None) -> Damage:
        from tailflip.stores.salvage import plan_salvage  # noqa: PLC0415 - healthy: none

        try:
            plan = plan_salvage(store, self.on_progress, accept_loss=self.aim.accept_loss)
        except (TailflipError, OSError) as e:
            return Damage(broken, None, e if isinstance(e, TailflipError) else None)
        if plan.own is None and not plan.best.entries:
            return Damage(broken, None)
        return Damage(broken, plan)


def _name(store: Store) -> str:
    """Name a store as its report does."""
    return str(store.path.absolute())


def _may_be_salvaged(store: Store) -> bool:
    return store.path.is_file() or not os.path.lexists(store.path)
