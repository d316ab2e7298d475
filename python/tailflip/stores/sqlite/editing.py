"""Plans what a target that stays becomes: without what is made anew, or with its run's end.

The end of a run stands in three places, which must agree: in the entry, in the node's own column,
and in the window of its session. The entry is the truth and the others follow it; the node is
proven again last of all (`change`). Fields of a run that is at work go with it.

Source: rows of 2026.8.1, 2026.9.5 and 2026.9.6 before and after their own repair of a sub-agent;
a gateway of each started on rows that were written this way (`tests/gateway`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tailflip.base.errors import StoreChanged
from tailflip.flow.late import dataclass
from tailflip.stores.sqlite.library import Text
from tailflip.stores.sqlite.rows import Line
from tailflip.stores.sqlite.schema import CONTRACT, NODES, WINDOWS
from tailflip.stores.sqlite.units import BULK, RUNNING

if TYPE_CHECKING:
    import sqlite3

    from tailflip.stores.sqlite.rows import Value
    from tailflip.stores.sqlite.survey import Change

_AT_WORK = ("lifecycleRunId", "activeWriterRunId")
_End = tuple[str, int, int]


@dataclass(frozen=True)
class Edit:
    """The rows of a target as they are, and as they will be: their keys, and what changes."""

    before: tuple[Line, ...]
    after: tuple[Line, ...]


def plan_edit(db: sqlite3.Connection, change: Change) -> Edit:
    """Plan the change of one target; nothing is written.

    Raises:
        StoreChanged: it is not there any more.
    """
    target, told = change.target, change.told
    if target.node == CONTRACT:
        pairs = [_take_receipt(db)]
    elif target.window is not None:
        pairs = [_end_window(db, target.window, told.end, others=("updated_at",))]
    else:
        pairs = [_edit_node(db, change)]
        session = None if told.end is None else _find_window(db, change)
        if session is not None:
            before, after = _end_window(db, session, told.end)
            pairs.append((replace(before, left=_without_key(after)), after))
    return Edit(tuple(before for before, _ in pairs), tuple(after for _, after in pairs))


def write_end(status: Value, end: _End | None) -> dict[str, Value]:
    """Return the columns of a window whose run is over; none where it says how it ended."""
    is_open = end is not None and isinstance(status, bytes) and status == RUNNING.encode()
    return {"status": Text(end[0].encode()), "ended_at": end[1]} if end and is_open else {}


def _take_receipt(db: sqlite3.Connection) -> tuple[Line, Line]:
    row = db.execute(f"SELECT canonical_ready FROM {CONTRACT} WHERE id = 1").fetchone()
    if row is None:
        raise StoreChanged("the receipt of the last check changed while it was read")
    before = Line(CONTRACT, {"id": 1, "canonical_ready": row[0]})
    return before, Line(CONTRACT, {"id": 1, "canonical_ready": None})


def _edit_node(db: sqlite3.Connection, change: Change) -> tuple[Line, Line]:
    node, told = change.target.node, change.told
    gone = (*(BULK if told.is_slim else ()), *(_AT_WORK if told.end else ()))
    paths = ", ".join(f"'$.{name}'" for name in gone)
    entry, values = f"json_remove(entry_json, {paths})", told.end or ()
    if told.end is not None:
        entry = f"json_set({entry}, '$.status', ?, '$.endedAt', ?, '$.runtimeMs', ?)"
    row = db.execute(
        f"SELECT entry_json, {entry}, status FROM {NODES} WHERE session_key = ?",
        (*values, node),
    ).fetchone()
    if row is None:
        raise StoreChanged(f"entry changed while it was read: {node}")
    key: dict[str, Value] = {"session_key": Text(node.encode())}
    old: dict[str, Value] = {"entry_json": row[0]}
    new: dict[str, Value] = {"entry_json": row[1]}
    if told.end is not None:
        old["status"], new["status"] = row[2], Text(told.end[0].encode())
    return Line(NODES, key | old), Line(NODES, key | new)


def _find_window(db: sqlite3.Connection, change: Change) -> str | None:
    """Find the window of a node's session, where it says "running".

    A window of another node that uses it, and says so too, is that one's to end.
    """
    row = db.execute(
        f"SELECT own.session_id FROM {WINDOWS} AS own JOIN {NODES} AS owner USING (session_key)"
        " WHERE own.session_id = ? AND own.status = ? AND (own.session_key = ?"
        " OR owner.current_session_id <> own.session_id OR owner.status IS NOT own.status)",
        (change.session, RUNNING, change.target.node),
    ).fetchone()
    return None if row is None else row[0].decode()


def _end_window(
    db: sqlite3.Connection, session: str, end: _End | None, others: tuple[str, ...] = ()
) -> tuple[Line, Line]:
    columns = (*others, "session_id", "status", "ended_at")
    row = db.execute(
        f"SELECT {', '.join(columns)} FROM {WINDOWS} WHERE session_id = ?", (session,)
    ).fetchone()
    if row is None:
        raise StoreChanged(f"window changed while it was read: {session}")
    before = Line(WINDOWS, dict(zip(columns, row, strict=True)), moved=True)
    ended = write_end(before.values["status"], end)
    return before, replace(before, values={**before.values, **ended})


def _without_key(line: Line) -> dict[str, Value]:
    return {name: value for name, value in line.values.items() if name != "session_id"}
