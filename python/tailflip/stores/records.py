"""Reads and writes the records of an archive, which have one form for all engines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip import _native
from tailflip.flow.numbers import ArchiveNumbers, RecordHeader
from tailflip.stores.extension import run_native, translating

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tailflip.stores.extension import OnProgress

_HEADERS_A_CALL = 1_000
_CHUNK_BYTES = 256 << 10


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


class RecordWriter:
    """Writes an archive record by record into an empty file."""

    def __init__(self, fd: int) -> None:
        """Begin an archive."""
        self._native = _native.ArchiveWriter(fd)

    def add(self, header: RecordHeader, chunks: Iterable[bytes] = ()) -> None:
        """Write a record of as many bytes as its header says.

        Raises:
            OSError: no room, or the chunks are not as long as the header says.
        """
        self._native.begin(header.model_dump_json())
        for chunk in chunks:
            self._native.write(chunk)

    def finish(self) -> ArchiveNumbers:
        """End the archive; returns its numbers."""
        return ArchiveNumbers.model_validate_json(self._native.finish())


class RecordReader:
    """Reads an archive record by record, each in pieces of bounded size.

    Every method raises `ArchiveDamaged` where a byte is not what was written.
    """

    def __init__(self, fd: int) -> None:
        """Open an archive."""
        with translating():
            self._native = _native.ArchiveReader(fd)

    def next(self) -> RecordHeader | None:
        """Skip what is left of the record and read the next header; None at the end."""
        with translating():
            texts = self._native.next_headers(1)
        return RecordHeader.model_validate_json(texts[0]) if texts else None

    def chunks(self) -> Iterator[bytes]:
        """Stream the bytes of the record that was read last."""
        while True:
            with translating():
                chunk = self._native.read(_CHUNK_BYTES)
            if not chunk:
                return
            yield chunk

    def lines(self) -> Iterator[bytes]:
        """Stream the lines of the record that was read last, without their line feeds."""
        return split_lines(self.chunks())


def split_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Cut a stream of bytes at its line feeds, and leave those out."""
    rest: list[bytes] = []
    for chunk in chunks:
        *whole, tail = chunk.split(b"\n")
        for line in whole:
            rest.append(line)
            yield b"".join(rest)
            rest.clear()
        if tail:
            rest.append(tail)
    if rest:
        yield b"".join(rest)
