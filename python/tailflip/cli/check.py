"""`tailflip check`: report findings; reads only, exit code 1 if there is one."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import typer

from tailflip.base.durable import RealDisk
from tailflip.base.render import (
    escape,
    format_finding,
    format_forecast,
    format_gateway,
    format_maintenance,
)
from tailflip.base.state_dir import Home
from tailflip.base.units import format_bytes, format_counted
from tailflip.base.workspace import Workspace
from tailflip.cli.ahead import print_ahead
from tailflip.cli.options import (
    Agent,
    AsJson,
    HeapLimit,
    Profile,
    Release,
    StateDir,
    StorePaths,
    end_with,
)
from tailflip.cli.progress import show_progress
from tailflip.cli.settings import read_and_tell
from tailflip.ledger.history import History
from tailflip.observe.records.forms import Form
from tailflip.report.examination import Asked, observe_thoroughly
from tailflip.report.look_ahead import judge_wanted, look_after_survey
from tailflip.report.reading import read_situation
from tailflip.report.subject import Subject
from tailflip.report.verdict import format_verdict
from tailflip.stores.target import find_gone, look

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailflip.base.errors import TailflipError
    from tailflip.observe.records.forms import Record
    from tailflip.report.observation import Observation
    from tailflip.report.status import Situation


def check(
    *,
    stores: StorePaths = None,
    state_dir: StateDir = None,
    profile: Profile = None,
    agent: Agent = None,
    heap_limit: HeapLimit = None,
    release: Release = None,
    as_json: AsJson = False,
) -> None:
    """Say what is wrong with gateway, stores, jobs and leftovers: exit code 1 if anything is.

    The first line is the verdict: OK, WAITING, DOWN or AT RISK. Changes nothing.

    With --release: what the stores will meet in that release of OpenClaw; exit code 1 if something
    stands in the way.
    """
    if release is not None:
        judge_wanted(release)
    settings = read_and_tell(state_dir, profile)
    scene = look(
        os.environ,
        paths=stores,
        state_dir=state_dir,
        profile=profile,
        agent=agent,
        settings=settings,
        is_lenient=True,
    )
    problem = scene.installation.problem
    guard = os.path.realpath(scene.installation.state_dir)
    history = History(Workspace(Home.locate(os.environ), RealDisk()), guard)
    asked = Asked(state_dir, profile, agent, heap_limit, settings.mistakes)
    with show_progress() as on_progress:
        seen = observe_thoroughly(scene, history, asked, on_progress)
    subject = Subject(
        history,
        scene.installation,
        scene.config,
        problem="" if problem is None else problem.message,
        cure="" if problem is None else problem.hint or "",
        mistakes=settings.mistakes,
    )
    found = read_situation(subject, seen, scene.now_ms)
    ahead = None if release is None else look_after_survey(scene, seen.inputs, release)
    failed: list[TailflipError] = [] if problem is None else [problem]
    failed += find_gone(each.absolute() for each in stores or ())
    if as_json:
        from tailflip.cli.answers.verbs import Check  # noqa: PLC0415 - for --json

        Check.to(**_describe(found, seen), ahead=ahead, failed=failed).say()
    elif ahead is not None:
        print_ahead(ahead)
        print(f"today: {escape(format_verdict(found.verdict, found.look.now_ms))}")
    else:
        _print(found, seen)
    end_with(failed)
    if (found.is_grave or found.findings) if ahead is None else not ahead.is_clear:
        raise typer.Exit(1)


def _describe(found: Situation, seen: Observation) -> dict[str, Any]:
    """Choose the fields for programs; the inputs hold private configuration."""
    inputs = seen.inputs
    return {
        "verdict": found.verdict,
        "maintenance": found.look.maintenance,
        "findings": [each.finding for each in found.findings],
        "not_looked_for": found.not_looked_for,
        "gateway": inputs.gateway,
        "forecast": inputs.forecast,
        "stores": inputs.stores or (),
        "kept": inputs.kept or (),
        "half_done_action_ids": [action.id for action in seen.half_done],
        "disks": inputs.spaces,
        "record_forms": seen.records,
        "notes": seen.notes,
    }


def _print(found: Situation, seen: Observation) -> None:
    inputs, verdict = seen.inputs, found.verdict
    print(escape(format_verdict(verdict, found.look.now_ms)))
    if verdict.step:
        print(f"next: {escape(verdict.step)}")
    if found.look.maintenance is not None:
        print(f"note: {escape(format_maintenance(found.look.maintenance))}")
    print()
    for each in found.findings:
        print(format_finding(each.finding), end="\n\n")
    print(_sum_up_stores(seen))
    if inputs.kept:
        kept = ", ".join(escape(each.path) for each in inputs.kept)
        print(f"left alone, and not loaded again: {kept}")
    if inputs.gateway is not None:
        print(f"gateway: {format_gateway(inputs.gateway)}")
    if seen.records:
        print(f"records: {_format_records(seen.records)}")
    for space in inputs.spaces or ():
        print(f"disk: {format_bytes(space.free_bytes)} free for {escape(space.path)}")
    for note in seen.notes:
        print(f"note: {escape(note)}", file=sys.stderr)
    for action in seen.half_done:
        print(
            f"note: {action.kind} {action.id} was interrupted; the next --apply ends it",
            file=sys.stderr,
        )


def _sum_up_stores(seen: Observation) -> str:
    sizes = [each.size_bytes or 0 for each in seen.inputs.stores or ()]
    summary = f"{format_counted(len(sizes), 'store')}, {format_bytes(sum(sizes))}"
    if seen.inputs.forecast is not None:
        summary += f"; {format_forecast(seen.inputs.forecast)}"
    return summary


def _format_records(records: Sequence[Record]) -> str:
    """Say where each kind of record lies; those that are not there are left out."""
    places: dict[str, list[str]] = {}
    for record in records:
        schema = f" (schema {record.schema})" if record.schema is not None else ""
        where = f"{_WHERE[record.form]}{schema}"
        if record.form is not Form.ABSENT:
            places.setdefault(where, []).append(record.kind)
    told = [f"{', '.join(kinds)} {where}" for where, kinds in places.items()]
    return "; ".join(told) or "none is there"


_WHERE = {
    Form.ABSENT: "",
    Form.FILES: "in files",
    Form.SPLIT: "in split files",
    Form.SQLITE: "in SQLite",
    Form.UNKNOWN: "of an unknown schema",
    Form.UNREADABLE: "unreadable",
}
