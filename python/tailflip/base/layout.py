"""Fits text to a width: wraps on words, shortens paths in their middle, makes lists of tables.

Nothing else is cut: a number, a pid, a command or a name is there at any width.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_HANG = 2
_GAP = "..."  # every encoding has it
# What stays in one piece where it can: a command that a person copies, a moment, a number with its
# unit.
_UNIT = re.compile(
    r"[(\"']*`[^`]+`\S*"
    r"|tailflip [a-z]+ \S+ --apply\S*"
    r"|\(?\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\S*"
    r"|\(?\d[\d.,]* (?:[KMGT]?B|ms|s|min|h|d|%)(?!\w)\S*"
    r"|\S+"
)
_WORD = re.compile(r"\S+")
# `gateway   text`, `slim  1,635 entries  44.8 MB  text`: what follows hangs below the last column.
_COLUMN = re.compile(r"(?<=\S) {2,}(?=\S)")
_PATH = re.compile(r"(?P<before>[(\"'`]*)(?P<path>~?/.*?)(?P<after>[)\"'`,;:.]*)$", re.DOTALL)


def measure(text: str) -> int:
    """Count the columns of a text: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )


def fit(line: str, width: int | None) -> list[str]:
    """Break a line on words so that it fits; what follows the first line hangs below its text.

    Args:
        line: escaped text without a line end.
        width: columns; None for a reader that takes any line.
    """
    if width is None or measure(line) <= width:
        return [line]
    hang = _find_hang(line, width)
    lines, here = [], ""
    at = 0
    for unit in _find_units(line, width - hang):
        gap, word = line[at : unit.start()], unit.group()
        at = unit.end()
        for piece in _shorten(word, width - hang):
            if here.strip() and measure(here) + measure(gap) + measure(piece) > width:
                lines.append(here)
                here, gap = " " * hang, ""
            here += gap + piece
            gap = ""
    lines.append(here)
    return lines


def fit_all(text: str, width: int | None) -> str:
    """Fit each line of a text."""
    return "\n".join(piece for line in text.split("\n") for piece in fit(line, width))


def shorten_path(path: str, width: int) -> str:
    """Take out the middle of a path: where it begins and what the file is called stay."""
    if measure(path) <= width or width < 8:  # noqa: PLR2004 - less says nothing
        return path
    room = width - len(_GAP)
    head = room // 3
    while measure(path[:head]) > room // 3:
        head -= 1
    tail = max(1, len(path) - (room - head))
    while measure(path[tail:]) > room - measure(path[:head]):
        tail += 1
    return f"{path[:head]}{_GAP}{path[tail:]}"


def lay_out_table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    indent: str = "  ",
    left: int = 1,
    width: int | None = None,
) -> str:
    """Align columns, the first `left` to the left and all others to the right.

    A table that is wider than `width` becomes a list: a paragraph for each row, a line for each
    cell that is not empty.
    """
    widths = [max(measure(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = []
    for row in (head, *rows):
        cells = (
            _pad(cell, columns, to_left=i < left)
            for i, (cell, columns) in enumerate(zip(row, widths, strict=True))
        )
        lines.append((indent + "  ".join(cells)).rstrip())
    if width is None or max(map(measure, lines)) <= width:
        return "\n".join(lines)
    return "\n".join(line for row in rows for line in _list_cells(head, row, indent))


def _list_cells(head: Sequence[str], row: Sequence[str], indent: str) -> Iterator[str]:
    columns = max(map(measure, head[1:]), default=0)
    yield f"{indent}{row[0]}"
    for name, cell in zip(head[1:], row[1:], strict=True):
        if cell:
            yield (
                f"{indent}  {_pad(name, columns, to_left=True)}  {cell}"
                if name
                else (f"{indent}  {cell}")
            )


def _pad(text: str, columns: int, *, to_left: bool) -> str:
    space = " " * (columns - measure(text))
    return text + space if to_left else space + text


def _find_hang(line: str, width: int) -> int:
    columns = [gap.end() for gap in _COLUMN.finditer(line) if gap.end() <= width // 2]
    if columns:
        return columns[-1]
    return min(len(line) - len(line.lstrip(" ")) + _HANG, width // 2)


def _find_units(line: str, room: int) -> Iterator[re.Match[str]]:
    """Find what is not broken: words, and commands that fit."""
    at = 0
    while (unit := _UNIT.search(line, at)) is not None:
        if " " in unit.group() and measure(unit.group()) > room:
            unit = _WORD.search(line, at) or unit
        yield unit
        at = unit.end()


def _shorten(word: str, room: int) -> Iterator[str]:
    """Shorten a path that does not fit a line by itself; break any other such word."""
    if measure(word) <= room:
        yield word
        return
    found = _PATH.fullmatch(word)
    if found is not None:
        before, after = found["before"], found["after"]
        space = room - len(before) - len(after)
        if space >= room // 2:
            yield before + shorten_path(found["path"], space) + after
            return
    piece = ""
    for char in word:
        if measure(piece) + measure(char) > room:
            yield piece
            piece = ""
        piece += char
    yield piece
