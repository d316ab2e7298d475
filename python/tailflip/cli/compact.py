"""`tailflip compact`: say what would go and why, or with --apply do it."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from tailflip.base.durable import RealDisk
from tailflip.base.errors import StoreInvalid, TailflipError, Usage
from tailflip.base.openclaw_units import parse_time_option
from tailflip.base.render import (
    escape,
    format_change,
    format_forecast,
    format_gateway,
    format_kinds,
    format_report,
    format_rules,
    format_store,
    format_table,
    to_json,
)
from tailflip.base.state_dir import Home
from tailflip.base.units import format_bytes, format_count, format_counted, format_span, format_time
from tailflip.cli.options import (
    Agent,
    Apply,
    AsJson,
    HeapLimit,
    Profile,
    StateDir,
    StorePaths,
    end_with,
)
from tailflip.cli.progress import show_progress
from tailflip.plan.forecast import factor_for, has_databases, is_measured
from tailflip.plan.planner import plan_stores
from tailflip.plan.policy import DropKind, Policy
from tailflip.stores.json.salvage import SalvagePlan, apply_salvage, hint_to_decide, plan_salvage
from tailflip.stores.preflight import refuse_duplicates
from tailflip.stores.recovery import recover
from tailflip.stores.target import look
from tailflip.stores.transaction import compact_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailflip.base.progress import Progress
    from tailflip.flow.observed import Evidence, Store
    from tailflip.flow.outcomes import Report
    from tailflip.plan.planner import Plan
    from tailflip.stores.json.native import Surveyed
    from tailflip.stores.target import Scene

_SALVAGE_HINT = "--apply sets it aside whole and salvages it; do not start the gateway before"
_ANEW_HINT = "--apply sets it aside whole and begins with an empty store: nothing is in it"


@dataclass
class _Job:
    """One call of the verb: what it works with, what it found, and what went wrong."""

    scene: Scene
    policy: Policy
    dropped_keys: frozenset[str]
    on_progress: Progress
    accept_loss: bool
    home: Home = field(default_factory=lambda: Home.locate(os.environ))
    disk: RealDisk = field(default_factory=RealDisk)
    evidence: dict[Store, Evidence] = field(default_factory=dict)
    surveyed: dict[Store, Surveyed] = field(default_factory=dict)
    damaged: dict[Store, SalvagePlan] = field(default_factory=dict)
    errors: dict[Store, TailflipError] = field(default_factory=dict)
    reports: list[Report] = field(default_factory=list)

    def survey(self, store: Store, policy: Policy) -> Surveyed:
        """Measure a store under a policy."""
        if store not in self.evidence:
            self.evidence[store] = self.scene.read_evidence(store, self.dropped_keys)
        return self.scene.survey(store, policy, self.evidence[store], self.on_progress)

    @contextmanager
    def keeping_error(self, store: Store) -> Iterator[None]:
        """Go on with the other stores when one has an error."""
        try:
            yield
        except TailflipError as e:
            self.errors[store] = e


def compact(
    *,
    stores: StorePaths = None,
    apply: Apply = False,
    state_dir: StateDir = None,
    profile: Profile = None,
    agent: Agent = None,
    heap_limit: HeapLimit = None,
    retention: Annotated[
        str | None,
        typer.Option(
            metavar="TIME|false",
            help="Keep finished cron runs this long; without it, OpenClaw's own "
            "cron.sessionRetention counts (24h).",
            show_default=False,
        ),
    ] = None,
    max_lifetime: Annotated[
        str,
        typer.Option(
            metavar="TIME|false", help='A run "running" for longer, without a sign of life, goes.'
        ),
    ] = "1h",
    cap_per_job: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=4096, help="Keep only the newest N runs of a job."),
    ] = None,
    cap_total: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=65_536, help="Keep only the newest N runs in all."),
    ] = None,
    no_slim: Annotated[
        bool, typer.Option("--no-slim", help="Leave prompts and reports in idle runs.")
    ] = False,
    no_retire: Annotated[
        bool, typer.Option("--no-retire", help="Leave the status of runs that are over.")
    ] = False,
    no_single_flight: Annotated[
        bool, typer.Option("--no-single-flight", help='Keep all "running" runs of a job.')
    ] = False,
    drop_key: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="Also remove this entry, whatever it is; repeatable."),
    ] = None,
    drop_kind: Annotated[
        list[DropKind] | None,
        typer.Option(
            help="Also remove finished entries of this kind, with --older-than; repeatable."
        ),
    ] = None,
    older_than: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="How old entries of --drop-kind must be, such as 7d."),
    ] = None,
    accept_loss: Annotated[
        bool,
        typer.Option(
            "--accept-loss",
            help="Salvage a damaged store also when whole entries may be left behind; begin with "
            "an empty one when nothing can be had. The damaged file is kept whole.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make session stores small. Prints the plan; with --apply, does it and says how to undo it.

    Chats, groups, threads, base cron entries, sub-agents and everything unknown are never
    removed unless you name them, live runs are not touched at all. What goes is archived
    first. A damaged store is salvaged: what can be read of it stays, and the damaged file is
    kept whole.
    """
    scene = look(os.environ, paths=stores, state_dir=state_dir, profile=profile, agent=agent)
    find_limit = scene.begin_heap_limit(heap_limit)
    policy = Policy(
        slim=not no_slim,
        retire=not no_retire,
        retention_ms=(
            scene.installation.retention_ms
            if retention is None
            else parse_time_option("--retention", retention)
        ),
        max_lifetime_ms=parse_time_option("--max-lifetime", max_lifetime),
        single_flight=not no_single_flight,
        cap_per_job=cap_per_job,
        cap_total=cap_total,
        drop_kinds=_choose_kinds(drop_kind or [], older_than),
    )
    with show_progress() as on_progress:
        job = _Job(scene, policy, frozenset(drop_key or ()), on_progress, accept_loss)
        if apply:
            for note in recover(job.home, job.disk):
                print(f"note: {escape(note)}", file=sys.stderr)
        _survey_all(job)
        if apply:
            _salvage_all(job)
        limit_bytes, source = find_limit()
        version = scene.find_version()
        factor, base_bytes = factor_for(version, legacy_import=has_databases(version))
        plan = plan_stores(
            tuple(job.surveyed),
            policy,
            lambda store, rules: (
                job.surveyed[store] if rules == policy else job.survey(store, rules)
            ),
            limit_bytes=limit_bytes,
            source=source,
            others_bytes=scene.others_bytes,
            factor=factor,
            base_bytes=base_bytes,
            measured=is_measured(version),
        )
        if apply:
            _compact_all(job, plan)
    if as_json:
        print(to_json(_describe(job, plan, applied=apply)))
    else:
        _print_all(job, plan, applied=apply)
    end_with(list(job.errors.values()))


def _choose_kinds(
    kinds: list[DropKind], older_than: str | None
) -> tuple[tuple[DropKind, int], ...]:
    """Read which kinds go as a whole, and from which age on.

    Raises:
        Usage: one option without the other, or no length of time.
    """
    if not kinds and older_than is None:
        return ()
    limit_ms = parse_time_option("--older-than", older_than) if older_than is not None else None
    if not kinds or limit_ms is None:
        raise Usage(
            "--drop-kind and --older-than go together",
            hint="tailflip compact --drop-kind subagent --older-than 7d",
        )
    return tuple((kind, limit_ms) for kind in dict.fromkeys(kinds))


def _survey_all(job: _Job) -> None:
    """Measure every store; one that is broken or gone is looked through for what can be saved."""
    for store in job.scene.stores:
        with job.keeping_error(store):
            try:
                found = job.survey(store, job.policy)
            except StoreInvalid as e:
                hint = e.hint
                if store.path.is_file() or not os.path.lexists(store.path):
                    hint = _look_for_salvage(job, store)
                raise StoreInvalid(e.message, hint=hint) from e
            refuse_duplicates(found, store.path)
            job.surveyed[store] = found
    for store in job.scene.missing:
        _look_for_salvage(job, store)
    for store, claim in job.scene.kept.items():
        job.errors[store] = claim.to_error()


def _look_for_salvage(job: _Job, store: Store) -> str | None:
    """Measure what can be had of a store, and say what to do."""
    try:
        plan = plan_salvage(store, job.on_progress, accept_loss=job.accept_loss)
    except StoreInvalid as e:
        return e.hint  # that the store is broken has its own error
    if plan.own is None and not plan.best.entries:
        return None
    job.damaged[store] = plan
    if plan.doubt is not None and not job.accept_loss:
        return f"{plan.doubt}; {hint_to_decide(plan)}"
    return _SALVAGE_HINT if plan.best.entries else _ANEW_HINT


def _salvage_all(job: _Job) -> None:
    """Salvage what can be; a store that is whole again is compacted with the others."""
    for store, plan in job.damaged.items():
        job.errors.pop(store, None)
        with job.keeping_error(store):
            job.reports.append(
                apply_salvage(
                    plan,
                    home=job.home,
                    disk=job.disk,
                    now_ms=job.scene.now_ms,
                    accept_loss=job.accept_loss,
                    gateway=job.scene.gateway,
                    on_progress=job.on_progress,
                )
            )
            job.surveyed[store] = job.survey(store, job.policy)


def _compact_all(job: _Job, plan: Plan[Surveyed]) -> None:
    for store, surveyed in plan.surveyed.items():
        with job.keeping_error(store):
            report = compact_store(
                store,
                plan.policy,
                job.evidence[store],
                home=job.home,
                disk=job.disk,
                # Names the action; a salvage of the same store may just have had the moment.
                now_ms=job.scene.now_ms + len(job.reports),
                on_progress=job.on_progress,
                expected=surveyed,
            )
            job.reports.append(report)


def _print_all(job: _Job, plan: Plan[Surveyed], *, applied: bool) -> None:
    for salvage in job.damaged.values():
        print(_format_salvage(salvage), end="\n\n")
    for store, surveyed in plan.surveyed.items():
        numbers = surveyed.numbers
        rules = format_rules(numbers.rules)
        change = format_change(
            numbers.entries, numbers.entries_after, numbers.bytes, numbers.bytes_after
        )
        print(f"{format_store(store)}: {change if rules else 'nothing to do'}")
        print(rules, end="\n\n" if rules else "\n")
    if plan.surveyed:
        _print_forecast(job, plan)
    for note in dict.fromkeys(n for e in job.evidence.values() for n in e.notes):
        print(f"note: {escape(note)}", file=sys.stderr)
    if applied:
        for report in job.reports:
            print(f"\n{format_report(report)}")
        return
    does_something = any(s.numbers.rules for s in plan.surveyed.values()) or job.damaged
    if does_something:
        print("\nnothing was changed; add --apply to do it")
    elif not (job.errors or plan.surveyed):
        where = escape(job.scene.installation.state_dir)
        print(f"no session store below {where}", file=sys.stderr)


def _print_forecast(job: _Job, plan: Plan[Surveyed]) -> None:
    print(f"policy:  {_format_policy(plan.policy)}")
    if any(surveyed.numbers.rules for surveyed in plan.surveyed.values()):
        print(f"before:  {format_forecast(plan.before)}")
    print(f"after:   {format_forecast(plan.after)}")
    print(f"gateway: {format_gateway(job.scene.gateway)}")
    if plan.pressure:
        print(f"beyond hygiene, because of the forecast: {', '.join(plan.pressure)}")
    if not plan.fits:
        print("even so it will not fit; what remains is protected. By kind, before:")
        for surveyed in plan.surveyed.values():
            print(format_kinds(surveyed.numbers))


def _format_policy(policy: Policy) -> str:
    keep, live = policy.retention_ms, policy.max_lifetime_ms
    parts = [
        "finished runs are kept for ever" if keep is None else f"runs kept {format_span(keep)}",
        "no longest life" if live is None else f"longest life without a sign {format_span(live)}",
    ]
    if policy.cap_per_job is not None:
        parts.append(f"{format_counted(policy.cap_per_job, 'run')} of a job")
    if policy.cap_total is not None:
        parts.append(f"{format_counted(policy.cap_total, 'run')} in all")
    parts += [f"{kind} entries kept {format_span(limit)}" for kind, limit in policy.drop_kinds]
    return ", ".join(parts)


def _format_salvage(plan: SalvagePlan) -> str:
    head = ["can be had from", "entries", "bytes", "left behind", "lost", "written"]
    rows = []
    for candidate in plan.candidates:
        mark = " (this one)" if candidate is plan.best else ""
        rows.append(
            [
                escape(candidate.path.name) + mark,
                format_count(candidate.written.entries),
                format_bytes(candidate.written.bytes),
                format_count(candidate.left),
                format_bytes(candidate.lost_bytes),
                format_time(candidate.modified_ms),
            ]
        )
    table = format_table(head, rows)
    return f"{escape(plan.store)}: salvage\n{table}\n{escape(plan.describe())}"


def _describe(job: _Job, plan: Plan[Surveyed], *, applied: bool) -> dict[str, object]:
    return {
        "applied": applied,
        "policy": plan.policy,
        "stores": [
            {"path": store.path, "agent": store.agent_id, "survey": surveyed.numbers}
            for store, surveyed in plan.surveyed.items()
        ],
        "damaged": list(job.damaged.values()),
        "before": plan.before,
        "after": plan.after,
        "pressure": plan.pressure,
        "fits": plan.fits,
        "gateway": job.scene.gateway,
        "reports": job.reports,
        "errors": [{"message": e.message, "code": e.exit_code} for e in job.errors.values()],
    }
