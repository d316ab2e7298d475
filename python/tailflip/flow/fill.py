"""What fills a database: plain numbers, as of one moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from pathlib import Path

# What one sweep of a gateway's own clean-up may pack, or it removes nothing, at any later time
# either. Source: `MAX_MATERIALIZED_ARCHIVE_BATCH_BYTES` of OpenClaw 2026.9.5 and 2026.9.6.
REAPER_LIMIT_BYTES = 268_435_456


# A gateway uses free pages again. Above this, which is what it lets its own log grow to, a disk
# feels them; and where they are more than half, giving them back writes less than it frees.
MUCH_FREE_BYTES = 64_000_000


def is_mostly_free(free_bytes: int, size_bytes: int) -> bool:
    """Say whether free pages of a database are worth to be given back for themselves."""
    return free_bytes > MUCH_FREE_BYTES and free_bytes * 2 > size_bytes


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
    events are not looked into. `unproven_nodes` wait for the gateway to judge them. At some its
    next start ends: at `refused_nodes`, which it would accept but does not look at; at
    `contradicting_nodes`, which name another session than their column, or were found invalid; at
    `unreadable_nodes`, whose entries are no JSON. `unreadable_keys` are the first of these.

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
    refused_nodes: int = 0
    contradicting_nodes: int = 0
    unreadable_nodes: int = 0
    unreadable_keys: tuple[str, ...] = ()
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
