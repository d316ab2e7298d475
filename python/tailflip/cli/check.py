"""`tailflip check`: report findings; reads only, exit code 1 if there is one."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import typer

from tailflip.base.durable import RealDisk
from tailflip.base.render import escape, format_finding, format_forecast, format_gateway
from tailflip.base.state_dir import Home
from tailflip.base.units import format_bytes, format_counted
from tailflip.base.workspace import Workspace
from tailflip.cli.options import Agent, AsJson, HeapLimit, Profile, StateDir, StorePaths  # noqa: TC001 - typer reads them
from tailflip.cli.progress import show_progress
from tailflip.config.load import load
from tailflip.ledger.history import History
from tailflip.report.examination import Asked, observe_thoroughly
from tailflip.stores.target import look

if TYPE_CHECKING:
    from tailflip.report.observation import Observation


def check(
    *,
    stores: StorePaths = None,
    state_dir: StateDir = None,
    profile: Profile = None,
    agent: Agent = None,
    heap_limit: HeapLimit = None,
    as_json: AsJson = False,
) -> None:
    """Say what is wrong with stores, jobs and leftovers: exit code 1 if anything is.

    Changes nothing.
    """
    config = load(os.environ).config
    scene = look(
        os.environ, paths=stores, state_dir=state_dir, profile=profile, agent=agent, config=config
    )
    guard = os.path.realpath(scene.installation.state_dir)
    history = History(Workspace(Home.locate(os.environ), RealDisk()), guard)
    asked = Asked(state_dir, profile, agent, heap_limit)
    with show_progress() as on_progress:
        seen = observe_thoroughly(scene, history, asked, config, on_progress)
    if as_json:
        from tailflip.cli.answers.verbs import Check  # noqa: PLC0415 - for programs only

        Check.to(**_describe(seen)).say()
    else:
        _print(seen)
    if seen.looked.findings:
        raise typer.Exit(1)


def _describe(seen: Observation) -> dict[str, Any]:
    """Choose the fields for programs; the inputs hold private configuration."""
    inputs = seen.inputs
    return {
        "findings": seen.looked.findings,
        "not_looked_for": seen.looked.not_looked_for,
        "gateway": inputs.gateway,
        "forecast": inputs.forecast,
        "stores": inputs.stores or (),
        "kept": inputs.kept or (),
        "half_done_action_ids": [action.id for action in seen.half_done],
        "disks": inputs.spaces,
        "notes": seen.notes,
    }


def _print(seen: Observation) -> None:
    inputs = seen.inputs
    for finding in seen.looked.findings:
        print(format_finding(finding), end="\n\n")
    sizes = [each.size_bytes or 0 for each in inputs.stores or ()]
    summary = f"{format_counted(len(sizes), 'store')}, {format_bytes(sum(sizes))}"
    if inputs.forecast is not None:
        summary += f"; {format_forecast(inputs.forecast)}"
    print(summary)
    if inputs.kept:
        kept = ", ".join(escape(each.path) for each in inputs.kept)
        print(f"left alone, and not loaded again: {kept}")
    if inputs.gateway is not None:
        print(f"gateway: {format_gateway(inputs.gateway)}")
    for space in inputs.spaces or ():
        print(f"disk: {format_bytes(space.free_bytes)} free for {escape(space.path)}")
    for note in seen.notes:
        print(f"note: {escape(note)}", file=sys.stderr)
    for action in seen.half_done:
        print(
            f"note: {action.kind} {action.id} was interrupted; the next --apply ends it",
            file=sys.stderr,
        )
    if not seen.looked.findings:
        print("nothing is wrong")
