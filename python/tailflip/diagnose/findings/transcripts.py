"""Findings about transcripts: those about to be lost, and those that hang or kill a gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailflip.base.units import format_bytes, format_counted
from tailflip.diagnose.findings.entry import Entry, Found
from tailflip.flow.findings import Code, Severity
from tailflip.flow.values import STRING_LIMIT_CHARS
from tailflip.plan.transcripts import HUGE_SHARE, Weight, weigh

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailflip.flow.capabilities import Capabilities
    from tailflip.flow.observed import Transcript, Transcripts
    from tailflip.flow.outcomes import HeapLimit

_SHOWN = 10
_REPAIRS = (
    "this release keeps a copy, and writes a header of its own with another id; a header that "
    "tailflip writes keeps the id: `tailflip reconcile headers`"
)


def _find_headless(
    transcripts: tuple[Transcripts, ...], capabilities: Capabilities
) -> Iterator[Found]:
    is_lost = capabilities.destroys_headless
    if not capabilities.may_read_transcripts:
        return
    for each in transcripts:
        if not each.headless:
            continue
        one = each.headless_files == 1
        then = (
            f"the next message to {'its session' if one else 'such a session'} replaces the file "
            "by an empty one, and nothing of it is left"
            if is_lost
            else "the gateway copies the file at the next message, and writes a header of its own"
        )
        yield Found(
            str(each.folder),
            f"{format_counted(each.headless_files, 'transcript', 'has', 'have')} lost "
            f"{'its' if one else 'their'} header: {then}",
            tuple(_describe(one) for one in each.headless[:_SHOWN]),
            "" if is_lost else _REPAIRS,
            Severity.ERROR if is_lost else Severity.WARNING,
        )


def _find_too_long(
    transcripts: tuple[Transcripts, ...], capabilities: Capabilities
) -> Iterator[Found]:
    if not capabilities.may_read_transcripts:
        return
    for each in _list_largest(transcripts):
        if each.size_bytes > STRING_LIMIT_CHARS:
            yield Found(
                str(each.path),
                f"transcript has {format_bytes(each.size_bytes)}, more than the "
                f"{format_bytes(STRING_LIMIT_CHARS)} that Node can read: each message to its "
                "session fails, and is not kept",
            )


def _find_huge(
    transcripts: tuple[Transcripts, ...], heap_limit: HeapLimit, capabilities: Capabilities
) -> Iterator[Found]:
    limit_bytes = heap_limit.bytes
    if not capabilities.may_read_transcripts:
        return
    for each in _list_largest(transcripts):
        weighed = weigh(each.size_bytes, limit_bytes)
        if limit_bytes is None or weighed in (Weight.LIGHT, Weight.TOO_LONG):
            continue
        share = 100 * each.size_bytes / limit_bytes
        then = (
            "the gateway may die of the next message to its session"
            if weighed is Weight.DEADLY
            else "the gateway may answer nothing for seconds at each message to its session"
        )
        yield Found(
            str(each.path),
            f"transcript has {format_bytes(each.size_bytes)}, {share:.0f} % of the heap of "
            f"{format_bytes(limit_bytes)}: {then}",
        )


def _list_largest(transcripts: tuple[Transcripts, ...]) -> Iterator[Transcript]:
    for each in transcripts:
        yield from each.largest


def _describe(each: Transcript) -> str:
    return f"{each.path}: {format_bytes(each.size_bytes)}, {each.why}"


_LESS = (
    "`tailflip slim --all` shows what can go, with an undo; or begin a new session with `/new`; no "
    "start is refused for a transcript"
)
ENTRIES = (
    Entry(
        Code.TRANSCRIPT_HEADLESS,
        Severity.ERROR,
        _find_headless,
        doc="A transcript has lost its first line, the header. Up to 2026.5.28 the gateway takes "
        "it for empty, and the next message replaces the whole conversation. Later releases keep "
        "a copy; then this is a warning.",
        hint=(
            "stop the gateway, then `tailflip reconcile headers --apply` writes the header anew "
            "and keeps the original; `gate`, `preflight` and `run` do so before a start"
        ),
    ),
    Entry(
        Code.TRANSCRIPT_TOO_LONG,
        Severity.ERROR,
        _find_too_long,
        doc="Node reads no file of more than 512 MiB as text. Each message to the session fails, "
        "and the message of the user is not kept.",
        hint=_LESS,
    ),
    Entry(
        Code.TRANSCRIPT_HUGE,
        Severity.WARNING,
        _find_huge,
        doc=f"A transcript has more than {HUGE_SHARE:.0%} of the heap. The gateway reads it whole "
        "at each message, and answers nothing meanwhile; from about 20 % on it may die of it.",
        hint=_LESS,
    ),
)
