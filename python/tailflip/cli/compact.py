"""`tailflip compact`: show what would go and why; with --apply, do it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from tailflip.base.durable import RealDisk
from tailflip.base.errors import StoreInvalid, TailflipError, Usage
from tailflip.base.openclaw_units import parse_length_option, parse_time_option
from tailflip.base.render import (
    escape,
)
from tailflip.base.state_dir import Home
from tailflip.base.units import format_counted
from tailflip.base.workspace import Workspace
from tailflip.cli.compact_text import has_work, print_all, print_causes
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
from tailflip.flow.limits import MAX_CAP_PER_JOB, MAX_CAP_TOTAL
from tailflip.flow.rules import Rule
from tailflip.ledger.history import History
from tailflip.plan.policy import DropKind  # noqa: TC001 - typer reads it
from tailflip.reconcile.causes import find_causes
from tailflip.stores.aim import choose_aim, choose_policy
from tailflip.stores.candidates import hint_to_decide
from tailflip.stores.compaction import Compaction
from tailflip.stores.target import group_by_installation, look
from tailflip.stores.unfinished import is_unfinished

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tailflip.cli.answers.verbs import Compact
    from tailflip.flow import outcomes
    from tailflip.flow.conditions import JobStorm
    from tailflip.flow.numbers import Measured
    from tailflip.flow.observed import Store
    from tailflip.plan.planner import Plan
    from tailflip.stores.aim import Aim
    from tailflip.stores.compaction import Damage
    from tailflip.stores.target import Scene

_SALVAGE_HINT = "--apply sets it aside whole and salvages it; do not start the gateway before"
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
            help="Also remove finished entries of this kind, from the age that --older-than says; "
            "repeatable, with one age for all kinds or one for each."
        ),
    ] = None,
    older_than: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TIME",
            help="How old entries of --drop-kind must be, such as 7d; repeatable.",
        ),
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
    workspace = Workspace(Home.locate(os.environ), RealDisk())
    settings = load(os.environ)
    asked: dict[str, object] = {
        "slim": not no_slim,
        "retire": not no_retire,
        "single_flight": not no_single_flight,
        "cap_per_job": cap_per_job,
        "cap_total": cap_total,
        "drop_kinds": _choose_kinds(drop_kind or [], older_than or []),
    }
    if retention is not None:
        asked["retention_ms"] = parse_time_option("--retention", retention)
    if max_lifetime is not None:
        asked["max_lifetime_ms"] = parse_time_option("--max-lifetime", max_lifetime)
    groups = group_by_installation(stores or ()) or [[]]
    errors: list[TailflipError] = []
    answers: list[Compact] = []
    for at, group in enumerate(groups):
        # Each installation has its own gateway, heap and settings.
        scene = look(
            os.environ,
            paths=group,
            state_dir=state_dir,
            profile=profile,
            agent=agent,
            settings=settings,
        )
        history = History(workspace, os.path.realpath(scene.installation.state_dir))
        find_limit = scene.begin_heap_limit(history, heap_limit)
        policy = choose_policy(scene.config.heal, scene.installation.retention_ms)
        aim = choose_aim(
            scene.config.heal,
            policy.model_copy(update=asked),
            scene.capabilities,
            dropped_keys=drop_key or (),
            accept_loss=accept_loss,
        )
        is_alone = len(groups) == 1
        job, plan = _compact(scene, aim, workspace, find_limit, apply=apply, is_alone=is_alone)
        found = _list_errors(job)
        errors += found
        causes = find_causes(job, workspace) if job.reports or has_work(plan) else ()
        if as_json:
            answers.append(_answer(job, plan, found, causes, applied=apply))
        else:
            if len(groups) > 1:
                blank = "\n" if at else ""
                print(f"{blank}installation {escape(scene.installation.state_dir)}\n")
            print_all(job, plan, found, applied=apply)
            print_causes(causes)
    if as_json:
        (answers[0] if len(answers) == 1 else answers[0].join(answers)).say()
    end_with(errors)


def _compact(
    scene: Scene,
    aim: Aim,
    workspace: Workspace,
    find_limit: Callable[[], outcomes.HeapLimit],
    *,
    apply: bool,
    is_alone: bool,
) -> tuple[Compaction, Plan[Measured]]:
    """Look at the stores of one installation and plan; with `apply`, also do it.

    Raises:
        Usage: a key that a person named is nowhere. `is_alone`: no other installation has it.
    """
    with show_progress() as on_progress:
        job = Compaction(scene, aim, workspace, on_progress)
        if apply and is_unfinished(workspace):
            from tailflip.stores.recovery import recover  # noqa: PLC0415 - after a kill

            for note in recover(workspace):
                print(f"note: {escape(note)}", file=sys.stderr)
        job.look()
        if is_alone and not job.damaged and not job.errors:
            _require_named(job)
        if apply:
            _salvage_all(job)
        job.look_for_repairs(reads_events=True, gives_back=True)
        if apply:
            _repair_all(job)
        plan = job.plan(find_limit())
        if apply:
            job.execute(plan)
    return job, plan


def _choose_kinds(kinds: list[DropKind], ages: list[str]) -> tuple[tuple[DropKind, int], ...]:
    """Pair the kinds to drop with the ages from which they go: one for all, or one for each.

    Raises:
        Usage: one option without the other, ages that fit no kind, or no length of time.
    """
    limits = [parse_length_option("--older-than", age) for age in ages]
    if len(limits) == 1:
        kinds = list(dict.fromkeys(kinds))
        limits *= len(kinds)
    is_paired = len(limits) == len(kinds) == len(set(kinds)) and bool(kinds or not ages)
    if not is_paired:
        raise Usage(
            "--drop-kind and --older-than go together: one age for all kinds, or one for each",
            hint="tailflip compact --drop-kind subagent --older-than 7d",
        )
    return tuple(zip(kinds, limits, strict=True))


def _require_named(job: Compaction) -> None:
    """Refuse keys that no store has: a misspelt one would seem to be done."""
    tallies = [tally for each in job.measured.values() for tally in each.numbers.rules]
    found = sum(tally.entries for tally in tallies if tally.name == Rule.NAMED)
    missing = len(job.aim.dropped_keys) - found
    if missing > 0:
        raise Usage(
            f"{format_counted(missing, 'key')} of {len(job.aim.dropped_keys)} given with "
            "--drop-key not found here, or of a run at work; nothing was changed",
            hint="write a key as it stands in the store, such as agent:main:main",
        )


def _salvage_all(job: Compaction) -> None:
    """Salvage damaged stores; one that is whole again is compacted with the others."""
    for store, damage in job.damaged.items():
        if damage.plan is None:
            continue
        try:
            job.salvage(store)
        except TailflipError as e:
            job.errors[store] = e


def _repair_all(job: Compaction) -> None:
    """Take out what stops the gateways, and give free pages back."""
    for store in job.repairs:
        try:
            job.repair(store)
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


def _answer(
    job: Compaction,
    plan: Plan[Measured],
    errors: list[TailflipError],
    causes: Sequence[JobStorm],
    *,
    applied: bool,
) -> Compact:
    from tailflip.cli.answers.verbs import Compact  # noqa: PLC0415 - for --json

    return Compact.to(
        applied=applied,
        policy=plan.policy,
        stores=[
            {"path": store.path, "agent": store.agent_id, "survey": surveyed.numbers}
            for store, surveyed in plan.surveyed.items()
        ],
        salvages=[d.plan for d in job.damaged.values() if d.plan is not None],
        repairs=[
            {"path": store.path, "agent": store.agent_id, "survey": found.numbers}
            for store, found in job.repairs.items()
        ],
        before=plan.before,
        after=plan.after,
        pressure=plan.pressure,
        fits=plan.fits,
        gateway=job.scene.gateway,
        reports=job.reports,
        causes=[
            {"job_id": each.job_id, "title": each.title, "run_count": each.storm.runs}
            for each in causes
        ],
        failed=errors,
    )
