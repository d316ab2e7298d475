"""Findings about session stores: their bytes, their owners, the files beside them."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from tailflip.base.units import format_bytes, format_count, format_counted
from tailflip.diagnose.findings.entry import Entry, Found, Stands
from tailflip.flow.findings import Code, Severity
from tailflip.flow.rules import KeyKind
from tailflip.flow.values import STRING_LIMIT_CHARS
from tailflip.plan.policy import DropKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailflip.flow.capabilities import EntryCap
    from tailflip.flow.conditions import Disagreement, ReturnedEntries
    from tailflip.flow.observed import KeptFile, Leftover, ObservedStore, TranscriptFolder
    from tailflip.observe.installation import Installation

# The kinds that a person may name for `--drop-kind`, with the age that a hint proposes.
_DISPOSABLE: dict[str, str] = {
    KeyKind.SUBAGENT: f"{DropKind.SUBAGENT} --older-than 7d",
    KeyKind.DREAM: f"{DropKind.DREAM} --older-than 2d",
}
_MANY_ENTRIES = 200
_MANY_FILES = 1_000
_MANY_BYTES = 100_000_000
_SHOWN = 10


def _find_too_big(stores: tuple[ObservedStore, ...]) -> Iterator[Found]:
    for each in stores:
        if each.store.is_database or each.size_bytes is None:
            continue
        if each.size_bytes > STRING_LIMIT_CHARS:
            yield Found(
                str(each.store.path),
                f"store has {format_bytes(each.size_bytes)}, more than the "
                f"{format_bytes(STRING_LIMIT_CHARS)} that Node can read: "
                "the gateway takes it for empty and overwrites it",
            )


def _find_damaged(surveyed: tuple[ObservedStore, ...]) -> Iterator[Found]:
    for each in surveyed:
        if each.damaged and not each.store.is_database:  # of those, another finding tells
            yield Found(
                str(each.store.path),
                f"{each.error}; the gateway takes such a store for empty and overwrites it",
                _describe(each.backups),
            )


def _find_missing(stores: tuple[ObservedStore, ...]) -> Iterator[Found]:
    for each in stores:
        if each.error == "missing" and each.backups:
            yield Found(
                str(each.store.path),
                "store is missing beside backups of it: the gateway's rotation took it away "
                "and a write that changed nothing did not bring it back",
                _describe(each.backups),
            )


def _find_unreadable(surveyed: tuple[ObservedStore, ...]) -> Iterator[Found]:
    for each in surveyed:
        if not each.damaged and each.error not in (None, "missing"):
            yield Found(str(each.store.path), f"store could not be read: {each.error}")


def _find_changed_source(kept: tuple[KeptFile, ...]) -> Iterator[Found]:
    for each in kept:
        if each.is_changed:
            yield Found(
                str(each.path),
                "a gateway has this store on record, and it was changed since: every start ends "
                'with exit 78, "Retained session migration source changed"',
                (each.reason,),
                f"`tailflip restore {each.undo} --apply` puts back the bytes on record"
                if each.undo is not None
                else f"put the file back from a backup of yours; its SHA-256 must be {each.sha256}",
            )


def _find_waiting_import(kept: tuple[KeptFile, ...]) -> Iterator[Found]:
    for each in kept:
        if each.waits and not each.is_changed:
            names = ", ".join(each.plugins) or "a plugin"
            yield Found(
                str(each.path),
                f"the end of this store's import waits for plugins: {names}; until then the "
                "gateway keeps the file as it is, and so does tailflip",
                (each.reason,),
            )


def _find_unknown_owner(kept: tuple[KeptFile, ...]) -> Iterator[Found]:
    return (_leave_alone(each) for each in kept if _is_plain(each) and each.is_unknown)


def _find_on_record(kept: tuple[KeptFile, ...]) -> Iterator[Found]:
    return (_leave_alone(each) for each in kept if _is_plain(each) and not each.is_unknown)


def _is_plain(kept: KeptFile) -> bool:
    return not (kept.is_changed or kept.waits)


def _leave_alone(kept: KeptFile) -> Found:
    return Found(str(kept.path), f"left alone: {kept.reason}", hint=kept.hint)


def _find_rotation_trap(
    stores: tuple[ObservedStore, ...], installation: Installation
) -> Iterator[Found]:
    for each in stores:
        size_bytes = each.size_bytes or 0
        if installation.enforces and size_bytes > installation.rotate_bytes:
            yield Found(
                str(each.store.path),
                "session.maintenance.mode is enforce, and the store has "
                f"{format_bytes(size_bytes)}, above rotateBytes "
                f"{format_bytes(installation.rotate_bytes)}: the next write that changes nothing "
                "makes it disappear",
            )


def _find_pushed_out(
    surveyed: tuple[ObservedStore, ...], entry_caps: tuple[EntryCap, ...]
) -> Iterator[Found]:
    for each in surveyed:
        for cap in entry_caps:
            if each.numbers is not None and each.numbers.entries >= cap.high_water:
                yield Found(
                    str(each.store.path),
                    f"OpenClaw keeps the newest {format_counted(cap.kept, 'entry')} of a store "
                    "and deletes the others by itself, chats too: "
                    f"{format_count(each.numbers.entries - cap.kept)} will go",
                )


def _find_leftovers(
    stores: tuple[ObservedStore, ...], temporaries: tuple[Leftover, ...]
) -> Iterator[Found]:
    for each in stores:
        if each.litter:
            # A temporary file may be the last whole copy of a store, not renamed yet by its writer.
            is_needed = each.damaged or each.error is not None
            yield Found(
                str(each.store.path),
                f"{_count(each.litter)} of killed writers beside the store, {_size(each.litter)}",
                _describe(each.litter),
                _KEEP_LEFTOVERS if is_needed else "",
            )
    for folder, files in groupby(temporaries, key=lambda each: each.path.parent):
        left = tuple(files)
        yield Found(
            str(folder),
            f"{_count(left)} of killed writers, {_size(left)}",
            tuple(str(each.path) for each in left[:_SHOWN]),
        )


def _find_folder_litter(folders: tuple[TranscriptFolder, ...]) -> Iterator[Found]:
    for folder in folders:
        files = sum(kind.files for kind in folder.litter)
        size_bytes = sum(kind.bytes for kind in folder.litter)
        if files >= _MANY_FILES or size_bytes >= _MANY_BYTES:
            yield Found(
                str(folder.path),
                f"{format_counted(files, 'file')} with {format_bytes(size_bytes)} are of no use to "
                "the gateway any more, and no release removes all of them",
                tuple(
                    f"{kind.name}: {format_counted(kind.files, 'file')}, {format_bytes(kind.bytes)}"
                    for kind in folder.litter
                ),
            )


def _find_filling_kind(surveyed: tuple[ObservedStore, ...]) -> Iterator[Found]:
    for each in surveyed:
        numbers = each.numbers
        if numbers is None:
            continue
        for kind in numbers.kinds:
            if kind.name not in _DISPOSABLE or kind.entries < _MANY_ENTRIES:
                continue
            if kind.entries * 2 > numbers.entries:
                entries = format_counted(numbers.entries, "entry")
                yield Found(
                    str(each.store.path),
                    f"{format_count(kind.entries)} of {entries} are of one kind: {kind.name}; no "
                    "rule removes them by itself",
                    hint=f"`tailflip compact --drop-kind {_DISPOSABLE[kind.name]}` "
                    "shows what can go",
                )


_TASKS_ONLY_TOLD = (
    "`tailflip tasks` gives the reason of each; the gateway's database is not written"
)


def _find_disagreements(disagreements: tuple[Disagreement, ...]) -> Iterator[Found]:
    for each in disagreements:
        said = format_counted(each.runs, each.noun, *each.says)
        yield Found(
            each.subject,
            f"{said}, and all ledgers together prove another end",
            hint="" if each.is_ours else _TASKS_ONLY_TOLD,
        )


def _find_returned(returned: tuple[ReturnedEntries, ...]) -> Iterator[Found]:
    for each in returned:
        yield Found(
            each.store,
            f"{format_counted(each.entries, 'entry')} came back after they were changed: a writer "
            "saved what it had read before",
        )


def _count(files: tuple[Leftover, ...]) -> str:
    return format_counted(len(files), "file")


def _size(files: tuple[Leftover, ...]) -> str:
    return format_bytes(sum(each.size_bytes for each in files))


def _describe(files: tuple[Leftover, ...]) -> tuple[str, ...]:
    return tuple(f"{old.path}: {format_bytes(old.size_bytes)}" for old in files)


_KEEP_LEFTOVERS = "keep them: one may hold what the store lost; `tailflip compact` looks into them"
ENTRIES = (
    Entry(
        Code.STORE_TOO_BIG,
        Severity.ERROR,
        _find_too_big,
        doc=(
            "A store is above V8's limit of a string: the gateway takes it for empty, and its next "
            "write replaces it."
        ),
        hint="do not start the gateway; run `tailflip compact --apply`",
    ),
    Entry(
        Code.STORE_INVALID,
        Severity.ERROR,
        _find_damaged,
        doc=(
            "A store does not parse: the gateway takes it for empty, and its next write replaces "
            "it."
        ),
        hint="do not start the gateway; `tailflip compact` shows what can be saved",
    ),
    Entry(
        Code.STORE_MISSING,
        Severity.ERROR,
        _find_missing,
        doc="A store is gone but its backups are there: rotated away and never written again.",
        hint="stop the gateway, then copy the newest backup back under the store's name",
    ),
    Entry(
        Code.STORE_UNREADABLE,
        Severity.ERROR,
        _find_unreadable,
        doc="A store could not be looked at.",
        hint="run as the gateway's user; if the store is being written, look again",
    ),
    Entry(
        Code.RETAINED_SOURCE_CHANGED,
        Severity.ERROR,
        _find_changed_source,
        doc=(
            "A store that a gateway has on record is no longer what is on record: no start "
            "succeeds."
        ),
        hint="put back the bytes that are on record",
    ),
    Entry(
        Code.IMPORT_WAITS,
        Severity.WARNING,
        _find_waiting_import,
        doc="A gateway has imported a store, and the end of the import waits for a plugin.",
        hint="`openclaw update repair`, then `openclaw doctor --fix`",
    ),
    Entry(
        Code.OWNER_UNKNOWN,
        Severity.WARNING,
        _find_unknown_owner,
        doc="Whether a gateway has a store on record could not be told: the store is left alone.",
        hint="see what the finding says about the database",
    ),
    Entry(
        Code.STORE_ON_RECORD,
        Severity.WARNING,
        _find_on_record,
        doc="A gateway has a store on record: the store is left alone.",
        hint="see what the finding says about the record",
    ),
    Entry(
        Code.ROTATION_TRAP,
        Severity.ERROR,
        _find_rotation_trap,
        doc="Maintenance that is enforced makes a store above the rotation size disappear.",
        hint="run `tailflip compact --apply`, and set session.maintenance.mode to warn",
    ),
    Entry(
        Code.ENTRIES_PUSHED_OUT,
        Severity.WARNING,
        _find_pushed_out,
        doc="A store has more entries than OpenClaw keeps: old chats go, where runs are newer.",
        hint=(
            "`tailflip compact --apply` takes runs out first, and can put them back; or set "
            "session.maintenance.maxEntries higher"
        ),
    ),
    Entry(
        Code.LEFTOVERS,
        Severity.WARNING,
        _find_leftovers,
        doc="Killed processes left locks and half-written files that nobody removes.",
        hint="`tailflip reclaim` says of each whether it may go, and takes it with --apply",
    ),
    Entry(
        Code.FOLDER_LITTER,
        Severity.WARNING,
        _find_folder_litter,
        doc="Files that no entry names, and copies from before repairs, are many or large.",
        hint=(
            "`tailflip inspect` shows the folder by kind, and `tailflip reclaim` what may go; it "
            "packs transcripts, and deletes none"
        ),
    ),
    Entry(
        Code.KIND_FILLS_STORE,
        Severity.WARNING,
        _find_filling_kind,
        doc="Entries that nobody needs are most of a store, and no rule removes them.",
        hint="`tailflip compact --drop-kind` shows what can go",
    ),
    Entry(
        Code.LEDGERS_DISAGREE,
        Severity.WARNING,
        _find_disagreements,
        doc="A ledger of OpenClaw's is wrong about runs: it calls them running or lost.",
        hint="`tailflip reconcile` gives the reason of each; `--apply` writes the true end",
    ),
    Entry(
        Code.ENTRIES_RESURRECTED,
        Severity.WARNING,
        _find_returned,
        doc="Entries came back after `watch` had changed them.",
        hint="they are swept again; a heartbeat with isolatedSession does this at every turn",
        stands=Stands.GUARDED,
    ),
)
