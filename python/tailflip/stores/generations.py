"""Tells which archived entries are older generations of a key that a newer archive brings back.

An entry that was removed, lived again and was removed again is in two archives. The newest comes
back; an older one with other bytes is a conflict with it, as it is with a living entry.
"""

from __future__ import annotations

import os
import secrets
from contextlib import ExitStack
from itertools import groupby, islice
from operator import itemgetter
from typing import TYPE_CHECKING

from tailflip.base.durable import open_scratch
from tailflip.base.errors import TailflipError
from tailflip.flow.numbers import RestoreNumbers, Selection
from tailflip.stores import archive
from tailflip.stores.records import read_headers
from tailflip.stores.tables import Starts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tailflip.base.state_dir import Home
    from tailflip.flow.numbers import RecordHeader
    from tailflip.ledger.actions import Action
    from tailflip.stores.engine import Engine, Opened

_MOST_KEYS = 20_000  # in memory at a time; each lot costs a pass over store and archives


def correct(
    home: Home,
    engine: Engine,
    source: Opened,
    *,
    found: Sequence[RestoreNumbers],
    actions: Sequence[Action],
    selection: Selection,
) -> list[RestoreNumbers]:
    """Correct the numbers of archives that were each compared with the store alone.

    Keys that several archives hold are put back into a file without a name, one archive after the
    other, as a restore would.

    Args:
        home: where the archives are.
        engine: of the store.
        source: the store.
        found: the numbers of each archive.
        actions: those of the archives, newest first.
        selection: the entries that are wanted.
    """
    corrected = list(found)
    try:
        for keys in _list_repeated(home, actions, selection) if len(actions) > 1 else ():
            with ExitStack() as stack:
                corrected = _follow(
                    home,
                    engine,
                    source,
                    found=corrected,
                    actions=actions,
                    narrow=Selection(keys=keys),
                    stack=stack,
                )
    except (TailflipError, OSError):
        return list(found)  # there is no room for it; the restore itself will tell the same
    return corrected


def _follow(
    home: Home,
    engine: Engine,
    source: Opened,
    *,
    found: Sequence[RestoreNumbers],
    actions: Sequence[Action],
    narrow: Selection,
    stack: ExitStack,
) -> list[RestoreNumbers]:
    """Put the repeated keys back in turn, and exchange their part of the numbers."""
    reading: Opened | int = source
    before_bytes = reached_bytes = source.size_bytes
    corrected = []
    for numbers, action in zip(found, actions, strict=True):
        out = open_scratch()
        stack.callback(os.close, out)
        with archive.reading_records(home, action.id) as records:
            alone = engine.put_back(source, None, records, narrow)
        with archive.reading_records(home, action.id) as records:
            after = engine.put_back(reading, out, records, narrow)
        grown_bytes, reached_bytes = after.bytes - reached_bytes, after.bytes
        reading = out
        others = [key for key in numbers.conflict_keys if key not in alone.conflict_keys]
        corrected.append(
            numbers.model_copy(
                update={
                    "added": numbers.added - alone.added + after.added,
                    "replaced": numbers.replaced - alone.replaced + after.replaced,
                    "unchanged": numbers.unchanged - alone.unchanged + after.unchanged,
                    "conflicts": numbers.conflicts - alone.conflicts + after.conflicts,
                    "conflict_keys": (*others, *after.conflict_keys),
                    "bytes": numbers.bytes - alone.bytes + before_bytes + grown_bytes,
                }
            )
        )
    return corrected


def _list_repeated(
    home: Home, actions: Sequence[Action], selection: Selection
) -> Iterator[tuple[str, ...]]:
    """List the wanted keys that more than one archive holds, so many at a time."""
    table = Starts(secrets.randbits(63))
    for number, action in enumerate(actions):
        for header in read_wanted(home, action, selection):
            table.add(header.key, number)
    repeated = (
        key_hash for key_hash, group in groupby(table, itemgetter(0)) if len(list(group)) > 1
    )
    while hashes := frozenset(islice(repeated, _MOST_KEYS)):
        keys = {
            header.key
            for action in actions
            for header in read_wanted(home, action, selection)
            if table.hash(header.key) in hashes
        }
        yield tuple(keys)


def read_wanted(home: Home, action: Action, selection: Selection) -> Iterator[RecordHeader]:
    """Stream the headers of an archive's entries that are wanted."""
    keys, jobs = set(selection.keys), set(selection.jobs)
    with archive.reading_records(home, action.id) as fd:
        for header in read_headers(fd):
            if selection.all or header.key in keys or header.job in jobs:
                yield header
