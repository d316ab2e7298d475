"""The units of a database as a small store of JSON, which the engine's own tables read.

What evidence judges of an entry are its key, its session, its times and its status. Written down
as entries of that alone, rows are matched with run logs, task ledgers and starts by the same code
as the entries of a store of JSON.
"""

from __future__ import annotations

import json
import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from pydantic_core import from_json, to_json

from tailflip.base.durable import open_scratch
from tailflip.base.errors import CannotCreate
from tailflip.stores.sqlite.reading import read
from tailflip.stores.sqlite.units import gather_times, read_units

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tailflip.flow.numbers import ListedEntry
    from tailflip.stores.sqlite.schema import Schema
    from tailflip.stores.sqlite.units import Unit

_BUFFER_BYTES = 1 << 18


class Projection(NamedTuple):
    """Descriptors of two files without a name: the small store, and when transcripts were written.

    The second has a line of JSON for each entry whose transcript's time is known, in the order of
    the entries: its key, and the time.
    """

    entries: int
    written: int

    def join(self, listed: Iterable[ListedEntry]) -> Iterator[ListedEntry]:
        """Tell each entry when its transcript was written; takes entries in their own order."""
        os.lseek(self.written, 0, os.SEEK_SET)
        with os.fdopen(self.written, "rb", _BUFFER_BYTES, closefd=False) as lines:
            key, moment = "", None
            for entry in listed:
                while key != entry.key and (line := lines.readline()):
                    key, moment = from_json(line)
                yield entry._replace(written_ms=moment if key == entry.key else None)


@contextmanager
def projecting(path: Path) -> Iterator[Projection]:
    """Write the units of a database to files without a name.

    Raises:
        CannotCreate: there is no room for them.
    """
    with ExitStack() as stack:
        found = Projection(_open(stack), _open(stack))
        with (
            os.fdopen(found.entries, "wb", _BUFFER_BYTES, closefd=False) as file,
            os.fdopen(found.written, "wb", _BUFFER_BYTES, closefd=False) as written,
        ):

            def write(db: sqlite3.Connection, _: Schema) -> None:
                gather_times(db)
                lead = b"{"
                for page in read_units(db):
                    for unit in page:
                        file.write(lead + _encode(unit))
                        lead = b",\n"
                        if unit.written_ms is not None:
                            written.write(to_json([unit.judged, unit.written_ms]) + b"\n")
                if lead == b"{":
                    file.write(lead)
                file.write(b"}")

            read(path, write)
        yield found


def _open(stack: ExitStack) -> int:
    fd = open_scratch()
    if fd < 0:
        raise CannotCreate(
            "cannot judge store: no room for a scratch file; nothing was changed",
            hint="free some room in /var/tmp, or set TMPDIR to a folder that has some",
        )
    stack.callback(os.close, fd)
    return fd


def _encode(unit: Unit) -> bytes:
    fields = {
        "sessionId": unit.session,
        "updatedAt": unit.updated_ms,
        "startedAt": unit.started_ms,
        "endedAt": unit.ended_ms,
        "status": unit.status,
    }
    told = {name: value for name, value in fields.items() if value is not None}
    return f"{json.dumps(unit.judged)}:{json.dumps(told)}".encode()
