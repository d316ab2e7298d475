"""The units of a database as a small store of JSON, which the engine's own tables read.

What evidence judges of an entry are its key, its session, its times and its status. Written down
as entries of that alone, rows are matched with run logs, task ledgers and starts by the same code
as the entries of a store of JSON.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tailflip.base.durable import open_scratch
from tailflip.base.errors import CannotCreate
from tailflip.stores.sqlite.reading import read
from tailflip.stores.sqlite.units import gather, read_units

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

    from tailflip.stores.sqlite.schema import Schema
    from tailflip.stores.sqlite.units import Unit

_BUFFER_BYTES = 1 << 18


@contextmanager
def projecting(path: Path) -> Iterator[int]:
    """Write the units of a database to a file without a name; yields its descriptor.

    Raises:
        CannotCreate: there is no room for it.
    """
    fd = open_scratch()
    if fd < 0:
        raise CannotCreate(
            "cannot judge store: no room for a scratch file; nothing was changed",
            hint="free some room in /var/tmp, or set TMPDIR to a folder that has some",
        )
    try:
        with os.fdopen(fd, "wb", _BUFFER_BYTES, closefd=False) as file:

            def write(db: sqlite3.Connection, _: Schema) -> None:
                gather(db)
                lead = b"{"
                for page in read_units(db):
                    for unit in page:
                        file.write(lead + _encode(unit))
                        lead = b",\n"
                if lead == b"{":
                    file.write(lead)
                file.write(b"}")

            read(path, write)
        yield fd
    finally:
        os.close(fd)


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
