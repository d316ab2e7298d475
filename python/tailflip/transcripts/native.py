"""Calls of the extension for transcripts; it reads and writes their bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip import _native
from tailflip.flow.numbers import SlimNumbers, UnslimNumbers
from tailflip.stores.extension import run_native

if TYPE_CHECKING:
    from tailflip.stores.extension import OnProgress


def measure(fd: int, name: str, on_progress: OnProgress | None = None) -> SlimNumbers:
    """Tell what slimming would do; `name` is what the archive will be called."""
    text = run_native(lambda c: _native.transcript_measure(fd, name, c), on_progress)
    return SlimNumbers.model_validate_json(text)


def slim(
    fd: int,
    fd_out: int,
    fd_archive: int,
    *,
    name: str,
    now_ms: int,
    on_progress: OnProgress | None = None,
) -> SlimNumbers:
    """Write the slimmed transcript, and every line that changes to the archive.

    Raises:
        StoreChanged: the transcript has another size now.
    """
    text = run_native(
        lambda c: _native.transcript_slim(fd, fd_out, fd_archive, name, now_ms, c), on_progress
    )
    return SlimNumbers.model_validate_json(text)


def unslim(
    fd: int,
    archive: int,
    *,
    slim_bytes: int,
    name: str,
    fd_out: int | None = None,
    original: int | None = None,
    on_progress: OnProgress | None = None,
) -> UnslimNumbers:
    """Write a transcript as it was, and what was appended since; without `fd_out`, only measure.

    Args:
        fd: the slimmed transcript.
        archive: its archive.
        slim_bytes: the size of the slimmed transcript as it was written.
        name: of the archive, as the slimmed transcript tells it.
        fd_out: where to write; empty.
        original: compared with each changed line, which must differ as the rules say.
        on_progress: as for a compaction.

    Raises:
        ArchiveDamaged: the archive does not read, or is not of this transcript.
        StoreChanged: the transcript is shorter than it was.
    """
    out, compared = -1 if fd_out is None else fd_out, -1 if original is None else original
    text = run_native(
        lambda c: _native.transcript_unslim(fd, slim_bytes, out, archive, compared, name, c),
        on_progress,
    )
    return UnslimNumbers.model_validate_json(text)


def digest(fd: int, start: int, end: int) -> str:
    """Return the digest of a part of a file.

    Raises:
        StoreChanged: the file ends before.
    """
    return run_native(lambda c: _native.transcript_digest(fd, start, end, c), None)
