"""`tailflip check`: what is wrong; reads only, exit code 1 if anything is."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import typer

from tailflip.cli.options import (  # noqa: TC001 - typer reads them
    Agent,
    AsJson,
    HeapLimit,
    Profile,
    StateDir,
    StorePaths,
)
from tailflip.cli.progress import show_progress
from tailflip.diagnose.rules import Observed, find_problems
from tailflip.durable import RealDisk
from tailflip.home import Home
from tailflip.ledger.actions import Ledger
from tailflip.observe.cron import read_jobs
from tailflip.observe.forms import read_forms
from tailflip.observe.stores import observe_all
from tailflip.plan.forecast import forecast
from tailflip.plan.policy import Policy
from tailflip.render import escape, format_finding, format_forecast, format_gateway, to_json
from tailflip.scene import look
from tailflip.units import format_bytes

if TYPE_CHECKING:
    from tailflip.flow import Store, SurveyNumbers


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
    scene = look(os.environ, paths=stores, state_dir=state_dir, profile=profile, agent=agent)
    limit_bytes, source = scene.find_heap_limit(heap_limit)
    installation = scene.installation
    policy = Policy(retention_ms=installation.retention_ms)
    with show_progress() as on_progress:

        def measure(store: Store) -> SurveyNumbers:
            evidence = scene.read_evidence(store, frozenset())
            return scene.survey(store, policy, evidence, on_progress).numbers

        observed_stores = observe_all((*scene.stores, *scene.missing), measure, scene.now_ms)
    sizes = [each.size_bytes or 0 for each in observed_stores]
    prediction = forecast(
        [*sizes, scene.others_bytes],
        any(each.numbers.wide for each in observed_stores if each.numbers is not None),
        limit_bytes,
        source,
    )
    jobs, jobs_problem = read_jobs(installation.cron_store)
    forms = read_forms(installation)
    findings = find_problems(
        Observed(
            now_ms=scene.now_ms,
            config_path=str(installation.config_path),
            gateway=scene.gateway,
            stores=observed_stores,
            forecast=prediction,
            cron_store=str(installation.cron_store),
            jobs=jobs if forms.cron.is_read else (),
            jobs_problem=jobs_problem,
            retention_problem=installation.retention_problem,
            enforces=installation.enforces,
            rotate_bytes=installation.rotate_bytes,
            knows_ends=forms.knows_ends,
        )
    )
    half_done = Ledger(Home.locate(os.environ), RealDisk()).read_half_done()
    if as_json:
        print(
            to_json(
                {
                    "findings": findings,
                    "gateway": scene.gateway,
                    "forecast": prediction,
                    "stores": [
                        {"path": s.store.path, "agent": s.store.agent_id, "bytes": s.size_bytes}
                        for s in observed_stores
                    ],
                    "half_done": [action.id for action in half_done],
                    "notes": (*installation.notes, *forms.describe()),
                }
            )
        )
    else:
        for finding in findings:
            print(format_finding(finding), end="\n\n")
        count = f"{len(sizes)} stores" if len(sizes) != 1 else "1 store"
        print(f"{count}, {format_bytes(sum(sizes))}; {format_forecast(prediction)}")
        print(f"gateway: {format_gateway(scene.gateway)}")
        for note in (*installation.notes, *forms.describe()):
            print(f"note: {escape(note)}", file=sys.stderr)
        for action in half_done:
            print(
                f"note: {action.kind} {action.id} was interrupted; the next --apply ends it",
                file=sys.stderr,
            )
        if not findings:
            print("nothing is wrong")
    if findings:
        raise typer.Exit(1)
