"""Finds out what fills a database: pure reads, in bounded memory.

Rows of events are summed up by session in the order of their key. A sort by anything else would
take every event's text into memory.
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

from tailflip.flow.fill import REAPER_LIMIT_BYTES, Event, Fill, TableSize
from tailflip.stores.sqlite.faults import count_refused, find_unreadable_nodes
from tailflip.stores.sqlite.library import octets, read_pages, to_text
from tailflip.stores.sqlite.reading import read
from tailflip.stores.sqlite.schema import EVENTS, NODES, TRAJECTORIES, WINDOWS, quote, read_columns
from tailflip.stores.sqlite.units import (
    count_windows,
    gather_windows,
    write_event_size,
    write_sizes,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any


_SHOWN = 5
_USAGE = "session-cost-usage*"  # the scopes of sums of use, of this release and of earlier ones
_IMAGE = '"type":"image"'
_IMPORTED = "session-sqlite-import-archive"
_COPY = ".pre-startup-migration-"
# Columns that may hold much, for a library that cannot count pages.
_LARGE = {
    NODES: ("entry_json",),
    EVENTS: ("event_json", "event_zstd"),
    TRAJECTORIES: ("event_json",),
    "acp_parent_stream_events": ("event_json",),
    "session_transcript_fts_data": ("block",),
    "session_transcript_fts_content": ("c0",),
    "session_transcript_archives": ("archive_blob",),
    "session_transcript_cold_archives": ("archive_blob",),
    "cache_entries": ("value_json", "blob"),
    "memory_embedding_cache": ("embedding",),
    "memory_index_chunks": ("text", "embedding"),
    "board_widgets": ("html",),
}
_SAMPLES = 16
_SAMPLE_BYTES = 1 << 20
_LEVEL = 3


def read_fill(path: Path, now_ms: int, retention_ms: int | None) -> Fill:
    """Read what fills a database.

    Args:
        path: of the database.
        now_ms: wall clock.
        retention_ms: how long the gateway keeps finished runs; None: for ever.

    Raises:
        StoreInvalid: it is none, or is damaged.
        StoreChanged: somebody wrote to it meanwhile.
    """
    cutoff_ms = None if retention_ms is None else now_ms - retention_ms
    numbers, mark = read(path, lambda db, _: _measure(db, path, cutoff_ms))
    return Fill(
        log_bytes=mark.log_bytes,
        import_bytes=_measure_files(path.parent.parent / _IMPORTED, lambda _: True),
        copy_bytes=_measure_files(path.parent, lambda name: name.startswith(f"{path.name}{_COPY}")),
        **numbers,
    )


def _measure(db: sqlite3.Connection, path: Path, cutoff_ms: int | None) -> dict[str, Any]:
    tables = _read_columns(db)
    refused = count_refused(db, path)
    pages, free, page_bytes = read_pages(db)
    sizes, counts_pages = _measure_tables(db, tables)
    return {
        "bytes": page_bytes * pages,
        "free_bytes": page_bytes * free,
        "tables": sizes,
        "counts_pages": counts_pages,
        "unproven_nodes": _ask(db, f"SELECT count(*) FROM {NODES} WHERE entry_valid <> 1"),
        "refused_nodes": refused.unproven,
        "contradicting_nodes": refused.contradicting,
        **_count_unreadable(db),
        "embedding_bytes": _sum(db, tables, "memory_embedding_cache", "embedding"),
        "usage_bytes": _sum(
            db, tables, "cache_entries", "value_json", "blob", where=f"scope GLOB '{_USAGE}'"
        ),
        "archive_bytes": _sum(db, tables, "session_transcript_archives", "archive_blob"),
        "cold_bytes": _sum(db, tables, "session_transcript_cold_archives", "archive_blob"),
        **_measure_events(db, tables),
        **_measure_windows(db),
        **({} if cutoff_ms is None else _measure_expired(db, tables, cutoff_ms)),
    }


def _count_unreadable(db: sqlite3.Connection) -> dict[str, Any]:
    """Count the entries that are no JSON; the first are named."""
    count, keys = 0, []
    for _, target, *_ in find_unreadable_nodes(db):
        count += 1
        if count <= _SHOWN:
            keys.append(target.name)
    return {"unreadable_nodes": count, "unreadable_keys": tuple(keys)}


def _measure_tables(
    db: sqlite3.Connection, tables: dict[str, set[str]]
) -> tuple[tuple[TableSize, ...], bool]:
    """Sum up the pages of each table with its indexes; without `dbstat`, its large columns."""
    try:
        rows = db.execute(
            """
            SELECT coalesce(object.tbl_name, stat.name), sum(stat.pgsize)
            FROM dbstat AS stat LEFT JOIN sqlite_master AS object USING (name)
            WHERE stat.aggregate = 1 GROUP BY 1
            """
        ).fetchall()
    except sqlite3.OperationalError:
        found = [(name, _sum(db, tables, name, *columns)) for name, columns in _LARGE.items()]
        sizes, counts_pages = [TableSize(*each) for each in found if each[1]], False
    else:
        sizes, counts_pages = [TableSize(to_text(name), size) for name, size in rows], True
    return tuple(sorted(sizes, key=lambda table: (-table.bytes, table.name))), counts_pages


def _measure_events(db: sqlite3.Connection, tables: dict[str, set[str]]) -> dict[str, Any]:
    """Weigh the events of each session once, in the order of the key.

    The biggest events are in the sessions that have them. `weights` lies in a file.
    """
    size = write_event_size(db, EVENTS)
    whole = _write_whole_size(tables)
    db.execute(
        "CREATE TEMP TABLE weights (session_id TEXT PRIMARY KEY, events, bytes, whole, biggest,"
        " images, unreadable) WITHOUT ROWID"
    )
    db.execute(f"INSERT INTO temp.weights {write_weights(size, whole)}")
    events, total, images, unreadable = db.execute(
        "SELECT sum(events), sum(bytes), sum(images), sum(unreadable) FROM temp.weights"
    ).fetchone()
    return {
        "events": events or 0,
        "event_bytes": total or 0,
        "image_bytes": images or 0,
        "biggest": _find_events(db, size, "biggest", f"ORDER BY {size} DESC, event.seq"),
        "unreadable_events": unreadable or 0,
        "unreadable": _find_events(
            db, size, "unreadable", "AND NOT json_valid(event_json) ORDER BY event.seq"
        ),
    }


def write_weights(size: str, whole: str) -> str:
    """Write the query for the weights of all sessions; it must not sort."""
    return f"""
        SELECT session_id, count(*), sum({size}), sum({whole}), max({size}),
          sum(CASE WHEN instr(event_json, '{_IMAGE}') THEN {size} ELSE 0 END),
          sum(event_json IS NOT NULL AND NOT json_valid(event_json))
        FROM {EVENTS} GROUP BY session_id
    """


def _find_events(db: sqlite3.Connection, size: str, column: str, rest: str) -> tuple[Event, ...]:
    """Find the first events of those sessions that have most of something."""
    sessions = db.execute(
        f"SELECT session_id FROM temp.weights WHERE {column} > 0"
        f" ORDER BY {column} DESC, session_id LIMIT {_SHOWN}"
    ).fetchall()
    found = []
    for (session,) in sessions:
        key = db.execute(
            f"SELECT session_key FROM {WINDOWS} WHERE session_id = CAST(? AS TEXT)", (session,)
        ).fetchone()
        rows = db.execute(
            f"SELECT event.seq, {size} FROM {EVENTS} AS event"
            f" WHERE event.session_id = CAST(? AS TEXT) {rest} LIMIT {_SHOWN}",
            (session,),
        )
        name = None if key is None else to_text(key[0])
        found += [Event(name, to_text(session), seq, size_bytes) for seq, size_bytes in rows]
    if column == "biggest":
        found.sort(key=lambda event: -event.bytes)
    return tuple(found[:_SHOWN])


def _measure_windows(db: sqlite3.Connection) -> dict[str, int]:
    """Count closed windows; their transcripts were weighed already."""
    of_transcripts = "SELECT session_id, bytes FROM temp.weights WHERE true"
    gather_windows(db, of_transcripts, write_sizes(db, TRAJECTORIES))
    count, size = count_windows(db)
    return {"closed_windows": count, "closed_window_bytes": size}


def _measure_expired(
    db: sqlite3.Connection, tables: dict[str, set[str]], cutoff_ms: int
) -> dict[str, int]:
    """Sum up the transcripts of runs that the gateway's clean-up would remove now.

    It goes by key and age alone, and packs all windows of a run.
    """
    of_expired = f"""
        FROM {NODES} AS node JOIN {WINDOWS} AS own USING (session_key)
          JOIN temp.weights AS weight USING (session_id)
        WHERE node.session_key GLOB 'agent:*:cron:*:run:*' AND node.updated_at < {cutoff_ms}
    """
    runs = _ask(
        db,
        f"SELECT count(*) FROM {NODES} WHERE session_key GLOB 'agent:*:cron:*:run:*'"
        f" AND updated_at < {cutoff_ms}",
    )
    whole = _ask(db, f"SELECT sum(weight.whole) {of_expired}")
    packed = whole
    if whole > REAPER_LIMIT_BYTES:
        rows = db.execute(f"SELECT own.session_id, weight.whole {of_expired}")
        packed = _estimate_packed(db, tables, rows, whole)
    return {"expired_runs": runs, "expired_bytes": whole, "expired_packed_bytes": packed}


def _estimate_packed(
    db: sqlite3.Connection,
    tables: dict[str, set[str]],
    sessions: Iterator[tuple[bytes, int]],
    whole_bytes: int,
) -> int:
    """Estimate what transcripts take when packed, from samples at equal distances of bytes.

    The gateway packs by zstd, which packs such text a little better than this.
    """
    step = whole_bytes / _SAMPLES
    passed, due = 0, step / 2
    seen = packed = 0
    for session, size in sessions:
        passed += size
        if passed < due:
            continue
        while due <= passed:
            due += step
        sampled = _pack_sample(db, tables, session)
        seen += sampled[0]
        packed += sampled[1]
    return whole_bytes * packed // max(1, seen)


def _pack_sample(
    db: sqlite3.Connection, tables: dict[str, set[str]], session: bytes
) -> tuple[int, int]:
    """Pack the beginning of one transcript; returns its bytes, and those packed."""
    packer = zlib.compressobj(_LEVEL)
    seen = packed = 0
    zstd = "event_zstd" if "event_zstd" in tables[EVENTS] else "NULL"
    for text, blob, whole in db.execute(
        f"SELECT substr(CAST(event_json AS BLOB), 1, {_SAMPLE_BYTES}), {octets(zstd)},"
        f" {_write_whole_size(tables)} FROM {EVENTS}"
        " WHERE session_id = CAST(? AS TEXT) ORDER BY seq",
        (session,),
    ):
        if text is None:
            seen, packed = seen + whole, packed + blob
        else:
            seen += len(text) + 1
            packed += len(packer.compress(text))
        if seen >= _SAMPLE_BYTES:
            break
    return seen, packed + len(packer.flush())


def _write_whole_size(tables: dict[str, set[str]]) -> str:
    """Write an expression for the bytes of an event as a line of a transcript."""
    size = octets("event_json")
    if "event_utf8_bytes" in tables[EVENTS]:
        size = f"coalesce({size}, event_utf8_bytes, 0)"
    return f"{size} + 1"


def _sum(
    db: sqlite3.Connection,
    tables: dict[str, set[str]],
    table: str,
    *columns: str,
    where: str = "true",
) -> int:
    """Sum up the lengths of the columns that a database of this version has."""
    known = [f"coalesce({octets(each)}, 0)" for each in columns if each in tables.get(table, ())]
    if not known:
        return 0
    return _ask(db, f"SELECT sum({' + '.join(known)}) FROM {quote(table)} WHERE {where}")


def _ask(db: sqlite3.Connection, statement: str) -> int:
    (value,) = db.execute(statement).fetchone()
    return int(value or 0)


def _read_columns(db: sqlite3.Connection) -> dict[str, set[str]]:
    found = {name: set(read_columns(db, name)) for name in _LARGE}
    return {name: columns for name, columns in found.items() if columns}


def _measure_files(folder: Path, is_wanted: Callable[[str], bool]) -> int:
    """Sum up regular files of a folder; what vanishes meanwhile counts nothing."""
    total = 0
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                if is_wanted(entry.name) and entry.is_file(follow_symlinks=False):
                    total += entry.stat(follow_symlinks=False).st_size
    return total
