"""The draft of a change to a database: the steps, in the order in which they will be taken.

A draft is a stream of records in the form of an archive. The first names the database, the last
has the numbers of the database after the change and a digest of all steps. A step names a node or
a closed window, what is done to it, and a digest of its entry as it is before. Its bytes are lines
of rows: rows that are put in, or new columns of rows that stay.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic import ValidationError

from tailflip.base.errors import StoreInvalid
from tailflip.flow.late import dataclass
from tailflip.flow.numbers import RecordHeader, VerifyNumbers
from tailflip.flow.values import Value
from tailflip.stores.records import RecordReader, RecordWriter, split_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Verb(StrEnum):
    """What a record of a draft asks for."""

    OPEN = "open"
    DELETE = "delete"
    EDIT = "edit"
    INSERT = "insert"
    END = "end"


@dataclass(frozen=True)
class Step:
    """One step: what is done to which node or closed window, of how many bytes.

    `before` is the digest of the entry that it changes; None where there must be none.
    """

    verb: Verb
    name: str
    bytes: int
    before: str | None = None


class _End(Value):
    entries: int
    bytes: int
    digest: str


def digest_entry(entry: bytes) -> str:
    """Return the digest by which an entry is known again."""
    return hashlib.blake2b(entry, digest_size=32).hexdigest()


class WorkWriter:
    """Writes a draft into an empty file."""

    def __init__(self, fd: int, store: str) -> None:
        """Begin the draft of a change to a database."""
        self._records = RecordWriter(fd)
        self._digest = hashlib.blake2b(digest_size=16)
        self.add(Step(Verb.OPEN, store, 0))

    def add(self, step: Step, chunks: Iterable[bytes] = (), size_bytes: int = 0) -> None:
        """Add a step, with the `size_bytes` bytes that it needs."""
        self._digest.update(repr(step).encode())
        header = RecordHeader(
            key=step.name,
            rule=step.verb.value,
            time_ms=0,
            at=0,
            bytes=size_bytes,
            lead=0,
            trail=0,
            session=None,
            file=None,
            job=None,
            after=step.before,
            after_bytes=step.bytes,
        )
        self._records.add(header, self._digesting(chunks))

    def finish(self, entries: int, size_bytes: int) -> VerifyNumbers:
        """End the draft; returns the numbers that reading it must find."""
        end = _End(entries=entries, bytes=size_bytes, digest=self._digest.hexdigest())
        raw = end.model_dump_json().encode()
        self.add(Step(Verb.END, "", 0), (raw,), len(raw))
        self._records.finish()
        return _numbers(end)

    def _digesting(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._digest.update(chunk)
            yield chunk


class WorkReader:
    """Reads a draft; `store` is the database that it changes."""

    def __init__(self, fd: int) -> None:
        """Open a draft.

        Raises:
            StoreInvalid: it is none, or is damaged.
        """
        self._records = RecordReader(fd)
        self._digest = hashlib.blake2b(digest_size=16)
        first = self._next()
        if first.verb is not Verb.OPEN:
            raise _damaged()
        self._digest.update(repr(first).encode())
        self.store = first.name
        self._numbers: VerifyNumbers | None = None

    def steps(self) -> Iterator[Step]:
        """Stream the steps; after the last one, `numbers` are known.

        Raises:
            StoreInvalid: the draft is not as it was written.
        """
        while (step := self._next()).verb is not Verb.END:
            self._digest.update(repr(step).encode())
            yield step
            for _ in self.chunks():
                pass  # what the caller did not want counts for the digest all the same
        try:
            end = _End.model_validate_json(b"".join(self._records.chunks()))
        except ValidationError as e:
            raise _damaged() from e
        if end.digest != self._digest.hexdigest():
            raise _damaged()
        self._numbers = _numbers(end)

    def chunks(self) -> Iterator[bytes]:
        """Stream the bytes of the step that was yielded last."""
        for chunk in self._records.chunks():
            self._digest.update(chunk)
            yield chunk

    def lines(self) -> Iterator[bytes]:
        """Stream the lines of the step that was yielded last."""
        return split_lines(self.chunks())

    def verify(self) -> VerifyNumbers:
        """Read what is left, and return the numbers of the database after the change.

        Raises:
            StoreInvalid: the draft is not as it was written.
        """
        if self._numbers is None:
            for _ in self.steps():
                pass
        if self._numbers is None:
            raise _damaged()
        return self._numbers

    def _next(self) -> Step:
        header = self._records.next()
        if header is None:
            raise _damaged()
        try:
            verb = Verb(header.rule)
        except ValueError as e:
            raise _damaged() from e
        return Step(verb, header.key, header.after_bytes, header.after)


def _numbers(end: _End) -> VerifyNumbers:
    return VerifyNumbers(
        bytes=end.bytes, entries=end.entries, digest=end.digest, kept_digest=end.digest
    )


def _damaged() -> StoreInvalid:
    return StoreInvalid("draft does not read as it was written; nothing was changed")
