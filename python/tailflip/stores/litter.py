"""Counts the files in transcript folders by kind, and those that no entry names any more.

Source: file names of 2026.3.28 to 2026.9.6. Transcripts whose entry is gone, copies from before
a repair and from before a compaction, and traces of runs stay for ever in most releases.
"""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.flow.observed import ORPHANS, FileKind, Leftover, TranscriptFolder
from tailflip.observe.records.file_names import name_kind
from tailflip.stores.transcripts import gather_needed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tailflip.flow.observed import Store

_OLD_MS = 3_600_000  # the entry of a younger transcript may not be written yet
_TEMPORARY = re.compile(r"(?P<name>.+?)\.(?:[0-9]+\.)?[0-9a-f-]{8,36}\.tmp")
_LONGEST_WRITE_MS = 300_000


def observe_folders(stores: tuple[Store, ...], now_ms: int) -> tuple[TranscriptFolder, ...]:
    """List the folder of each store once; a folder that cannot be read has no kinds."""
    by_folder: dict[Path, list[Path]] = {}
    for store in stores:
        real = Path(os.path.realpath(store.path))
        by_folder.setdefault(real.parent, []).append(real)
    return tuple(_observe(folder, paths, now_ms) for folder, paths in by_folder.items())


def find_temporaries(
    cron_store: Path, config_path: Path, state_dir: Path, now_ms: int
) -> tuple[Leftover, ...]:
    """Find temporary files of killed writers of the gateway's small files, by folder and name.

    Those are the cron store with its state and run logs, the configuration, and the register of
    sub-agents.

    Source: `writeJsonAtomic` and `writeTextAtomic` of 2026.3.28 to 2026.7.35: a process id, then
    hex digits or a uuid.
    """
    cron = cron_store.parent
    places: dict[Path, tuple[str, ...]] = {}
    for folder, name in (
        (cron, re.escape(cron_store.name)),
        (cron, re.escape(f"{cron_store.stem}-state.json")),
        (cron / "runs", r".+\.jsonl"),
        (config_path.parent, re.escape(config_path.name)),
        (state_dir / "subagents", r"runs\.json"),
    ):
        places[folder] = (*places.get(folder, ()), name)
    found = []
    for folder, names in places.items():
        target = re.compile("|".join(names))
        for entry, size, modified_ms in _scan(folder, partial(_is_of, target)):
            if now_ms - modified_ms > _LONGEST_WRITE_MS:
                found.append(Leftover(Path(entry.path), size, modified_ms))
    return tuple(sorted(found, key=lambda each: each.path))


def _is_of(target: re.Pattern[str], name: str) -> bool:
    """Say whether a name is that of a temporary file for such a target."""
    match = _TEMPORARY.fullmatch(name)
    return match is not None and target.fullmatch(match["name"]) is not None


def _observe(folder: Path, stores: list[Path], now_ms: int) -> TranscriptFolder:
    counts: dict[str, list[int]] = {}
    needed = gather_needed(stores)
    for entry, size, modified_ms in _scan(folder):
        kind, session = name_kind(entry.name)
        if (
            session is not None
            and now_ms - modified_ms > _OLD_MS
            and needed is not None
            and not any(each.has(session) for each in needed)
        ):
            kind = ORPHANS
        found = counts.setdefault(kind, [0, 0])
        found[0] += 1
        found[1] += size
    kinds = (FileKind(name, files, size) for name, (files, size) in counts.items())
    return TranscriptFolder(folder, tuple(sorted(kinds, key=lambda kind: (-kind.bytes, kind.name))))


def _scan(
    folder: Path, is_wanted: Callable[[str], bool] = lambda _: True
) -> Iterator[tuple[os.DirEntry[str], int, int]]:
    """Yield regular files with size and time of change; skip one that vanishes meanwhile."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    if not is_wanted(entry.name) or not entry.is_file(follow_symlinks=False):
                        continue
                    status = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                yield entry, status.st_size, status.st_mtime_ns // 1_000_000
    except OSError:
        return
