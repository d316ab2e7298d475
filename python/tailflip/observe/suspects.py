"""Lists what may have filled the heap besides the session stores; reads stats, not contents.

Suspects are large files that the gateway reads whole (a trace of 33 GB killed one eight times in
six days: openclaw/openclaw #82401), large transcripts, the session that was at work at the death,
and memory that grew all the time.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from tailflip.base import clock
from tailflip.base.units import format_bytes, format_span
from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tailflip.flow.outcomes import Trend

LARGE_BYTES = 100_000_000
LARGE_TRANSCRIPT_BYTES = 10_000_000
_SHOWN = 3
_AT_WORK_MS = 60_000
_MOST_ENTRIES = 50_000
_LONGEST_S = 2.0
_LEFT_OUT = frozenset({"node_modules", ".git"})
_TRANSCRIPT, _LOCK, _SESSIONS = ".jsonl", ".jsonl.lock", "sessions"


@dataclass(frozen=True)
class _File:
    path: str
    size_bytes: int
    modified_ms: int


def find_suspects(
    state_dir: Path,
    stores: Sequence[Path],
    *,
    died_ms: int,
    trend: Trend | None,
) -> tuple[str, ...]:
    """List what may have filled a gateway's heap, the likeliest first; for people.

    Args:
        state_dir: of the gateway; walked for at most two seconds.
        stores: session stores, which the forecast judges.
        died_ms: when the gateway died.
        trend: the growth of its memory until then, if it grew.
    """
    known = {os.path.realpath(path) for path in stores}
    files = [each for each in _walk(state_dir) if os.path.realpath(each.path) not in known]
    return (
        *_describe_large(state_dir, files),
        *_describe_at_work(state_dir, files, died_ms),
        *_describe_growth(trend),
    )


def _describe_large(state_dir: Path, files: Sequence[_File]) -> Iterator[str]:
    by_size = sorted(files, key=lambda each: -each.size_bytes)
    large = [each for each in by_size if each.size_bytes >= LARGE_BYTES][:_SHOWN]
    for each in large:
        yield f"large file: {_name(each, state_dir)}, {format_bytes(each.size_bytes)}"
    transcripts = [each for each in by_size if _is_transcript(each.path)]
    for each in transcripts[:_SHOWN]:
        if each.size_bytes >= LARGE_TRANSCRIPT_BYTES and each not in large:
            yield f"large transcript: {_name(each, state_dir)}, {format_bytes(each.size_bytes)}"


def _describe_at_work(state_dir: Path, files: Sequence[_File], died_ms: int) -> Iterator[str]:
    """List the sessions whose transcripts were written last before the death, or are locked."""
    locked = {each.path.removesuffix(".lock") for each in files if each.path.endswith(_LOCK)}
    at_work = [
        each
        for each in files
        if _is_transcript(each.path)
        and (each.path in locked or 0 <= died_ms - each.modified_ms <= _AT_WORK_MS)
    ]
    for each in sorted(at_work, key=lambda one: -one.modified_ms)[:_SHOWN]:
        ago = format_span(max(0, died_ms - each.modified_ms))
        yield (
            f"at work when it died: {_name(each, state_dir)}, {format_bytes(each.size_bytes)}, "
            f"written {ago} before"
        )


def _describe_growth(trend: Trend | None) -> Iterator[str]:
    if trend is None:
        return
    in_all = format_span(int(1000 * trend.limit_bytes / trend.bytes_per_s))
    yield (
        f"memory grew by {format_bytes(int(trend.bytes_per_s * 3600))} an hour for "
        f"{format_span(int(1000 * trend.span_s))}, which fills the heap in {in_all}: a leak, or "
        "work that piles up"
    )


def _walk(root: Path) -> Iterator[_File]:
    """Walk a tree, the upper folders first, until time or number run out."""
    folders, seen = [str(root)], 0
    until_s = clock.monotonic_s() + _LONGEST_S
    while folders and clock.monotonic_s() < until_s:
        folder = folders.pop(0)
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                seen += 1
                if seen >= _MOST_ENTRIES:
                    return
                with suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        if entry.name not in _LEFT_OUT:
                            folders.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        status = entry.stat(follow_symlinks=False)
                        yield _File(entry.path, status.st_size, status.st_mtime_ns // 1_000_000)


def _is_transcript(path: str) -> bool:
    return path.endswith(_TRANSCRIPT) and os.path.basename(os.path.dirname(path)) == _SESSIONS  # noqa: PTH119, PTH120


def _name(file: _File, state_dir: Path) -> str:
    return os.path.relpath(file.path, state_dir)
