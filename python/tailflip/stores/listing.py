"""Streams the entries of a store of JSON that evidence may judge."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from pydantic_core import from_json

from tailflip import _native
from tailflip.flow.numbers import ListedEntry
from tailflip.stores.extension import run_native

if TYPE_CHECKING:
    from collections.abc import Iterator

_PIPE_BYTES = 64 << 10


def list_entries(fd: int, joined: _native.Joined | None = None) -> Iterator[ListedEntry]:
    """Stream the entries that evidence may judge through a pipe, in bounded memory.

    Args:
        fd: The store.
        joined: The ledgers' lines about its entries.

    Raises:
        StoreInvalid: As for a survey; it may come after entries were yielded.
    """
    reading, writing = os.pipe()
    outcome: list[BaseException] = []

    def work() -> None:
        try:
            run_native(lambda c: _native.list_entries(fd, writing, joined, c), None)
        except BaseException as e:  # noqa: BLE001 - raised again by the reader
            outcome.append(e)
        finally:
            os.close(writing)

    writer = threading.Thread(target=work, name="tailflip-list", daemon=True)
    writer.start()
    try:
        with os.fdopen(reading, "rb", _PIPE_BYTES) as lines:
            for line in lines:
                yield ListedEntry(*from_json(line))
    finally:
        # A reader that stops early has closed its end: the writer then fails with EPIPE.
        writer.join()
    if outcome:
        raise outcome[0]
