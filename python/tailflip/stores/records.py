"""Reads the records of an archive, which have one form for all engines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip import _native
from tailflip.flow.numbers import ArchiveNumbers, RecordHeader
from tailflip.stores.extension import run_native

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailflip.stores.extension import OnProgress

_HEADERS_A_CALL = 1_000


def verify_records(fd: int, on_progress: OnProgress | None = None) -> ArchiveNumbers:
    """Read an archive whole, decompressing and checking every record."""
    text = run_native(lambda c: _native.archive_verify(fd, c), on_progress)
    return ArchiveNumbers.model_validate_json(text)


def read_headers(fd: int) -> Iterator[RecordHeader]:
    """Stream an archive's record headers, a thousand in memory at a time."""
    reader = run_native(lambda _: _native.ArchiveReader(fd), None)
    while texts := run_native(lambda _: reader.next_headers(_HEADERS_A_CALL), None):
        for text in texts:
            yield RecordHeader.model_validate_json(text)
