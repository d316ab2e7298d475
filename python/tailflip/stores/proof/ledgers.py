"""Reads the ends of runs from run logs and the task ledger, and matches them to entries.

The engine joins lines to the entries of a store, line by line in constant memory. A line with a
session key belongs to that run. A line without one (a run cut by its time-out, or that threw
early; every task and every receipt) is matched by job and time, to one run at most.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from tailflip.observe.records.runlog import RunLine, is_interrupted
from tailflip.observe.records.tasks import ENDED
from tailflip.stores.proof.prove import BY_KEY, BY_TIME, End
from tailflip.stores.tables import Ledgers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tailflip.flow.numbers import ListedEntry, ToldEnd
    from tailflip.observe.records.tasks import Task

_SOURCES = ("run log", "task ledger")  # in the order of trust
RUN_LOG, TASK_LEDGER = range(len(_SOURCES))


def gather_lines(
    lines: Iterable[RunLine], tasks: Iterable[Task], receipts: Iterable[RunLine] = ()
) -> Ledgers:
    """Gather the lines of both ledgers.

    Receipts are part of the run history, which counts over them where it has the same run.

    Raises:
        CannotCreate: not all fit into memory, and there is no room for the others.
    """
    ledgers = Ledgers()
    for line in chain(receipts, lines):
        ledgers.add(RUN_LOG, line)
    for line in list_ended_tasks(tasks):
        ledgers.add(TASK_LEDGER, line)
    return ledgers


def list_ended_tasks(tasks: Iterable[Task]) -> Iterator[RunLine]:
    """List the cron tasks that ended, as lines of a run log without a session key."""
    for task in tasks:
        if (
            task.runtime == "cron"
            and task.source_id is not None
            and task.status in ENDED
            and task.started_ms is not None
            and task.ended_ms is not None
            and task.ended_ms >= task.started_ms
        ):
            status = "killed" if is_interrupted(task.error) else ENDED[task.status]
            yield RunLine(task.source_id, None, None, status, task.started_ms, task.ended_ms)


def list_ends(entry: ListedEntry) -> tuple[End | None, End | None]:
    """List the ends of an entry's run: the run log's, and the task ledger's."""
    logged, tasked = entry.ends
    return _as_end(logged, RUN_LOG), _as_end(tasked, TASK_LEDGER)


def _as_end(end: ToldEnd | None, ledger: int) -> End | None:
    if end is None:
        return None
    status, ended_ms, runtime_ms, names_session = end
    how = BY_KEY if names_session else BY_TIME
    return End(status, ended_ms, runtime_ms, _SOURCES[ledger], how)
