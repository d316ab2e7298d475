"""What `tailflip inspect` says of what fills a database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base.render import escape, format_table
from tailflip.base.units import format_bytes, format_count, format_counted
from tailflip.flow.fill import REAPER_LIMIT_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailflip.flow.fill import Fill

_SHOWN_TABLES = 8
_BIG_EVENT_BYTES = 65_536


def format_fill(fill: Fill) -> str:
    """Show tables, what stands in them, big events, and what is wrong."""
    parts = [_format_tables(fill), _format_contents(fill), _format_events(fill)]
    parts.append("\n".join(_list_notes(fill)))
    return "\n\n".join(filter(None, parts))


def _format_tables(fill: Fill) -> str:
    shown, rest = fill.tables[:_SHOWN_TABLES], fill.tables[_SHOWN_TABLES:]
    cells = [(escape(table.name), table.bytes) for table in shown]
    if rest:
        cells.append((format_counted(len(rest), "more table"), sum(each.bytes for each in rest)))
    cells.append(("free pages", fill.free_bytes))
    rows = [
        [name, format_bytes(size), f"{100 * size / max(1, fill.bytes):.0f} %"]
        for name, size in cells
    ]
    return format_table(["what fills the file", "bytes", "of file"], rows)


def _format_contents(fill: Fill) -> str:
    cells = (
        ("events of transcripts", fill.events, fill.event_bytes),
        ("events with images", 0, fill.image_bytes),
        ("closed windows of cron jobs", fill.closed_windows, fill.closed_window_bytes),
        ("transcripts of expired runs", fill.expired_runs, fill.expired_bytes),
        ("embedding cache", 0, fill.embedding_bytes),
        ("sums of use and cost", 0, fill.usage_bytes),
        ("archived transcripts", 0, fill.archive_bytes),
        ("cold transcripts", 0, fill.cold_bytes),
        ("beside it: write-ahead log", 0, fill.log_bytes),
        ("beside it: copies before migrations", 0, fill.copy_bytes),
        ("beside it: what was imported", 0, fill.import_bytes),
    )
    rows = [
        [name, format_count(number) if number else "", format_bytes(size)]
        for name, number, size in cells
        if number or size
    ]
    return format_table(["of that, and beside it", "number", "bytes"], rows) if rows else ""


def _format_events(fill: Fill) -> str:
    rows = [
        [escape(event.key or event.session), str(event.seq), format_bytes(event.bytes)]
        for event in fill.biggest
        if event.bytes >= _BIG_EVENT_BYTES
    ]
    return format_table(["biggest event", "seq", "bytes"], rows) if rows else ""


def _list_notes(fill: Fill) -> Iterator[str]:
    if fill.expired_bytes > REAPER_LIMIT_BYTES:
        yield (
            f"  the gateway's clean-up packs about {format_bytes(fill.expired_packed_bytes)} of "
            f"expired runs at once, and can pack {format_bytes(REAPER_LIMIT_BYTES)}"
        )
    if fill.unreadable_events:
        events = format_counted(fill.unreadable_events, "event", "is", "are")
        first = fill.unreadable[0]
        where = f"the first: {escape(first.session)}, seq {first.seq}"
        yield f"  {events} no JSON, and a start may end at one ({where})"
    if fill.unreadable_nodes:
        nodes = format_counted(fill.unreadable_nodes, "entry", "is", "are")
        key = escape(fill.unreadable_keys[0])
        yield f"  {nodes} no JSON, and the next start ends at one (the first: {key})"
    if fill.refused_nodes:
        nodes = format_counted(fill.refused_nodes, "entry", "is", "are")
        yield f"  {nodes} not proven, and the next start ends at one"
    elif fill.unproven_nodes:
        nodes = format_counted(fill.unproven_nodes, "entry", "waits", "wait")
        yield f"  {nodes} for the gateway's own check"
    if not fill.counts_pages:
        yield "  this SQLite cannot count pages: bytes are the lengths of the large columns"
