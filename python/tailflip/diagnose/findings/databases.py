"""Findings about what fills the databases of agents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base.units import format_bytes, format_counted
from tailflip.diagnose.causes import PUT_BACK
from tailflip.diagnose.findings.entry import Entry, Found
from tailflip.flow.fill import REAPER_LIMIT_BYTES, is_mostly_free
from tailflip.flow.findings import Code, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailflip.flow.conditions import DamagedDatabase
    from tailflip.flow.fill import FilledStore

_REPAIR = (
    "once the gateway is stopped, `tailflip compact --apply` sets it right; what goes is in the "
    "archive, and comes back with `tailflip restore`"
)
_LARGE_LOG_BYTES = 256_000_000  # a gateway's own limit, to which it cuts its log, is 67 MB


def _find_damaged(damaged: tuple[DamagedDatabase, ...]) -> Iterator[Found]:
    for each in damaged:
        yield Found(
            each.path,
            f"the database is damaged: {each.why}; its bytes are left as they are, and the "
            "gateway's next start ends with exit 78",
        )


def _find_stopped_reaper(fills: tuple[FilledStore, ...]) -> Iterator[Found]:
    for path, fill in fills:
        if fill.expired_packed_bytes > REAPER_LIMIT_BYTES:
            runs = format_counted(fill.expired_runs, "expired run")
            yield Found(
                str(path),
                f"the transcripts of {runs} take about {format_bytes(fill.expired_packed_bytes)} "
                f"when packed, more than the {format_bytes(REAPER_LIMIT_BYTES)} that the gateway's "
                "own clean-up packs at once: it removes none of them, and tries again for ever",
                (f"{format_bytes(fill.expired_bytes)} of text before they are packed",),
            )


def _find_unreadable_entries(fills: tuple[FilledStore, ...]) -> Iterator[Found]:
    for path, fill in fills:
        if fill.unreadable_nodes:
            entries = format_counted(fill.unreadable_nodes, "entry", "is", "are")
            yield Found(
                str(path),
                f"{entries} no JSON: the gateway's next start ends with exit 1",
                fill.unreadable_keys,
            )


def _find_unproven_entries(fills: tuple[FilledStore, ...]) -> Iterator[Found]:
    for path, fill in fills:
        if fill.refused_nodes:
            entries = format_counted(fill.refused_nodes, "entry", "is", "are")
            yield Found(
                str(path),
                f"{entries} changed and not proven: the gateway takes all for proven, and its next "
                "start ends with exit 1",
            )


def _find_contradicting_entries(fills: tuple[FilledStore, ...]) -> Iterator[Found]:
    for path, fill in fills:
        if fill.contradicting_nodes:
            entries = format_counted(fill.contradicting_nodes, "entry")
            yield Found(
                str(path),
                f"{entries} of another session than the row says, or found invalid by the gateway: "
                "its next start ends with exit 1",
            )


def _find_unreadable_events(fills: tuple[FilledStore, ...]) -> Iterator[Found]:
    for path, fill in fills:
        if fill.unreadable_events:
            events = format_counted(fill.unreadable_events, "event", "is", "are")
            yield Found(
                str(path),
                f"{events} no JSON: the gateway cannot show the session, and a start that indexes "
                "it anew ends with exit 1",
                tuple(
                    f"{each.key or 'no entry'}: session {each.session}, seq {each.seq}"
                    for each in fill.unreadable
                ),
            )


def _find_bloat(fills: tuple[FilledStore, ...]) -> Iterator[Found]:
    for path, fill in fills:
        facts, hint = [], ""
        if is_mostly_free(fill.free_bytes, fill.bytes):
            facts.append(
                f"{format_bytes(fill.free_bytes)} of {format_bytes(fill.bytes)} are free pages, "
                "which the gateway gives back slowly or never"
            )
        if fill.log_bytes > _LARGE_LOG_BYTES:
            facts.append(
                f"the write-ahead log beside it has {format_bytes(fill.log_bytes)}: it was not "
                "emptied, as after a kill or beside a reader that never ends"
            )
            hint = "stop the gateway, then run `openclaw doctor --session-sqlite compact`"
        if facts:
            yield Found(str(path), "; ".join(facts), hint=hint)


ENTRIES = (
    Entry(
        Code.DATABASE_DAMAGED,
        Severity.ERROR,
        _find_damaged,
        doc="A database of the gateway's is damaged: no start succeeds, and no tool repairs it.",
        hint=PUT_BACK,
    ),
    Entry(
        Code.REAPER_STOPPED,
        Severity.ERROR,
        _find_stopped_reaper,
        doc=(
            "Expired runs have more transcripts than the gateway's own clean-up can pack at once "
            "(2026.9.5, 2026.9.6): it has stopped for ever."
        ),
        hint="stop the gateway, then run `tailflip compact --apply`",
    ),
    Entry(
        Code.ENTRY_UNREADABLE,
        Severity.ERROR,
        _find_unreadable_entries,
        doc="An entry of a database is no JSON: the next start of the gateway ends with exit 1.",
        hint=_REPAIR,
    ),
    Entry(
        Code.ENTRY_UNPROVEN,
        Severity.ERROR,
        _find_unproven_entries,
        doc=(
            "An entry of a database was changed by another hand. The gateway refuses it unproven, "
            "and its next start ends with exit 1 (2026.9.6)."
        ),
        hint=_REPAIR,
    ),
    Entry(
        Code.ENTRY_CONTRADICTS,
        Severity.ERROR,
        _find_contradicting_entries,
        doc=(
            "An entry names another session than its row, or the gateway found it invalid: its "
            "next start ends with exit 1 (2026.9.6)."
        ),
        hint=(
            "once the gateway is stopped, `tailflip compact --apply` takes an entry of another "
            "session than its row out, with its transcript, and `tailflip restore` brings it back. "
            "One that the gateway itself found invalid stays: put a backup of the database back, "
            "or ask OpenClaw's maintainers"
        ),
    ),
    Entry(
        Code.EVENT_UNREADABLE,
        Severity.ERROR,
        _find_unreadable_events,
        doc=(
            "An event of a transcript is no JSON: the gateway cannot show its session, and a start "
            "that indexes it anew ends with exit 1."
        ),
        hint=_REPAIR,
    ),
    Entry(
        Code.DATABASE_BLOAT,
        Severity.WARNING,
        _find_bloat,
        doc="Most of a large database is free pages, or its write-ahead log is very large.",
        hint="stop the gateway, then run `tailflip compact --apply`",
    ),
)
