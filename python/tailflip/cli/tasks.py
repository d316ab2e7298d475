"""`tailflip tasks`: show how cron runs ended, beside OpenClaw's own task ledger."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from tailflip.base.durable import RealDisk
from tailflip.base.errors import TailflipError
from tailflip.base.render import escape, format_gateway, format_table
from tailflip.base.state_dir import Home
from tailflip.base.units import format_counted, format_moment, format_span, format_time
from tailflip.base.workspace import Workspace
from tailflip.cli.options import AsJson, Profile, StateDir  # noqa: TC001 - typer reads them
from tailflip.cli.settings import read_and_tell
from tailflip.flow.rules import KeyKind
from tailflip.ledger.history import History
from tailflip.ledger.lives import find_deaths
from tailflip.observe.records.reading import Records
from tailflip.reconcile.steps.tasks import judge_installation
from tailflip.stores.formats import find_engine
from tailflip.stores.target import look

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailflip.ledger.runs import SeenRun
    from tailflip.reconcile.judge.tasks import TaskVerdict
    from tailflip.stores.target import Scene

_SAME_MS = 2_000


def tasks(
    *,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=5000, help="How many.")] = 20,
    state_dir: StateDir = None,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Show how cron runs really ended, beside what OpenClaw's task ledger says of them.

    Runs are judged by run logs, by markers, and by the deaths of gateways. Runs that tailflip saw
    in flight are listed even where OpenClaw has no record of them. Changes nothing.
    """
    settings = read_and_tell(state_dir, profile)
    scene = look(os.environ, state_dir=state_dir, profile=profile, settings=settings)
    workspace = Workspace(Home.locate(os.environ), RealDisk())
    history = History(workspace, os.path.realpath(scene.installation.state_dir))
    runs = history.runs
    notes: list[str] = []
    records = Records(scene.installation)
    deaths = find_deaths(history.lives.read())
    verdicts, _ = judge_installation(scene, records, notes, runs, deaths)
    total, verdicts = len(verdicts), verdicts[:limit]
    seen = runs.read(limit)
    if as_json:
        from tailflip.cli.answers.verbs import Tasks  # noqa: PLC0415 - for --json

        Tasks.to(tasks=verdicts, runs=seen, gateway=scene.gateway, notes=notes).say()
        return
    now_ms = scene.now_ms
    rows = [
        *_rows_of_tasks(verdicts, now_ms),
        *_rows_of_runs(_leave_out_known(seen, verdicts), now_ms),
    ]
    if rows:
        head = ["job", "began", "openclaw says", "in truth", "took", "because"]
        rows.sort(key=lambda row: row[1], reverse=True)
        print(format_table(head, rows[:limit], indent="", left=len(head)))
    else:
        print("no run is in OpenClaw's task ledger, and tailflip saw none in flight")
    print(_tell_read(scene, records, total, len(seen)))
    print(f"gateway: {format_gateway(scene.gateway)}")
    for note in dict.fromkeys(notes):
        print(f"note: {escape(note)}", file=sys.stderr)


def _count_runs(scene: Scene) -> int:
    """Count the cron runs in the stores; those that cannot be read count none."""
    count = 0
    for store in scene.stores:
        with suppress(TailflipError, OSError):
            entries = find_engine(store.path).entries(store.path)
            count += sum(entry.kind == KeyKind.CRON_RUN for entry in entries)
    return count


def _tell_read(scene: Scene, records: Records, tasks: int, seen: int) -> str:
    """Say which records were read, and where the other runs stand."""
    ledger = records.find_task_ledger()
    known = format_counted(tasks, "cron task") if os.path.lexists(ledger) else "it is not there"
    ended = sum(1 for _ in records.read_lines([]))
    runs = format_counted(_count_runs(scene), "cron run")
    return (
        f"read: the task ledger {escape(ledger)}: {known}; "
        f"seen in flight by tailflip: {format_counted(seen, 'run')}\n"
        f"run history: {format_counted(ended, 'run')} that ended; `openclaw cron runs` lists them\n"
        f"session stores: {runs}; `tailflip inspect` shows them by job"
    )


def _rows_of_tasks(verdicts: Sequence[TaskVerdict], now_ms: int) -> list[list[str]]:
    rows = []
    for each in verdicts:
        task, proof = each.task, each.proof
        began = task.started_ms if task.started_ms is not None else task.created_ms
        rows.append(
            [
                escape(task.label or task.source_id or "?"),
                format_moment(began or 0, now_ms),
                escape(task.status),
                each.verdict,
                "" if proof.runtime_ms is None else format_span(proof.runtime_ms),
                escape(proof.words[0]),
            ]
        )
    return rows


def _leave_out_known(runs: Sequence[SeenRun], verdicts: Sequence[TaskVerdict]) -> list[SeenRun]:
    """Leave out runs that OpenClaw's ledger has too: begun together, or after their marker."""
    known = [(each.task.source_id, each.task.started_ms or 0) for each in verdicts]
    return [
        run
        for run in runs
        if not any(
            job == run.job_id and 0 <= began - run.began_ms <= _SAME_MS for job, began in known
        )
    ]


def _rows_of_runs(runs: Sequence[SeenRun], now_ms: int) -> list[list[str]]:
    """List runs that we saw in flight; OpenClaw's ledger may lack them (up to 2026.3.30, all)."""
    rows = []
    for run in runs:
        took = "" if run.ended_ms is None else format_span(max(0, run.ended_ms - run.began_ms))
        word = run.words[-1] if run.words else f"seen in flight at {format_time(run.seen_ms)}"
        verdict = run.verdict or "running"
        name = escape(run.title or run.job_id)
        rows.append(
            [name, format_moment(run.began_ms, now_ms), "(seen)", verdict, took, escape(word)]
        )
    return rows
