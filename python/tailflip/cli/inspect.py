"""`tailflip inspect`: show what fills the stores; reads only."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tailflip.base.durable import RealDisk
from tailflip.base.errors import TailflipError
from tailflip.base.render import (
    JobView,
    escape,
    format_forecast,
    format_store,
    format_survey,
    format_table,
)
from tailflip.base.state_dir import Home
from tailflip.base.units import format_bytes, format_count, format_counted
from tailflip.base.workspace import Workspace
from tailflip.cli.compact_text import say_no_store
from tailflip.cli.fill_text import format_fill
from tailflip.cli.options import Agent, AsJson, HeapLimit, Profile, StateDir, StorePaths, end_with
from tailflip.cli.progress import show_progress
from tailflip.cli.settings import read_and_tell
from tailflip.diagnose.findings.jobs import RAPID_INTERVAL_MS, measure_interval_ms
from tailflip.ledger.history import History
from tailflip.observe.records.reading import read_job_names
from tailflip.stores.aim import choose_aim, choose_policy
from tailflip.stores.compaction import Compaction
from tailflip.stores.litter import observe_folders
from tailflip.stores.target import look

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tailflip.flow.fill import Fill
    from tailflip.flow.numbers import SurveyNumbers
    from tailflip.flow.observed import Store, TranscriptFolder
    from tailflip.plan.policy import Policy


def inspect(
    *,
    stores: StorePaths = None,
    state_dir: StateDir = None,
    profile: Profile = None,
    agent: Agent = None,
    heap_limit: HeapLimit = None,
    as_json: AsJson = False,
) -> None:
    """Show what fills the session stores: jobs, kinds of entries, fields. Changes nothing."""
    scene = look(
        os.environ,
        paths=stores,
        state_dir=state_dir,
        profile=profile,
        agent=agent,
        settings=read_and_tell(state_dir, profile),
    )
    workspace = Workspace(Home.locate(os.environ), RealDisk())
    history = History(workspace, os.path.realpath(scene.installation.state_dir))
    wait_for_limit, heal = scene.begin_heap_limit(history, heap_limit), scene.config.heal
    names = read_job_names(scene.installation)
    policy = choose_policy(heal, scene.installation.retention_ms)
    aim = choose_aim(heal, policy, scene.capabilities, salvages=False)
    with show_progress() as on_progress:
        job = Compaction(scene, aim, workspace, on_progress)
        job.look()
        found = _survey_all(job, policy)
        fills = _describe_fills(job, found)
    errors = list(job.errors.values())
    for store, numbers in found.items():
        if not as_json:
            print(_format_store(store, numbers, names, scene.now_ms), end="\n\n")
            if store in fills:
                print(format_fill(fills[store]), end="\n\n")
    folders = observe_folders(scene.stores, scene.now_ms)
    prediction = job.forecast(wait_for_limit())
    if as_json:
        from tailflip.cli.answers.verbs import Inspect  # noqa: PLC0415 - for --json

        shown = [
            {"path": s.path, "agent": s.agent_id, "survey": n, "fill": fills.get(s)}
            for s, n in found.items()
        ]
        Inspect.to(
            stores=shown,
            job_names=names,
            folders=folders,
            gateway=scene.gateway,
            forecast=prediction,
            failed=errors,
        ).say()
    elif found:
        for folder in folders:
            print(f"{escape(folder.path)}\n\n{_format_folder(folder)}", end="\n\n")
        print(f"forecast: {format_forecast(prediction)}")
    elif not errors:
        say_no_store(scene.installation)
    end_with(errors)


def _survey_all(job: Compaction, policy: Policy) -> dict[Store, SurveyNumbers]:
    """Survey what was not yet, to be seen also where the gateway does not load it."""
    found = {store: each.numbers for store, each in job.measured.items()}
    for store in job.scene.kept:
        if store in found or store in job.errors:
            continue
        try:
            found[store] = job.survey(store, policy).numbers
        except TailflipError as e:
            job.errors[store] = e
    return found


def _describe_fills(job: Compaction, stores: Iterable[Store]) -> dict[Store, Fill]:
    fills: dict[Store, Fill] = {}
    for store in stores:
        try:
            fill = job.scene.describe_fill(store)
        except TailflipError as e:
            job.errors[store] = e
        else:
            if fill is not None:
                fills[store] = fill
    return fills


def _format_folder(folder: TranscriptFolder) -> str:
    rows = [
        [escape(kind.name), format_count(kind.files), format_bytes(kind.bytes)]
        for kind in folder.kinds
    ]
    return format_table(["kind of file", "files", "bytes"], rows)


def _format_store(
    store: Store, numbers: SurveyNumbers, names: Mapping[str, str], now_ms: int
) -> str:
    jobs = []
    for job in numbers.jobs:
        interval_ms = measure_interval_ms(job)
        rapid = interval_ms is not None and interval_ms < RAPID_INTERVAL_MS
        jobs.append(JobView(job, names.get(job.job) or job.job, interval_ms, rapid))
    size = f"{format_counted(numbers.entries, 'entry')}, {format_bytes(numbers.bytes)}"
    return f"{format_store(store)}: {size}\n\n{format_survey(numbers, jobs, now_ms)}"
