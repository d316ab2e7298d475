"""Finds the rows of a database at which a start of its gateway ends.

A gateway parses the entries that it has to prove, and the events of sessions whose index it makes
anew: it ends with exit 1 at the first that is no JSON. In between, a session with such an event
cannot be shown. It notes in `session_key_contract` that it has proven all entries of this very
file. From then on it refuses the whole database for one entry that is not proven, and does not
prove it. Without that receipt it proves all of them again, and starts, unless an entry names
another session than its row.

A row counts as unreadable where `JSON.parse` is sure to refuse it. All others stay.

Source: experiments on OpenClaw 2026.9.6, and its `validateCanonicalSessionRow`.
"""

from __future__ import annotations

import json
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from tailflip.stores.sqlite.library import to_text
from tailflip.stores.sqlite.schema import CONTRACT, EVENTS, NODES, WINDOWS, read_columns
from tailflip.stores.sqlite.units import Target

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

_MOST_BYTES = 64 << 20  # what is longer is not judged, and stays
_AGREES = "json_extract(entry_json, '$.sessionId') IS current_session_id"
_ID_AT = 2  # in the receipt: its version, the main key, the file's device and inode, its birth


def find_unreadable_nodes(db: sqlite3.Connection) -> Iterator[tuple[int, Target, str, int]]:
    """Stream row id, target, session and bytes of the entries that are no JSON."""
    rows = db.execute(
        f"SELECT rowid, session_key, current_session_id, entry_json FROM {NODES}"
        " WHERE NOT json_valid(entry_json)"
    )
    for rowid, key, session, text in rows:
        if is_unreadable(text):
            yield rowid, Target(to_text(key)), to_text(session), len(text)


def find_contradicting_nodes(
    db: sqlite3.Connection, path: Path
) -> Iterator[tuple[int, Target, str, int]]:
    """Stream the entries that name another session than their row, as `find_unreadable_nodes`.

    Which of the two is right cannot be told. Only those count at which the gateway is sure to end:
    an entry without a session's name is none of them. Arguments as for `count_refused`.
    """
    if not (_has_receipt(db, path) or _is_yet_to_prove(db)):
        return
    rows = db.execute(
        f"""
        SELECT rowid, session_key, current_session_id, entry_json
        FROM (SELECT rowid, * FROM {NODES} WHERE json_valid(entry_json) LIMIT -1 OFFSET 0)
        WHERE json_type(entry_json, '$.sessionId') = 'text' AND NOT {_AGREES}
        """
    )
    for rowid, key, session, text in rows:
        yield rowid, Target(to_text(key)), to_text(session), len(text)


def find_unreadable_events(db: sqlite3.Connection) -> Iterator[tuple[Target, int]]:
    """Stream target and bytes of the events that are no JSON; packed ones are not looked into.

    Reads every event. A session with an event in doubt is left out: once one event goes, the
    gateway reads all others of the session, and would end at that one.
    """
    suspects = db.execute(  # in the order of the key, which needs no sort
        f"SELECT session_id, seq FROM {EVENTS}"
        " WHERE event_json IS NOT NULL AND NOT json_valid(event_json) ORDER BY session_id, seq"
    )
    for session, rows in groupby(suspects, key=itemgetter(0)):
        numbers = [seq for _, seq in rows]
        sizes = [_measure_unreadable(db, session, seq) for seq in numbers]
        (key,) = db.execute(
            f"SELECT session_key FROM {WINDOWS} WHERE session_id = CAST(? AS TEXT)", (session,)
        ).fetchone() or (None,)
        if key is None or None in sizes:
            continue
        for seq, size_bytes in zip(numbers, sizes, strict=True):
            yield Target(to_text(key), to_text(session), seq), size_bytes or 0


def _measure_unreadable(db: sqlite3.Connection, session: bytes, seq: int) -> int | None:
    """Return the bytes of an event that is sure to be unreadable; None for one in doubt."""
    (text,) = db.execute(
        f"SELECT event_json FROM {EVENTS} WHERE session_id = CAST(? AS TEXT) AND seq = ?",
        (session, seq),
    ).fetchone()
    return len(text) if is_unreadable(text) else None


class Refused(NamedTuple):
    """How many entries the gateway refuses although they are JSON.

    `unproven`: it would accept them, but does not look. `contradicting`: they name another session
    than their column, or the gateway itself has found them invalid.
    """

    unproven: int = 0
    contradicting: int = 0


def count_refused(db: sqlite3.Connection, path: Path) -> Refused:
    """Count the entries that end the next start of the gateway of this very file.

    Args:
        db: the database, or a copy of it.
        path: of the database itself, which the receipt names.
    """
    has_receipt = _has_receipt(db, path)
    if not (has_receipt or _is_yet_to_prove(db)):
        return Refused()
    # An empty entry keeps the place of a window, and is valid as such.
    told = db.execute(
        f"""
        SELECT sum({has_receipt} AND entry_valid = 0 AND {_AGREES}),
          sum({has_receipt} AND entry_valid = -1 OR NOT {_AGREES})
        FROM (SELECT * FROM {NODES} WHERE json_valid(entry_json) LIMIT -1 OFFSET 0)
        WHERE entry_json <> '{{}}'
        """
    ).fetchone()
    return Refused(*(int(count or 0) for count in told))


def read_receipt(db: sqlite3.Connection) -> bytes | None:
    """Read the gateway's receipt for its check of all entries; None where there is none."""
    if "canonical_ready" not in read_columns(db, CONTRACT):
        return None
    row = db.execute(f"SELECT canonical_ready FROM {CONTRACT} WHERE id = 1").fetchone()
    return None if row is None or row[0] is None else bytes(row[0])


def is_unreadable(text: bytes) -> bool:
    """Say whether `JSON.parse` is sure to refuse a text.

    Of a text with a NUL, a reader may see the beginning alone: both must be refused.
    """
    parts = {text, text.partition(b"\0")[0]}
    return len(text) <= _MOST_BYTES and all(map(_is_refused, parts))


def _is_refused(text: bytes) -> bool:
    # This parser takes all that JSON.parse takes, and a little more.
    told = text.decode("utf-8", "replace").removeprefix("\ufeff")
    try:
        json.loads(told, parse_int=str, parse_float=str)
    except json.JSONDecodeError:
        return True
    except RecursionError:
        return False  # too deep for us
    return False


def _has_receipt(db: sqlite3.Connection, path: Path) -> bool:
    """Say whether the gateway has proven all entries of this very file, and goes by that."""
    receipt = read_receipt(db)
    return receipt is not None and _names_file(receipt, path)


def _is_yet_to_prove(db: sqlite3.Connection) -> bool:
    """Say whether the gateway has no receipt, and proves all entries at its next start.

    With one for another file than this it does so too, and takes some that it refuses else.
    """
    if "canonical_ready" not in read_columns(db, CONTRACT):
        return False
    row = db.execute(f"SELECT canonical_ready IS NULL FROM {CONTRACT} WHERE id = 1").fetchone()
    return row is not None and bool(row[0])


def _names_file(receipt: bytes, path: Path) -> bool:
    try:
        told = json.loads(receipt)
        info = path.stat()
    except (ValueError, OSError):
        return False
    is_list = isinstance(told, list) and len(told) > _ID_AT
    return is_list and told[_ID_AT] == f"{info.st_dev}:{info.st_ino}"
