"""Salvage of a damaged JSON file: every entry that is proven, and where the gaps are."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from tailflip.base.durable import open_regular, resolve
from tailflip.base.errors import StoreInvalid
from tailflip.flow.numbers import SalvageNumbers, VerifyNumbers
from tailflip.stores.candidates import Candidate
from tailflip.stores.extension import report_to
from tailflip.stores.json import native
from tailflip.stores.json.neighbours import is_backup, is_copy, is_temporary

if TYPE_CHECKING:
    from pathlib import Path

    from tailflip.base.progress import Progress

_COMPARE_BYTES = 1 << 18
_OVERLAP_BYTES = 1 << 12
# How an entry begins: as a session's key, or with its session's id, as the gateway writes it.
_ENTRY_LOOK = re.compile(
    rb'"agent:[^"\n]*"\s*:\s*\{|"(?!agent:)[^"\n]*"\s*:\s*\{\s*"sessionId"\s*:'
)


class JsonSalvager:
    """Saves the proven entries of JSON stores, and finds other files to rebuild them from."""

    def list_files(self, store: Path) -> list[Path]:
        """List what a store can be rebuilt from: itself, backups, temporary files, copies."""
        real = resolve(store)
        names = [other for other in real.parent.iterdir() if other.is_file()]
        backups = [other for other in names if is_backup(other.name, real.name)]
        backups.sort(key=lambda other: (len(other.name), other.name), reverse=True)
        temporary = [other for other in names if is_temporary(other.name, real.name)]
        temporary.sort(key=lambda other: other.stat().st_mtime_ns, reverse=True)
        others = [o for o in names if is_copy(o.name, real.name) and o not in backups]
        others.sort(key=lambda other: other.stat().st_mtime_ns, reverse=True)
        return [*([real] if os.path.lexists(real) else []), *backups, *temporary, *others]

    def measure(self, path: Path, on_progress: Progress | None = None) -> Candidate:
        """Measure one candidate."""
        with open_regular(path) as fd:
            info = os.fstat(fd)
            report = report_to(on_progress, "salvage", info.st_size)
            modified_ms, size_bytes = info.st_mtime_ns // 1_000_000, info.st_size
            try:
                return Candidate(path, modified_ms, size_bytes, None, native.verify(fd, report))
            except StoreInvalid as e:
                damage = e.message
            found = native.salvage(fd, None, report)
            unsure = found.unsure
            if unsure is None and _hides_entries(fd, found):
                unsure = found.gaps[0][0]
            return Candidate(
                path=path,
                modified_ms=modified_ms,
                size_bytes=size_bytes,
                damage=damage,
                written=VerifyNumbers.of(found),
                left=found.left,
                lost_bytes=found.lost_bytes,
                gaps=found.gaps,
                gap_count=found.gap_count,
                unsure=unsure,
                cut=found.cut,
                blank=found.blank,
            )

    def write(self, path: Path, fd: int, on_progress: Progress | None = None) -> None:
        """Write every entry of a damaged file that is proven."""
        with open_regular(path) as damaged:
            size_bytes = os.fstat(damaged).st_size
            native.salvage(damaged, fd, report_to(on_progress, "salvage", size_bytes))


def _hides_entries(fd: int, found: SalvageNumbers) -> bool:
    """Say whether the gaps may hold more entries than were counted there.

    An entry with another indentation than the file's, as people paste it in, cannot be proven.
    What looks like an entry may be one, so a person decides.
    """
    if found.gap_count > len(found.gaps):
        return True
    looks = 0
    for start, end in found.gaps:
        for at in range(start, end, _COMPARE_BYTES):
            # An entry that begins in this piece may end in the next.
            piece = os.pread(fd, min(end - at, _COMPARE_BYTES + _OVERLAP_BYTES), at)
            looks += sum(look.start() < _COMPARE_BYTES for look in _ENTRY_LOOK.finditer(piece))
    # The entry that a cut file ends in is reported as cut, and counted apart.
    return looks > found.left + (1 if found.cut else 0)
