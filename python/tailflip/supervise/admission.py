"""Judges whether the gateway may start, and heals its stores before the start where it can.

A start is refused on proof or forecast of harm: a store that the gateway would take
for empty and overwrite, or one that its heap cannot hold. After a failure of our own (a ledger
that cannot be written, another tailflip at work) a healthy gateway starts all the same.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from tailflip.base.errors import CannotCreate, StoreInvalid, TailflipError, TryLater
from tailflip.base.progress import be_quiet
from tailflip.base.units import format_bytes
from tailflip.flow.late import dataclass
from tailflip.flow.lives import Waiting
from tailflip.flow.values import STRING_LIMIT_CHARS
from tailflip.plan.forecast import may_fill_heap
from tailflip.stores.aim import choose_aim, choose_policy
from tailflip.stores.compaction import Compaction
from tailflip.stores.target import look
from tailflip.stores.unfinished import is_unfinished

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tailflip.base.progress import Progress
    from tailflip.base.workspace import Workspace
    from tailflip.config.schema import HealSettings
    from tailflip.flow.capabilities import Capabilities
    from tailflip.flow.numbers import Measured, SurveyNumbers
    from tailflip.flow.observed import Store
    from tailflip.flow.outcomes import Forecast, HeapLimit, Report
    from tailflip.stores.compaction import Damage
    from tailflip.stores.target import Scene

_CLAIM_PATIENCE_S = 30.0
_SHOWN_KINDS = 3
_IN_MAINTENANCE = (
    "a maintenance is on, so nothing was healed: `tailflip maintenance off`, and the next start "
    "heals it; or `tailflip compact --apply` does it now"
)


@dataclass
class Admission:
    """The answer: `go`, or a reason and what must change. `reports` are of actions done.

    `stores_may_kill` is False where the stores are too small to have filled the heap.
    `claim_running` counts the "running" entries of stores that were not compacted. `surveyed` are
    the numbers of all stores by agent; empty where one was changed. `held` counts jobs and sessions
    that were in flight at every death and are held now. `mended` are the actions that made ledgers
    agree.
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
    surveyed: dict[str, list[SurveyNumbers]] = field(default_factory=dict)
    held: int = 0
    mended: tuple[str, ...] = ()

    @property
    def actions(self) -> tuple[str, ...]:
        """List the actions on stores and ledgers; each can be undone."""
        return (*(each.action_id for each in self.reports if each.action_id), *self.mended)

    @property
    def cured(self) -> bool:
        """Say whether a store was made smaller or whole, or what kills is held."""
        return self.held > 0 or any(report.action_id for report in self.reports)

    def refuse(self, error: TailflipError) -> None:
        """Turn the answer into a refusal; the first reason stays."""
        if self.go:
            self.go, self.reason, self.hint = False, error.message, error.hint
            self.exit_code, self.waiting = error.exit_code, Waiting.CURE


@dataclass(frozen=True)
class Start:
    """The start to judge: installation, release, memory, and the limits of healing.

    `died_of_memory` counts deaths in a row. The forecast said "fits" and was wrong, so stores
    that may have filled the heap are compacted all the same, and further each time. `is_in_doubt`:
    nobody knows that the last start went well, so events are looked at too. `hands_off`: nothing is
    changed, and only what would destroy data is refused.
    """

    env: Mapping[str, str]
    capabilities: Capabilities
    limit: HeapLimit
    heal: HealSettings
    state_dir: Path | None = None
    profile: str | None = None
    died_of_memory: int = 0
    is_in_doubt: bool = True
    hands_off: bool = False


def admit(
    start: Start,
    *,
    workspace: Workspace,
    on_progress: Progress | None = None,
) -> Admission:
    """Look at the stores that the gateway will load, heal them, and say whether it may start.

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
        work = _Work(start, found, _begin(scene, start, workspace, on_progress or be_quiet))
        _look_only(work) if start.hands_off else _heal(work)
    except (TailflipError, OSError) as e:
        # An error of ours, not of the gateway's: faults of a store were dealt with below.
        found.notes.append(f"not looked at in full: {e}")
    return found


def foresee(start: Start, workspace: Workspace) -> Forecast:
    """Predict the heap that the stores take as they lie; nothing is written.

    Raises:
        TailflipError: the stores cannot be looked at.
    """
    scene = look(start.env, state_dir=start.state_dir, profile=start.profile)
    compaction = _begin(scene, start, workspace, be_quiet)
    compaction.look()
    return compaction.plan(start.limit).before


@dataclass
class _Work:
    """One admission in progress; `failed` are the reasons why a store could not be made smaller."""

    start: Start
    found: Admission
    compaction: Compaction
    failed: list[TailflipError] = field(default_factory=list)

    @property
    def may_salvage(self) -> bool:
        heal = self.start.heal
        return heal.enabled and heal.salvage and not self.start.hands_off


def _begin(scene: Scene, start: Start, workspace: Workspace, on_progress: Progress) -> Compaction:
    policy = choose_policy(start.heal, scene.installation.retention_ms)
    aim = choose_aim(start.heal, policy, start.capabilities, died_of_memory=start.died_of_memory)
    return Compaction(scene, aim, workspace, on_progress, _CLAIM_PATIENCE_S)


def _heal(work: _Work) -> None:
    found, heal, compaction = work.found, work.start.heal, work.compaction
    found.reports = compaction.reports
    if is_unfinished(compaction.workspace):
        from tailflip.stores.recovery import recover  # noqa: PLC0415 - most starts need none

        found.notes += recover(compaction.workspace)
    compaction.look()
    _make_whole(work)
    if not found.go:
        return
    _repair(work)
    plan = compaction.plan(work.start.limit)
    found.before = found.after = plan.before
    is_tight = heal.admission and not plan.before.fits
    may_kill = may_fill_heap(plan.before, work.start.limit.bytes)
    found.stores_may_kill = is_tight or may_kill
    again = work.start.died_of_memory > 0 and heal.after_oom and found.stores_may_kill
    # Before its gateway deletes what is oldest, we take out what matters least, and keep it.
    spills = heal.admission and plan.spills
    is_needed = again or is_tight or spills or any(_list_too_long(compaction))
    if heal.enabled and is_needed:
        compaction.execute(plan)
        for store in plan.surveyed:
            if (error := compaction.errors.get(store)) is not None:
                found.notes.append(f"could not be compacted: {error}")
                work.failed.append(error)
        found.after = compaction.forecast_now(plan)
        if plan.pressure:
            found.notes.append(f"beyond hygiene: {', '.join(plan.pressure)}")
    if not found.reports:
        jobs = (job for each in compaction.measured.values() for job in each.numbers.jobs)
        found.claim_running = sum(job.status.get("running", 0) for job in jobs)
        for store, each in compaction.measured.items():
            found.surveyed.setdefault(store.agent_id or "", []).append(each.numbers)
    _judge(work, found.after)


def _look_only(work: _Work) -> None:
    """Refuse a start that would destroy a store; whether it fits the heap is a person's matter."""
    if is_unfinished(work.compaction.workspace):
        from tailflip.stores.recovery import recover  # noqa: PLC0415 - as above

        work.found.notes += recover(work.compaction.workspace)
    work.compaction.look()
    _make_whole(work)
    for store, size in _list_too_long(work.compaction):
        work.found.refuse(StoreInvalid(_describe_too_long(store, size), hint=_IN_MAINTENANCE))


def _make_whole(work: _Work) -> None:
    """Salvage broken or rotated stores, or forbid the start; note the stores left alone."""
    found, compaction = work.found, work.compaction
    kept = compaction.scene.kept
    found.notes += [claim.to_error().message for claim in kept.values()]
    for store, error in list(compaction.errors.items()):
        if isinstance(error, TryLater) or store.is_database:
            # A gateway finds a damaged database itself, and overwrites none.
            found.notes.append(f"not looked at: {error}")
        elif store in compaction.damaged and work.may_salvage:
            _salvage(work, store, compaction.damaged[store])
        else:
            # The gateway takes a store that we cannot read for empty, and overwrites it.
            found.refuse(error)
    for store, damage in compaction.damaged.items():
        if damage.broken is None:
            _bring_back(work, store, damage)
    for store, error in compaction.fixed.items():
        if store not in kept:
            found.notes.append(error.message)
            work.failed.append(error)


def _repair(work: _Work) -> None:
    """Take what stops the gateway out of its databases; note what could not be done."""
    compaction, notes = work.compaction, work.found.notes
    known = set(compaction.errors)
    compaction.look_for_repairs(reads_events=work.start.is_in_doubt, gives_back=False)
    notes += [
        f"not looked at in full: {error}"
        for store, error in compaction.errors.items()
        if store not in known
    ]
    if not compaction.repairs:
        return
    from tailflip.base.render import format_rules  # noqa: PLC0415 - few starts need it

    for store, found in compaction.repairs.items():
        if not work.may_salvage:
            told = "heal.enabled or heal.salvage = false leaves it"
        else:
            try:
                compaction.repair(store)
            except TailflipError as e:
                told = f"not set right: {e}"
            else:
                told = "set right, and what went is in the archive"
        notes.append(f"{store.path}: its gateway may not start on it: {told}")
        notes += format_rules(found.numbers.rules).splitlines()


def _salvage(work: _Work, store: Store, damage: Damage) -> None:
    """Replace a broken store by its proven part, or refuse the start."""
    broken = work.compaction.errors[store].message
    try:
        if damage.plan is None:
            raise damage.problem or work.compaction.errors[store]
        work.compaction.salvage(store)
    except TailflipError as e:
        work.found.refuse(StoreInvalid(f"{broken}; {e.message}", hint=e.hint))
        return
    work.found.notes.append(f"{broken}: set aside whole, and salvaged: {damage.plan.describe()}")


def _bring_back(work: _Work, store: Store, damage: Damage) -> None:
    """Bring back a store that is gone beside its backups: rotated, and not written again."""
    plan, notes = damage.plan, work.found.notes
    if plan is None or not plan.best.entries:
        return
    if plan.doubt is not None:
        notes.append(f"store is missing: {store.path}; {plan.doubt}")
        return
    if not work.may_salvage:
        told = f"store is missing, {plan.best.path.name} holds one: {store.path}"
        notes.append(told)
        if work.start.hands_off:
            work.found.refuse(StoreInvalid(told, hint=_IN_MAINTENANCE))
        return
    work.compaction.salvage(store)
    notes.append(f"store was missing, brought back from {plan.best.path.name}")


def _judge(work: _Work, forecast: Forecast) -> None:
    """Refuse a start that is expected to end in death or in the loss of a store."""
    compaction, limit = work.compaction, work.start.limit.bytes
    for store, size in _list_too_long(compaction):
        work.found.refuse(
            _blame(
                work,
                _describe_too_long(store, size),
                "nothing more may go",
                "see `tailflip inspect`; name what may go with `tailflip compact "
                "--drop-key KEY --apply`",
            )
        )
    if limit is None or not work.start.heal.admission or not forecast.over:
        return
    needs = format_bytes(forecast.heap_bytes)
    doubt = forecast.doubt or "what other rows than runs take was not measured"
    if not forecast.measured or compaction.use is not None:
        # The gateway may need far less heap: 2026.7.35 loads a store that kills 2026.4.14, and what
        # rows of chats take in a database was not measured.
        work.found.notes.append(
            f"loading the stores may need {needs} of heap, the gateway has "
            f"{format_bytes(limit)}; {doubt}, so it is started"
        )
        return
    measured = compaction.measured
    filling = ", ".join(f"{format_bytes(size)} {name}" for name, size in _list_kinds(measured))
    work.found.refuse(
        _blame(
            work,
            f"loading the stores needs about {needs} of heap, the gateway has "
            f"{format_bytes(limit)} ({work.start.limit.source})",
            f"nothing more may go; before, they held: {filling}",
            "give the gateway more heap (NODE_OPTIONS=--max-old-space-size=MB), or name "
            "what may go with `tailflip compact --drop-key KEY --apply`; with heal.admission = "
            "false it is started all the same",
        )
    )


def _describe_too_long(store: Store, size_bytes: int) -> str:
    size = format_bytes(size_bytes)
    return f"the gateway cannot read a store of {size} and would overwrite it: {store.path}"


def _list_too_long(compaction: Compaction) -> Iterator[tuple[Store, int]]:
    """List files that are longer than a string of node's may be; a database is none."""
    for store, size_bytes in compaction.list_sizes_now().items():
        if not store.is_database and size_bytes > STRING_LIMIT_CHARS:
            yield store, size_bytes


def _blame(work: _Work, what: str, otherwise: str, hint: str) -> TailflipError:
    """Explain a refusal: the error that stopped a compaction, else that no entry may go."""
    if not work.start.heal.enabled:
        return StoreInvalid(f"{what}, and heal.enabled = false leaves them as they are", hint=hint)
    if not work.failed:
        return StoreInvalid(f"{what}, and {otherwise}", hint=hint)
    first = work.failed[0]
    return type(first)(f"{what}, and cannot be made smaller: {first.message}", hint=first.hint)


def _list_kinds(surveyed: Mapping[Store, Measured]) -> list[tuple[str, int]]:
    sums: dict[str, int] = {}
    for each in surveyed.values():
        for tally in each.numbers.kinds:
            sums[tally.name] = sums.get(tally.name, 0) + tally.bytes
    return sorted(sums.items(), key=lambda pair: -pair[1])[:_SHOWN_KINDS]
