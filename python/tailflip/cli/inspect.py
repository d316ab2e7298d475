"""`tailflip inspect`: what fills the stores; reads only."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from tailflip.base.errors import TailflipError
from tailflip.base.render import (
    JobView,
    escape,
    format_forecast,
    format_store,
    format_survey,
    format_table,
    to_json,
)
from tailflip.base.units import format_bytes, format_count, format_counted
from tailflip.cli.options import Agent, AsJson, HeapLimit, Profile, StateDir, StorePaths, end_with
from tailflip.cli.progress import show_progress
from tailflip.diagnose.findings.jobs import RAPID_INTERVAL_MS, measure_interval_ms
from tailflip.observe.installation import read_job_names
from tailflip.plan.forecast import forecast
from tailflip.plan.policy import Policy
from tailflip.stores.json.litter import observe_folders
from tailflip.stores.target import look

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailflip.flow.numbers import SurveyNumbers
    from tailflip.flow.observed import Store, TranscriptFolder


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
    scene = look(os.environ, paths=stores, state_dir=state_dir, profile=profile, agent=agent)
    wait_for_limit = scene.begin_heap_limit(heap_limit)
    names = read_job_names(scene.installation.cron_store)
    policy = Policy(retention_ms=scene.installation.retention_ms)
    found: dict[Store, SurveyNumbers] = {}
    errors: list[TailflipError] = []
    for store in (*scene.stores, *scene.kept):
        evidence = scene.read_evidence(store, frozenset())
        try:
            with show_progress() as on_progress:
                numbers = scene.survey(store, policy, evidence, on_progress).numbers
        except TailflipError as e:
            errors.append(e)
            continue
        found[store] = numbers
        if not as_json:
            print(_format_store(store, numbers, names, scene.now_ms), end="\n\n")
    folders = observe_folders(scene.stores, scene.now_ms)
    limit_bytes, source = wait_for_limit()
    prediction = forecast(
        [*(numbers.bytes for numbers in found.values()), scene.others_bytes],
        any(numbers.wide for numbers in found.values()),
        limit_bytes,
        source,
    )
    if as_json:
        shown = [{"path": s.path, "agent": s.agent_id, "survey": n} for s, n in found.items()]
        print(
            to_json(
                {
                    "stores": shown,
                    "job_names": names,
                    "folders": folders,
                    "gateway": scene.gateway,
                    "forecast": prediction,
                    "errors": [{"message": e.message, "code": e.exit_code} for e in errors],
                }
            )
        )
    elif found:
        for folder in folders:
            print(f"{escape(folder.path)}\n\n{_format_folder(folder)}", end="\n\n")
        print(f"forecast: {format_forecast(prediction)}")
    elif not errors:
        print(f"no session store below {escape(scene.installation.state_dir)}", file=sys.stderr)
    end_with(errors)


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
