"""What `tailflip compact` says of its plan, and of what was done."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

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
)
from tailflip.base.units import format_bytes, format_count, format_counted, format_span, format_time
from tailflip.diagnose.findings.jobs import describe_storm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailflip.base.errors import TailflipError
    from tailflip.flow.conditions import JobStorm
    from tailflip.flow.numbers import Measured, SurveyNumbers
    from tailflip.flow.observed import Evidence
    from tailflip.observe.installation import Installation
    from tailflip.plan.planner import Plan
    from tailflip.plan.policy import Policy
    from tailflip.stores.candidates import SalvagePlan
    from tailflip.stores.compaction import Compaction

_SHOWN_CAUSES = 5


def print_all(
    job: Compaction, plan: Plan[Measured], errors: list[TailflipError], *, applied: bool
) -> None:
    """Print the plan of one installation, its forecast, and the reports of what was done."""
    salvages = [damage.plan for damage in job.damaged.values() if damage.plan is not None]
    for salvage in salvages:
        print(_format_salvage(salvage), end="\n\n")
    for store, found in job.repairs.items():
        print(f"{format_store(store)}: whatever the policy")
        print(format_rules(found.numbers.rules), end="\n\n")
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
    elif has_work(plan) or salvages or job.repairs:
        print("\nnothing was changed; add --apply to do it")
    elif not (errors or plan.surveyed):
        say_no_store(job.scene.installation)


def say_no_store(installation: Installation) -> None:
    """Say that there is no session store to work on, and where the sessions are instead."""
    print(f"no session store below {escape(installation.state_dir)}", file=sys.stderr)


def has_work(plan: Plan[Measured]) -> bool:
    """Say whether a plan changes anything."""
    return any(surveyed.numbers.rules for surveyed in plan.surveyed.values())


def print_causes(causes: Sequence[JobStorm]) -> None:
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
            (numbers.entries, numbers.entries_after),
            (numbers.bytes, numbers.bytes_after),
            is_bound=numbers.is_bound,
        )
        if not rules:
            change = escape(_explain_nothing(numbers, job.evidence[store], plan.policy))
        print(f"{format_store(store)}: {change}")
        print(rules, end="\n\n" if rules else "\n")


def _print_forecast(job: Compaction, plan: Plan[Measured]) -> None:
    print(f"policy:  {_format_policy(plan.policy)}")
    if has_work(plan):
        print(f"before:  {format_forecast(plan.before)}")
    print(f"after:   {format_forecast(plan.after, is_second=has_work(plan))}")
    if plan.pressure:
        print(f"beyond hygiene: {', '.join(plan.pressure)}")
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
