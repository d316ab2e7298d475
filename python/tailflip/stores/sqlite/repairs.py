"""What is done to a database whatever the policy: rows that stop its gateway, and free pages.

An unreadable entry goes with all that hangs on it, and so does one that contradicts its row. An
unreadable event goes with what refers to it.
Entries that are refused unproven stay as they are: the gateway's receipt of its last check goes,
and it proves all of them again. The archive has the rows and the receipt, byte for byte.
"""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING

from tailflip.flow.fill import is_mostly_free
from tailflip.flow.late import dataclass
from tailflip.flow.numbers import SurveyNumbers, Tally
from tailflip.flow.rules import Repair
from tailflip.stores.sqlite.faults import (
    count_refused,
    find_contradicting_nodes,
    find_unreadable_events,
    find_unreadable_nodes,
)
from tailflip.stores.sqlite.library import read_pages, to_text
from tailflip.stores.sqlite.reading import read
from tailflip.stores.sqlite.schema import CONTRACT
from tailflip.stores.sqlite.survey import DROP, EDIT, Change, Told
from tailflip.stores.sqlite.units import Target, count_entries

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any

    from tailflip.stores.sqlite.mark import Mark
    from tailflip.stores.sqlite.schema import Schema

_GO = Told(DROP, Repair.QUARANTINE)


@dataclass(frozen=True)
class Repairs:
    """What a database needs, by `Repair` in the rules of `numbers`, and how far was looked.

    `free_bytes` are those that are to be given back.
    """

    path: Path
    numbers: SurveyNumbers
    mark: Mark
    schema: Schema
    now_ms: int
    reads_events: bool
    free_bytes: int

    def judge_again(
        self, db: sqlite3.Connection, note: Callable[[Change], object]
    ) -> SurveyNumbers:
        """Note every change in a temporary table, call `note` with each, and count again."""
        db.execute(
            "CREATE TEMP TABLE repairs (node TEXT, window TEXT, seq INTEGER, verb TEXT, rule TEXT,"
            " id INTEGER, session TEXT, bytes INTEGER)"
        )

        def keep(change: Change) -> None:
            target, (verb, rule, _), *own = change
            db.execute(
                "INSERT INTO temp.repairs VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*target, verb, rule, *own),
            )
            note(change)

        found = _look(db, self.path, keep, reads_events=self.reads_events)
        used_bytes = self.numbers.bytes - self.free_bytes
        return _sum_up(found, self.numbers.entries, used_bytes, self.free_bytes)

    def read_changes(self, db: sqlite3.Connection) -> Iterator[Change]:
        """Stream the changes that were noted."""
        for row in db.execute("SELECT * FROM temp.repairs ORDER BY rowid"):
            texts: list[Any] = [to_text(v) if isinstance(v, bytes) else v for v in row]
            node, window, seq, verb, rule, rowid, session, size_bytes = texts
            yield Change(Target(node, window, seq), Told(verb, rule), rowid, session, size_bytes)


def find_repairs(
    path: Path, now_ms: int, *, reads_events: bool, gives_back: bool
) -> Repairs | None:
    """Look for what a database needs; None for nothing.

    Args:
        path: of the database.
        now_ms: wall clock; names the records.
        reads_events: look at every event too, which reads most of the file.
        gives_back: free pages count, where they are most of a large file.

    Raises:
        StoreInvalid: it is none, or is damaged.
        StoreChanged: somebody wrote to it meanwhile.
    """

    def work(db: sqlite3.Connection, schema: Schema) -> tuple[SurveyNumbers, Schema, int] | None:
        found = _look(db, path, lambda _: None, reads_events=reads_events)
        pages, free, page_bytes = read_pages(db)
        is_worth_it = gives_back and is_mostly_free(free * page_bytes, pages * page_bytes)
        free_bytes = free * page_bytes if is_worth_it else 0
        if not (found.counts or free_bytes):
            return None
        used_bytes = (pages - free) * page_bytes
        return _sum_up(found, count_entries(db), used_bytes, free_bytes), schema, free_bytes

    told, mark = read(path, work)
    if told is None:
        return None
    numbers, schema, free_bytes = told
    return Repairs(path, numbers, mark, schema, now_ms, reads_events, free_bytes)


@dataclass
class _Found:
    """The counts of what was found, and the bytes of rows that will go."""

    counts: Counter[Repair]
    sizes: Counter[Repair]
    nodes: int = 0


def _look(
    db: sqlite3.Connection,
    path: Path,
    note: Callable[[Change], object],
    *,
    reads_events: bool,
) -> _Found:
    found = _Found(Counter(), Counter())
    db.execute("CREATE TEMP TABLE gone (session_key TEXT PRIMARY KEY) WITHOUT ROWID")
    nodes = chain(find_unreadable_nodes(db), find_contradicting_nodes(db, path))
    for rowid, target, session, size_bytes in nodes:
        note(Change(target, _GO, rowid, session, size_bytes))
        found.counts[Repair.QUARANTINE] += 1
        found.sizes[Repair.QUARANTINE] += size_bytes
        found.nodes += db.execute(
            "INSERT OR IGNORE INTO temp.gone VALUES (?)", (target.node,)
        ).rowcount
    for target, size_bytes in find_unreadable_events(db) if reads_events else ():
        if not _is_gone(db, target.node):  # else it goes with its node
            note(Change(target, _GO, target.seq or 0, None, size_bytes))
            found.counts[Repair.QUARANTINE] += 1
            found.sizes[Repair.QUARANTINE] += size_bytes
    unproven = count_refused(db, path).unproven
    if unproven:
        note(Change(Target(CONTRACT), Told(EDIT, Repair.PROVE), 0, None, 0))
        found.counts[Repair.PROVE] = unproven
    return found


def _is_gone(db: sqlite3.Connection, node: str) -> bool:
    row = db.execute("SELECT 1 FROM temp.gone WHERE session_key = ?", (node,)).fetchone()
    return row is not None


def _sum_up(found: _Found, entries: int, used_bytes: int, free_bytes: int) -> SurveyNumbers:
    rules = [
        Tally(name=repair.value, entries=count, bytes=found.sizes[repair])
        for repair, count in found.counts.items()
    ]
    if free_bytes:
        rules.append(Tally(name=Repair.FREE_PAGES.value, entries=0, bytes=free_bytes))
    gone_bytes = found.sizes[Repair.QUARANTINE]
    return SurveyNumbers(
        bytes=used_bytes + free_bytes,
        entries=entries,
        digest="",
        wide=False,
        kinds=(),
        fields=(),
        jobs=(),
        jobs_untracked=0,
        duplicate=None,
        rules=tuple(rules),
        entries_after=entries - found.nodes,
        bytes_after=max(0, used_bytes - gone_bytes),
    )
