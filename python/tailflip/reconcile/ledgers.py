"""The ends that run logs and the task ledger have on record, and whose they are.

A line with a session key is that run's. One without (a run cut by its time-out, or that
threw early; every task) is matched by job and time: the entry's `updatedAt` is the start of
the run or a moment later, so it lies within the line's span. One line ends at most one run:
of several entries within a span the one that began nearest to the line's start is it.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tailflip.observe.runlog import RunLine
from tailflip.observe.tasks import ENDED
from tailflip.reconcile.evidence import End

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tailflip.flow import ListedEntry
    from tailflip.observe.tasks import Task

MAX_LINES = 65_536  # of each sort; the engine's table of ends holds no more


@dataclass
class RunLogs:
    """What is on record; `keyed` by session key and id, `windows` by job, oldest first."""

    source: str
    keyed: dict[tuple[str, str], RunLine] = field(default_factory=dict)
    windows: dict[str, list[RunLine]] = field(default_factory=dict)
    _starts: dict[str, list[int]] = field(default_factory=dict)
    _nearest: dict[tuple[str, int], tuple[int, str]] = field(default_factory=dict)
    _matched: dict[str, RunLine] = field(default_factory=dict)

    def find_end(self, entry: ListedEntry) -> End | None:
        """Say how an entry's run ended."""
        # A base entry is its newest run: the log knows only the run's own key.
        is_base = entry.kind == "cron base"
        key = f"{entry.key}:run:{entry.session}" if is_base else entry.key
        line, how = self.keyed.get((key, entry.session)), "by its session key"
        if line is None:
            line, how = self._matched.get(key), "by job and time"
        if line is None:
            return None
        return End(line.status, line.ended_ms, line.runtime_ms, self.source, how)

    def match_by_time(self, entry: ListedEntry) -> None:
        """Find out whether a line without a session key is about an entry; ask of all first."""
        if entry.kind != "cron run" or entry.job not in self.windows:
            return
        if (entry.key, entry.session) in self.keyed or entry.updated_ms is None:
            return
        at = bisect_right(self._starts[entry.job], entry.updated_ms) - 1
        line = self.windows[entry.job][at] if at >= 0 else None
        if line is None or entry.updated_ms > line.ended_ms:
            return
        known = self._nearest.get((entry.job, at))
        found = (entry.updated_ms - line.started_ms, entry.key)
        if known is not None and known <= found:
            return
        if known is not None:
            self._matched.pop(known[1], None)
        self._nearest[entry.job, at] = found
        self._matched[entry.key] = line


def index_tasks(tasks: Iterable[Task]) -> RunLogs:
    """Sort the cron tasks that ended; they know no session key."""
    lines = (
        RunLine(task.source_id, None, None, ENDED[task.status], task.started_ms, task.ended_ms)
        for task in tasks
        if task.runtime == "cron"
        and task.source_id is not None
        and task.status in ENDED
        and task.started_ms is not None
        and task.ended_ms is not None
        and task.ended_ms >= task.started_ms
    )
    return index_lines(lines, "task ledger")


def index_lines(lines: Iterable[RunLine], source: str = "run log") -> RunLogs:
    """Sort lines by what they can be found by, the newest `MAX_LINES` of each sort."""
    keyed: dict[tuple[str, str], RunLine] = {}
    loose: list[RunLine] = []
    for line in lines:
        if line.key is not None:
            session = line.session_id or line.key.rpartition(":")[2]
            known = keyed.get((line.key, session), line)
            # Of two that end alike the later written one.
            keyed[line.key, session] = max(line, known, key=_ended)
            if len(keyed) > 2 * MAX_LINES:
                newest = heapq.nlargest(MAX_LINES, keyed.items(), key=lambda item: _ended(item[1]))
                keyed = dict(newest)
        else:
            loose.append(line)
            if len(loose) > 2 * MAX_LINES:
                loose = heapq.nlargest(MAX_LINES, loose, key=_ended)
    windows: dict[str, list[RunLine]] = {}
    for line in sorted(loose, key=lambda line: line.started_ms):
        windows.setdefault(line.job_id, []).append(line)
    starts = {job: [line.started_ms for line in lines] for job, lines in windows.items()}
    return RunLogs(source, keyed, windows, starts)


def _ended(line: RunLine) -> int:
    return line.ended_ms
