"""Finds the report that Node wrote when the gateway died, and reads why.

With `--report-on-fatalerror` Node leaves `report.<date>.<time>.<pid>.<thread>.<n>.json`. Values are
taken from its header: the rest holds the environment, and so secrets.
Source: Node 24, "Diagnostic report"; trigger and event as written by Node 24.21.
"""

from __future__ import annotations

import json
import os
import re
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.flow.late import dataclass
from tailflip.observe.files import read_regular

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

OOM_TRIGGER = "OOMError"

_NAME = re.compile(r"report\.[0-9]{8}\.[0-9]{6}\.([0-9]+)\.[0-9]+\.[0-9]+\.json")
_FOLDER = re.compile(r"--(?:report-dir|report-directory|diagnostic-dir)(?:=|\s+)(\S+)")
_DEADLY = frozenset({OOM_TRIGGER, "FatalError", "Exception"})  # a report by signal is no death
_MAX_NAMES = 20_000
_MAX_REPORTS = 20
_MAX_BYTES = 16 << 20


@dataclass(frozen=True)
class NodeReport:
    """The header of one report; `trigger` is OOMError whenever the heap was full."""

    path: Path
    trigger: str
    written_ms: int
    pid: int | None


def find_report_dirs(
    env: Mapping[str, str], command: Sequence[str], *others: Path
) -> tuple[Path, ...]:
    """List the folders of reports: of node's flags, the current directory, `others`."""
    words = f"{env.get('NODE_OPTIONS', '')} {' '.join(command)}"
    named = [Path(match[1].strip("\"'")) for match in _FOLDER.finditer(words)]
    try:
        here = Path.cwd()
    except FileNotFoundError:
        here = Path("/")  # it was deleted, and so are folders relative to it
    return tuple(dict.fromkeys(here / path for path in (*named, here, *others)))


def find_report(dirs: Iterable[Path], since_ms: int, pids: Collection[int]) -> NodeReport | None:
    """Find the newest report of a death of the gateway that was written since `since_ms`.

    Args:
        dirs: the folders to look in, not below them.
        since_ms: start of the life in question.
        pids: processes known to have been the gateway; other reports must name its script.
    """
    found = [item for folder in dirs for item in _list_reports(folder)]
    fresh = sorted((item for item in found if item[0] >= since_ms), reverse=True)
    for written_ms, path in fresh[:_MAX_REPORTS]:
        report = _read_report(path, written_ms, pids)
        if report is not None:
            return report
    return None


def _list_reports(folder: Path) -> list[tuple[int, Path]]:
    """List files that are named like a report, with the time of writing."""
    try:
        with os.scandir(folder) as entries:
            return [
                (entry.stat().st_mtime_ns // 1_000_000, Path(entry.path))
                for entry in islice(entries, _MAX_NAMES)
                if _NAME.fullmatch(entry.name)
            ]
    except OSError:
        return []  # ignored: a folder that is missing or may not be read has no report for us


def _read_report(path: Path, written_ms: int, pids: Collection[int]) -> NodeReport | None:
    try:
        report = json.loads(read_regular(path, _MAX_BYTES))
        header = report["header"]
        trigger, event = str(header["trigger"]), str(header["event"])
        pid = header.get("processId")
        command = [str(word) for word in header.get("commandLine") or ()]
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return None  # torn by the death that it reports, or not of Node
    is_ours = pid in pids or any("openclaw" in word for word in command)
    if trigger not in _DEADLY or not is_ours:
        return None
    if "heap out of memory" in event:  # older Nodes call it a FatalError
        trigger = OOM_TRIGGER
    return NodeReport(path, trigger, written_ms, pid if type(pid) is int else None)
