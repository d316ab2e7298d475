"""What fills a database: plain numbers, as of one moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from pathlib import Path

# What one sweep of a gateway's own clean-up may pack, or it removes nothing, at any later time
# either. Source: `MAX_MATERIALIZED_ARCHIVE_BATCH_BYTES` of OpenClaw 2026.9.5 and 2026.9.6.
REAPER_LIMIT_BYTES = 268_435_456


class TableSize(NamedTuple):
    """A table with its indexes."""

    name: str
    bytes: int


class Event(NamedTuple):
    """One event of a transcript; `key` is None where no window has its session."""

    key: str | None
    session: str
    seq: int
    bytes: int


@dataclass(frozen=True)
class Fill:
    """What fills the file of a database, and what lies beside it.

    `tables` are sorted, largest first. `counts_pages`: they are whole pages; else the library
    cannot count pages, and the lengths of the large columns are summed up. `free_bytes` are in
    pages without use.

    `biggest` are the biggest events, `unreadable` the first of those that are no JSON; packed
    events are not looked into. `unproven_nodes` wait for the gateway to judge them.

    `expired_bytes` are transcripts of the runs that the gateway's clean-up is about to remove, and
    `expired_packed_bytes` what it packs of them, which is estimated from samples once the former
    are beyond the limit. `usage_bytes` are sums of use and cost. `archive_bytes` are packed
    transcripts of removed sessions, `cold_bytes` of old ones. Beside the database lie its log,
    copies from before its migrations, and what it was imported from.
    """

    bytes: int
    free_bytes: int
    log_bytes: int
    tables: tuple[TableSize, ...] = ()
    counts_pages: bool = True
    events: int = 0
    event_bytes: int = 0
    image_bytes: int = 0
    biggest: tuple[Event, ...] = ()
    unreadable_events: int = 0
    unreadable: tuple[Event, ...] = ()
    unproven_nodes: int = 0
    embedding_bytes: int = 0
    usage_bytes: int = 0
    archive_bytes: int = 0
    cold_bytes: int = 0
    closed_windows: int = 0
    closed_window_bytes: int = 0
    expired_runs: int = 0
    expired_bytes: int = 0
    expired_packed_bytes: int = 0
    import_bytes: int = 0
    copy_bytes: int = 0


class FilledStore(NamedTuple):
    """A store, and what fills it."""

    path: Path
    fill: Fill
