"""`tailflip check`: what is wrong; reads only, exit code 1 if anything is."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from tailflip.base.durable import RealDisk
from tailflip.base.errors import TailflipError
from tailflip.base.progress import be_quiet
from tailflip.base.render import escape, format_finding, format_forecast, format_gateway, to_json
from tailflip.base.state_dir import Home
from tailflip.base.units import format_bytes
from tailflip.base.workspace import Workspace
from tailflip.cli.options import Agent, AsJson, HeapLimit, Profile, StateDir, StorePaths  # noqa: TC001 - typer reads them
from tailflip.cli.progress import show_progress
from tailflip.config.load import load
from tailflip.diagnose.causes import OUT_OF_MEMORY
from tailflip.diagnose.findings.observed import Observed
from tailflip.diagnose.findings.rules import find_problems
from tailflip.diagnose.loops import CRASHES, RESTARTS
from tailflip.ledger.actions import Ledger
from tailflip.ledger.history import History
from tailflip.observe.gateway.listener import find_listener
from tailflip.observe.host.space import read_space
from tailflip.observe.records.cron import read_cron_store
from tailflip.observe.records.forms import read_forms
from tailflip.observe.suspects import MEMORY_ELSEWHERE
from tailflip.reconcile.context import begin
from tailflip.reconcile.kinds import TOLD, reconcile_all
from tailflip.stores.compaction import Compaction, choose_aim, choose_policy
from tailflip.stores.json.litter import find_cron_temporaries, observe_folders
from tailflip.stores.json.look import observe_all
from tailflip.stores.ownership import describe_kept, find_claim
from tailflip.stores.target import look

if TYPE_CHECKING:
    from pathlib import Path

    from tailflip.flow.observed import Job
    from tailflip.flow.outcomes import Finding
    from tailflip.observe.installation import Installation


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
    limit = scene.find_heap_limit(heap_limit, config)
    installation = scene.installation
    policy = choose_policy(config.heal, installation.retention_ms)
    aim = choose_aim(config.heal, policy, scene.capabilities, salvages=False)
    home = Home.locate(os.environ)
    with show_progress() as on_progress:
        job = Compaction(scene, aim, home, RealDisk(), on_progress)
        observed_stores = observe_all(
            (*scene.stores, *scene.missing),
            lambda store: job.measure(store).numbers,
            scene.now_ms,
        )
        job.look_at_kept()
    sizes = [each.size_bytes or 0 for each in observed_stores]
    prediction = job.forecast(limit)
    ledger = Ledger(home, RealDisk())
    actions = ledger.read_all() if scene.kept else ()
    kept = tuple(describe_kept(claim, actions) for claim in scene.kept.values())
    jobs, jobs_problem = _read_jobs(installation)
    spaces = read_space(installation.state_dir, home.root)
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
            port=installation.port,
            listener=find_listener(installation.port) if scene.gateway.alive is None else None,
            spaces=spaces,
            folders=observe_folders((*scene.stores, *scene.missing), scene.now_ms),
            cron_temporaries=find_cron_temporaries(installation.cron_store, scene.now_ms),
            kept=kept,
            knows_ends=forms.knows_ends,
        )
    )
    told, told_notes = _reconcile(state_dir, profile, agent)
    stormy = {finding.subject for finding in told}
    # A storm in the run log says more than the same job's runs in a store.
    findings = (
        *_recall_findings(home, installation),
        *(f for f in findings if f.code != "job-rapid" or f.subject not in stormy),
        *told,
    )
    half_done = ledger.read_half_done()
    notes = tuple(dict.fromkeys((*installation.notes, *forms.describe(), *told_notes)))
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
                    "kept": kept,
                    "half_done": [action.id for action in half_done],
                    "disks": spaces,
                    "notes": notes,
                }
            )
        )
    else:
        for finding in findings:
            print(format_finding(finding), end="\n\n")
        count = f"{len(sizes)} stores" if len(sizes) != 1 else "1 store"
        print(f"{count}, {format_bytes(sum(sizes))}; {format_forecast(prediction)}")
        if kept:
            print(f"left alone, and not loaded again: {', '.join(escape(k.path) for k in kept)}")
        print(f"gateway: {format_gateway(scene.gateway)}")
        for space in spaces:
            print(f"disk: {format_bytes(space.free_bytes)} free for {escape(space.path)}")
        for note in notes:
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


def _read_jobs(installation: Installation) -> tuple[tuple[Job, ...], str | None]:
    """Read the jobs, and why that failed; of a cron store on record only the names count."""
    found = read_cron_store(installation.cron_store)
    if find_claim(installation.cron_store, installation.state_dir) is None:
        return found.jobs, found.problem
    return tuple(replace(job, running_at_ms=None) for job in found.jobs), None


def _reconcile(
    state_dir: Path | None, profile: str | None, agent: str | None
) -> tuple[list[Finding], list[str]]:
    """Find what `reconcile` only tells of: storms, stuck jobs, growth. Our failure is a note."""
    try:
        work = begin(
            os.environ,
            home=Home.locate(os.environ),
            disk=RealDisk(),
            apply=False,
            on_progress=be_quiet,
            state_dir=state_dir,
            profile=profile,
            agent=agent,
        )
        result = reconcile_all(work, TOLD)
    except TailflipError as e:
        return [], [f"storms, stuck jobs and growth were not looked for: {e.message}"]
    return result.findings, [*result.notes, *(e.message for e in result.errors)]


def _recall_findings(home: Home, installation: Installation) -> list[Finding]:
    """Recall what the gateway's guard saw: loops, and what filled the heap while that is open.

    A ledger that fails says nothing.
    """
    history = History(Workspace(home, RealDisk()), os.path.realpath(installation.state_dir))
    codes = {CRASHES, RESTARTS}
    try:
        incidents = history.incidents.read()
        if any(each.closed_ms is None and each.cause in OUT_OF_MEMORY for each in incidents):
            codes.add(MEMORY_ELSEWHERE)
        noted = history.findings.read()
    except TailflipError:
        return []
    return [each.finding for each in noted if each.finding.code in codes]
