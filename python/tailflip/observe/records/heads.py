"""Judges the head of a transcript as the gateway does: by the first of its lines that parses.

Source: `loadEntriesFromFile` of 2026.5.28, and of the library that earlier releases use. A line
that is no JSON is skipped. If the first other one is no header (`type` "session" with an id), the
file counts as empty, and the next message replaces it: `setSessionFile` writes a new one. Releases
from 2026.6.1 on keep a copy of such a file, and write a header of their own before its lines.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NoReturn

from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

# Source: the types of records that `SessionManager` appends, 2026.3.28 to 2026.7.35.
RECORDS = frozenset(
    {
        "message",
        "thinking_level_change",
        "model_change",
        "compaction",
        "branch_summary",
        "custom",
        "custom_message",
        "label",
        "session_info",
    }
)
_HEADER = "session"
_MARK = b"\xef\xbb\xbf"  # of UTF-8; the gateway cuts it off with the spaces around the text
_SPACES = b" \t\r\n\v\f"


class Head(StrEnum):
    """The verdict on a head. Unknown: no line that was read parses, or the first is too long."""

    WHOLE = "whole"
    HEADLESS = "headless"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Judged:
    """The verdict, and for people what stands in the place of the header."""

    head: Head
    why: str = ""


class NoJson(ValueError):
    """A line is no JSON for the gateway, or too deep for us."""


def parse_line(line: bytes) -> Any:
    """Parse one line as the gateway would: bytes that are no UTF-8 become a replacement character.

    Raises:
        NoJson: it does not parse.
    """
    try:
        return _DECODER.decode(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError) as e:
        raise NoJson(str(e)) from e


def is_header(value: Any) -> bool:
    """Say whether a parsed line is a header."""
    return (
        isinstance(value, dict)
        and value.get("type") == _HEADER
        and isinstance(value.get("id"), str)
    )


def is_record(value: Any) -> bool:
    """Say whether a parsed line is a record of a known type, in the form with an id."""
    return (
        isinstance(value, dict)
        and value.get("type") in RECORDS
        and isinstance(value.get("id"), str)
        and isinstance(value.get("parentId"), str | None)
    )


def judge_head(data: bytes, *, is_all: bool) -> Judged:
    """Judge a transcript by its first bytes.

    Args:
        data: The first bytes.
        is_all: There are no more: the last line is whole.
    """
    skipped = False
    for line, is_whole in split_lines(data.removeprefix(_MARK), is_all=is_all):
        if not line.strip(_SPACES):
            continue
        if not is_whole:
            return _judge_begin(line, skipped=skipped)
        try:
            value = parse_line(line)
        except NoJson:
            skipped = True
            continue
        if is_header(value):
            return Judged(Head.WHOLE)
        if skipped:
            return Judged(Head.HEADLESS, "its first line is no JSON")
        return Judged(Head.HEADLESS, f"its first line is {_describe(value)}")
    return Judged(Head.UNKNOWN)


def split_lines(data: bytes, *, is_all: bool) -> Iterator[tuple[bytes, bool]]:
    """Split bytes into lines; the last one is whole if there are no more bytes."""
    start = 0
    while start < len(data):
        end = data.find(b"\n", start)
        if end < 0:
            yield data[start:], is_all
            return
        yield data[start:end], True
        start = end + 1


def _judge_begin(line: bytes, *, skipped: bool) -> Judged:
    """Judge a line that goes on behind what was read: a header is never that long."""
    for kind in RECORDS:
        if line.startswith(f'{{"type":"{kind}",'.encode()):
            why = "its first line is no JSON" if skipped else f"its first line is a {kind}"
            return Judged(Head.HEADLESS, why)
    return Judged(Head.UNKNOWN)


def _describe(value: Any) -> str:
    if not isinstance(value, dict):
        return "no record"
    kind = value.get("type")
    if kind == _HEADER:
        return "a header without an id"
    return f"a {kind}" if kind in RECORDS else "no header"


def _refuse(name: str) -> NoReturn:
    raise NoJson(name)  # NaN and Infinity, which are no JSON


_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_int=float)
