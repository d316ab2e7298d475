"""Reads the gateway's cron run logs: one line for each run that ended, none for others.

Source: `<cron store>/runs/<jobId>.jsonl`. An interrupted run has no line. A run that was cut by
its time-out, or that threw early, has a line without session id and key. From 2026.4.25 on an
interrupted run has a line, too: an error that the next start writes, with the time of that start as
its end.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

from pydantic_core import from_json

from tailflip.base.regular import open_to_read
from tailflip.base.units import format_counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_LINE_BYTES = 1 << 20
RUN_KEY = re.compile(r"agent:([^:]+):cron:[^:]+:run:[^:]+")
_TIMED_OUT = re.compile(r"timed? ?out", re.IGNORECASE)
# Source: the text of the gateway's repair at its start, 2026.4.25 to 2026.9.6.
_INTERRUPTED = re.compile(r"interrupted by gateway restart")
_STATUS = {"ok": "done", "error": "failed"}
_MAX_MS = 1 << 53
_SUFFIX = ".jsonl"


class RunLine(NamedTuple):  # fast to make: there may be 100,000
    """One ended run; `key` and `session_id` may be missing.

    `status` is done, failed, timeout, or killed: its gateway died, at the end or before it.
    """

    job_id: str
    key: str | None
    session_id: str | None
    status: str
    started_ms: int
    ended_ms: int

    @property
    def runtime_ms(self) -> int:
        """The length of the run."""
        return self.ended_ms - self.started_ms


def read_run_logs(folder: Path, notes: list[str]) -> Iterator[RunLine]:
    """Read the lines of every run log, one job after the other, oldest first.

    An unreadable log or line becomes a note, and proves nothing.
    """
    broken = 0
    for path in list_folder(folder, _SUFFIX, notes):
        try:
            for line in _read_lines(path):
                try:
                    run = _parse_line(line, path.name.removesuffix(_SUFFIX))
                except (ValueError, RecursionError):
                    broken += 1
                    continue
                if run is not None:
                    yield run
        except OSError as error:
            notes.append(f"run log cannot be read: {path}: {error.strerror}")
    if broken:
        were = "was" if broken == 1 else "were"
        notes.append(f"{format_counted(broken, 'broken line')} in run logs {were} skipped")


def list_folder(folder: Path, suffix: str, notes: list[str]) -> Iterator[Path]:
    """List a folder's regular files with a suffix; a missing folder has none."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(suffix) and entry.is_file():
                    yield Path(entry.path)
    except FileNotFoundError:
        return
    except OSError as error:
        notes.append(f"folder cannot be read: {folder}: {error.strerror}")


def _read_lines(path: Path) -> Iterator[bytes]:
    """Yield complete lines; a line beyond `MAX_LINE_BYTES` as empty bytes, like a broken one."""
    with os.fdopen(open_to_read(path), "rb") as file:
        while line := file.readline(MAX_LINE_BYTES):
            if not line.endswith(b"\n") and len(line) == MAX_LINE_BYTES:
                while line and not line.endswith(b"\n"):
                    line = file.readline(MAX_LINE_BYTES)
                yield b""
            elif line.strip():
                yield line


def _parse_line(line: bytes, job_id: str) -> RunLine | None:
    """Parse one line to an ended run; None if the line proves no end.

    Raises:
        ValueError: the line is broken.
    """
    try:
        raw = from_json(line)
    except ValueError:  # on half a surrogate pair, which Node leaves where it cuts a text
        raw = json.loads(line)
    if not isinstance(raw, dict):
        raise ValueError("not an object")  # noqa: TRY004 - about a line, not a caller
    return make_line(raw, job_id) if raw.get("action") == "finished" else None


def make_line(raw: Mapping[str, Any], job_id: str) -> RunLine | None:
    """Make the line of an ended run of its members; None if they prove no end."""
    status = _STATUS.get(str(raw.get("status")))
    if status is None:
        return None
    started, lasted = to_ms(raw.get("runAtMs")), to_ms(raw.get("durationMs"))
    if started is None:
        return None
    if lasted is None:
        logged = to_ms(raw.get("ts"))
        if logged is None:
            return None
        lasted = max(0, logged - started)
    error = str(raw.get("error", ""))
    if status == "failed" and is_interrupted(error):
        status = "killed"
    elif status == "failed" and _TIMED_OUT.search(error):
        status = "timeout"
    return RunLine(
        job_id=_text(raw.get("jobId")) or job_id,
        key=_text(raw.get("sessionKey")),
        session_id=_text(raw.get("sessionId")),
        status=status,
        started_ms=started,
        ended_ms=started + lasted,
    )


def is_interrupted(error: str | None) -> bool:
    """Say whether an error is the gateway's own text for a run that its death interrupted.

    A start writes it with its own time as the end of the run.
    """
    return bool(error and _INTERRUPTED.search(error))


def _text(value: Any) -> str | None:
    return value if is_text(value) and value else None


def is_text(value: Any) -> TypeGuard[str]:
    """Say whether a JSON value is text; half of a surrogate pair cannot be UTF-8."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


def to_ms(value: Any) -> int | None:
    """Parse a JSON value as a time or a length in milliseconds; None if it is neither."""
    if type(value) not in (int, float) or not 0 <= value < _MAX_MS:  # bool is a subclass
        return None
    return int(value)
