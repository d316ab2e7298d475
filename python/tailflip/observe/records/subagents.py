"""Reads the gateway's registry of sub-agent runs, a file that a crash can truncate.

Source: `<state>/subagents/runs.json`, `{version: 2, runs: {<runId>: {...}}}`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tailflip.flow.late import dataclass
from tailflip.observe.files import read_regular
from tailflip.observe.records.runlog import to_ms

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MAX_BYTES = 32 << 20
# Source: `resolveSubagentSessionStatus`; a run with another outcome is done.
_STATUS = {"error": "failed", "timeout": "timeout"}


@dataclass(frozen=True)
class SubagentRun:
    """One run; `keys` are the entries that it refers to, first its own.

    `ended_ms` None: the run has no end on record, and `status` is empty.
    """

    keys: tuple[str, ...]
    started_ms: int | None
    ended_ms: int | None
    status: str


def read_subagents(path: Path, notes: list[str]) -> tuple[SubagentRun, ...] | None:
    """Read all runs; None, with a note, if the registry exists but cannot be read."""
    try:
        root = json.loads(read_regular(path, MAX_BYTES))
    except FileNotFoundError:
        return ()
    except OSError as error:
        notes.append(f"sub-agent registry cannot be read: {path}: {error.strerror}")
        return None
    except (ValueError, RecursionError):
        notes.append(f"sub-agent registry is not valid JSON: {path}: what it protects is unknown")
        return None
    runs = root.get("runs") if isinstance(root, dict) else None
    found = (parse_run(run) for run in (runs.values() if isinstance(runs, dict) else ()))
    return tuple(run for run in found if run is not None)


def list_protected(registry: Sequence[SubagentRun]) -> frozenset[str]:
    """Collect the keys that sub-agent runs without an end refer to, and those above them.

    A run may wait for the child of a child that has ended. Source: `countPendingDescendantRuns`.
    """
    above: dict[str, set[str]] = {}
    for run in registry:
        above.setdefault(run.keys[0], set()).update(run.keys[1:])
    todo = [key for run in registry if run.ended_ms is None for key in run.keys]
    found = set(todo)
    while todo:
        more = above.get(todo.pop(), set()) - found
        found |= more
        todo += more
    return frozenset(found)


def parse_run(raw: Any) -> SubagentRun | None:
    """Parse one run; None if it names no entry."""
    if not isinstance(raw, dict):
        return None
    names = ("childSessionKey", "requesterSessionKey", "controllerSessionKey")
    keys = tuple(key for key in map(raw.get, names) if isinstance(key, str) and key)
    if not keys:
        return None
    started = to_ms(raw.get("startedAt")) or to_ms(raw.get("createdAt"))
    if raw.get("endedAt") is None:
        return SubagentRun(keys, started, None, "")
    outcome = raw.get("outcome")
    word = outcome.get("status") if isinstance(outcome, dict) else None
    killed = raw.get("endedReason") == "subagent-killed"
    status = "killed" if killed else _STATUS.get(str(word), "done")
    return SubagentRun(keys, started, to_ms(raw.get("endedAt")) or 0, status)
