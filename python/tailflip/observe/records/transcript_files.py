"""Surveys transcripts: how many, how large, and which have lost their header.

One stat for each file; of each the first bytes are read, where the heads are wanted. Memory does
not grow with the number of files.
"""

from __future__ import annotations

import os
from heapq import heappush, heappushpop
from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.base.regular import open_to_read
from tailflip.flow.observed import Transcript, Transcripts
from tailflip.observe.records.file_names import ENDING, TRANSCRIPT, name_kind
from tailflip.observe.records.heads import Head, Judged, judge_head

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailflip.observe.installation import Installation

_HEAD_BYTES = 4096
_FAR_BYTES = 1 << 20  # read where the first bytes did not suffice
_LARGEST = 10
_MOST_HEADLESS = 1_000
_UNKNOWN = Judged(Head.UNKNOWN)


def find_transcript_folders(installation: Installation) -> tuple[Path, ...]:
    """List the folders with transcripts: none where all sessions are in databases."""
    stores = [
        each for each in (*installation.stores, *installation.missing) if not each.is_database
    ]
    if not stores:
        return ()
    folders = {Path(os.path.realpath(each.path)).parent for each in stores}
    agents = (installation.state_dir / "agents" / each / "sessions" for each in installation.agents)
    return tuple(sorted(folders | {Path(os.path.realpath(each)) for each in agents}))


def survey_transcripts(
    installation: Installation, *, reads_heads: bool = True
) -> tuple[Transcripts, ...]:
    """Survey the transcripts of each folder of an installation.

    Args:
        installation: Where to look.
        reads_heads: Read the first bytes of each file, too.
    """
    found = (
        _survey(folder, reads_heads=reads_heads) for folder in find_transcript_folders(installation)
    )
    return tuple(each for each in found if each.files)


def list_transcripts(folder: Path) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
    """List the transcripts of a folder with their stats; links are none, nor are copies."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if not name.endswith(ENDING):
                    continue
                # The name of nearly every transcript has no other dot: it needs no patterns.
                stem = name[: -len(ENDING)].replace("-", "")
                is_plain = stem.isalnum() and stem.isascii() and name[0] != "-"
                if not is_plain and name_kind(name)[0] != TRANSCRIPT:
                    continue
                try:
                    if entry.is_file(follow_symlinks=False):
                        yield entry, entry.stat(follow_symlinks=False)
                except OSError:
                    continue
    except OSError:
        return


def read_head(path: str | Path) -> Judged:
    """Judge the head of one transcript; unknown where it cannot be read."""
    try:
        fd = open_to_read(path, follows=False)
    except OSError:
        return _UNKNOWN
    try:
        data = os.read(fd, _HEAD_BYTES)
        judged = judge_head(data, is_all=len(data) < _HEAD_BYTES)
        if judged.head is Head.WHOLE or len(data) < _HEAD_BYTES:
            return judged
        data = os.pread(fd, _FAR_BYTES, 0)
        return judge_head(data, is_all=len(data) < _FAR_BYTES)
    except OSError:
        return _UNKNOWN
    finally:
        os.close(fd)


def _survey(folder: Path, *, reads_heads: bool) -> Transcripts:
    files = size_bytes = headless_files = 0
    largest: list[tuple[int, str, int]] = []
    headless: list[Transcript] = []
    for entry, status in list_transcripts(folder):
        files += 1
        size_bytes += status.st_size
        modified_ms = status.st_mtime_ns // 1_000_000
        row = (status.st_size, entry.path, modified_ms)
        if len(largest) < _LARGEST:
            heappush(largest, row)
        else:
            heappushpop(largest, row)
        if not reads_heads or not status.st_size:
            continue
        judged = read_head(entry.path)
        if judged.head is Head.HEADLESS:
            headless_files += 1
            if len(headless) < _MOST_HEADLESS:
                headless.append(
                    Transcript(Path(entry.path), status.st_size, modified_ms, judged.why)
                )
    return Transcripts(
        folder=folder,
        files=files,
        bytes=size_bytes,
        largest=tuple(
            Transcript(Path(path), size, at_ms) for size, path, at_ms in sorted(largest)[::-1]
        ),
        headless=tuple(sorted(headless, key=lambda each: each.path)) if reads_heads else None,
        headless_files=headless_files,
    )
