"""`tailflip compact`: show what would go and why; with --apply, do it."""

from __future__ import annotations

import os
import sys
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
from tailflip.base.workspace import Workspace
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
from tailflip.config.load import load
from tailflip.diagnose.findings.jobs import describe_storm
from tailflip.flow.limits import MAX_CAP_PER_JOB, MAX_CAP_TOTAL
from tailflip.plan.policy import DropKind  # noqa: TC001 - typer reads it
from tailflip.reconcile.causes import find_causes
from tailflip.stores.candidates import hint_to_decide
from tailflip.stores.compaction import Compaction, choose_aim, choose_policy
from tailflip.stores.recovery import recover
from tailflip.stores.target import look

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailflip.flow.conditions import JobStorm
    from tailflip.flow.numbers import Measured, SurveyNumbers
    from tailflip.flow.observed import Evidence, Store
    from tailflip.plan.planner import Plan
    from tailflip.plan.policy import Policy
    from tailflip.stores.candidates import SalvagePlan
    from tailflip.stores.compaction import Damage

_SALVAGE_HINT = "--apply sets it aside whole and salvages it; do not start the gateway before"
_SHOWN_CAUSES = 5
_ANEW_HINT = "--apply sets it aside whole and begins with an empty store: nothing is in it"


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
            help="Keep finished cron runs this long; without it, heal.retention, or OpenClaw's "
            "own cron.sessionRetention counts (24h).",
            show_default=False,
        ),
    ] = None,
    max_lifetime: Annotated[
        str | None,
        typer.Option(
            metavar="TIME|false",
            help='A run "running" for longer, without a sign of life, goes; without it, '
            "heal.max_lifetime counts (1h).",
            show_default=False,
        ),
    ] = None,
    cap_per_job: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, max=MAX_CAP_PER_JOB, help="Keep only the newest N runs of a job."
        ),
    ] = None,
    cap_total: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, max=MAX_CAP_TOTAL, help="Keep only the newest N runs in all."
        ),
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
            "an empty one when nothing can be read. The damaged file is kept whole.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make session stores small. Prints the plan; with --apply, does it and says how to undo it.

    Chats, groups, threads, base cron entries, sub-agents and everything unknown are never
    removed unless you name them. Live runs are not touched at all. Removed entries are archived
    first. A damaged store is salvaged: its readable entries stay, and the damaged file is
    kept whole.
    """
    config = load(os.environ).config
    workspace = Workspace(Home.locate(os.environ), RealDisk())
    scene = look(
        os.environ, paths=stores, state_dir=state_dir, profile=profile, agent=agent, config=config
    )
    find_limit = scene.begin_heap_limit(heap_limit, config)
    policy = choose_policy(config.heal, scene.installation.retention_ms)
    asked: dict[str, object] = {}
    if retention is not None:
        asked["retention_ms"] = parse_time_option("--retention", retention)
    if max_lifetime is not None:
        asked["max_lifetime_ms"] = parse_time_option("--max-lifetime", max_lifetime)
    policy = policy.model_copy(
        update={
            "slim": not no_slim,
            "retire": not no_retire,
            "single_flight": not no_single_flight,
            "cap_per_job": cap_per_job,
            "cap_total": cap_total,
            "drop_kinds": _choose_kinds(drop_kind or [], older_than),
            **asked,
        }
    )
    aim = choose_aim(
        config.heal,
        policy,
        scene.capabilities,
        dropped_keys=drop_key or (),
        accept_loss=accept_loss,
    )
    with show_progress() as on_progress:
        job = Compaction(scene, aim, workspace, on_progress)
        if apply:
            for note in recover(workspace):
                print(f"note: {escape(note)}", file=sys.stderr)
        job.look()
        if apply:
            _salvage_all(job)
        plan = job.plan(find_limit())
        if apply:
            job.execute(plan)
    errors = _list_errors(job)
    causes = find_causes(job, config, workspace) if job.reports or _has_work(plan) else ()
    if as_json:
        print(to_json(_describe(job, plan, errors, causes, applied=apply)))
    else:
        _print_all(job, plan, errors, applied=apply)
        _print_causes(causes)
    end_with(errors)


def _choose_kinds(
    kinds: list[DropKind], older_than: str | None
) -> tuple[tuple[DropKind, int], ...]:
    """Read the kinds to drop, and the age from which they go.

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


def _salvage_all(job: Compaction) -> None:
    """Salvage damaged stores; one that is whole again is compacted with the others."""
    for store, damage in job.damaged.items():
        if damage.plan is None:
            continue
        try:
            job.salvage(store)
        except TailflipError as e:
            job.errors[store] = e


def _list_errors(job: Compaction) -> list[TailflipError]:
    """List the errors by store; a store that is left alone has one too."""
    errors: dict[Store, TailflipError] = {}
    for store, error in job.errors.items():
        damage = job.damaged.get(store)
        is_told = damage is not None and error is damage.broken
        errors[store] = _hint(error, damage, job) if damage is not None and is_told else error
    errors.update(job.fixed)
    errors.update({store: claim.to_error() for store, claim in job.scene.kept.items()})
    return list(errors.values())


def _hint(error: TailflipError, damage: Damage, job: Compaction) -> TailflipError:
    """Choose the hint for a broken store."""
    plan = damage.plan
    if plan is None:
        hint = damage.problem.hint if damage.problem is not None else None
    elif plan.doubt is not None and not job.aim.accept_loss:
        hint = f"{plan.doubt}; {hint_to_decide(plan)}"
    else:
        hint = _SALVAGE_HINT if plan.best.entries else _ANEW_HINT
    return StoreInvalid(error.message, hint=hint)


def _print_all(
    job: Compaction, plan: Plan[Measured], errors: list[TailflipError], *, applied: bool
) -> None:
    salvages = [damage.plan for damage in job.damaged.values() if damage.plan is not None]
    for salvage in salvages:
        print(_format_salvage(salvage), end="\n\n")
    _print_stores(job, plan)
    if plan.surveyed:
        _print_forecast(job, plan)
    if plan.surveyed or salvages:
        print(f"gateway: {format_gateway(job.scene.gateway)}")
    for note in dict.fromkeys(n for e in job.evidence.values() for n in e.notes):
        print(f"note: {escape(note)}", file=sys.stderr)
    if applied:
        for report in job.reports:
            print(f"\n{format_report(report)}")
    elif _has_work(plan) or salvages:
        print("\nnothing was changed; add --apply to do it")
    elif not (errors or plan.surveyed):
        where = escape(job.scene.installation.state_dir)
        print(f"no session store below {where}", file=sys.stderr)


def _has_work(plan: Plan[Measured]) -> bool:
    return any(surveyed.numbers.rules for surveyed in plan.surveyed.values())


def _print_causes(causes: Sequence[JobStorm]) -> None:
    """Name the jobs that will fill the store again, and the command that stops each."""
    for each in causes[:_SHOWN_CAUSES]:
        print(f"\nthis will fill the store again: {escape(each.title)}: {describe_storm(each)}")
        stop = f"`openclaw cron disable {escape(each.job_id)}`" if each.job_id else "disable it"
        print(f"  stop it: {stop}; `openclaw cron runs` shows its errors")
    if len(causes) > _SHOWN_CAUSES:
        more = format_counted(len(causes) - _SHOWN_CAUSES, "more job")
        print(f"  and {more}: `tailflip check` names all of them")


def _print_stores(job: Compaction, plan: Plan[Measured]) -> None:
    for store, surveyed in plan.surveyed.items():
        numbers = surveyed.numbers
        rules = format_rules(numbers.rules)
        change = format_change(
            numbers.entries, numbers.entries_after, numbers.bytes, numbers.bytes_after
        )
        if not rules:
            change = escape(_explain_nothing(numbers, job.evidence[store], plan.policy))
        print(f"{format_store(store)}: {change}")
        print(rules, end="\n\n" if rules else "\n")


def _print_forecast(job: Compaction, plan: Plan[Measured]) -> None:
    print(f"policy:  {_format_policy(plan.policy)}")
    if _has_work(plan):
        print(f"before:  {format_forecast(plan.before)}")
    print(f"after:   {format_forecast(plan.after)}")
    if plan.pressure:
        print(f"beyond hygiene, because of the forecast: {', '.join(plan.pressure)}")
    if plan.fits:
        return
    if job.aim.ladder:
        short = "it will not fit" if not plan.after.close else "too little is to spare"
        print(f"even so {short}; what remains is protected. By kind, before:")
    else:
        why = plan.after.doubt or "heal.pressure is false"
        print(
            f"only hygiene, as before a start: {why}; --retention, --cap-per-job and --cap-total "
            "go further. By kind, before:"
        )
    for surveyed in plan.surveyed.values():
        print(format_kinds(surveyed.numbers))


def _explain_nothing(numbers: SurveyNumbers, evidence: Evidence, policy: Policy) -> str:
    """Explain why no run goes: each shows life, or is not old enough."""
    runs = sum(job.runs for job in numbers.jobs) + numbers.jobs_untracked
    parts = []
    if evidence.spared:
        shown = format_counted(evidence.spared, "finished run", "shows life", "show life")
        parts.append(f"{shown}, such as one: {evidence.spared_because}")
    if runs > evidence.spared and policy.retention_ms is not None:
        parts.append(f"no other run ended longer than {format_span(policy.retention_ms)} ago")
    return f"nothing to do: {'; '.join(parts)}" if parts else "nothing to do"


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


def _describe(
    job: Compaction,
    plan: Plan[Measured],
    errors: list[TailflipError],
    causes: Sequence[JobStorm],
    *,
    applied: bool,
) -> dict[str, object]:
    return {
        "applied": applied,
        "policy": plan.policy,
        "stores": [
            {"path": store.path, "agent": store.agent_id, "survey": surveyed.numbers}
            for store, surveyed in plan.surveyed.items()
        ],
        "damaged": [d.plan for d in job.damaged.values() if d.plan is not None],
        "before": plan.before,
        "after": plan.after,
        "pressure": plan.pressure,
        "fits": plan.fits,
        "gateway": job.scene.gateway,
        "reports": job.reports,
        "causes": [
            {"job": each.job_id, "title": each.title, "runs": each.storm.runs} for each in causes
        ],
        "errors": [{"message": e.message, "code": e.exit_code} for e in errors],
    }
