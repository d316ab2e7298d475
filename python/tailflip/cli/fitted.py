"""What a person reads, fitted to their terminal: each line wrapped and coloured as it is printed.

Verbs print whole lines and know no width. So a new verb is wrapped and coloured as well.
"""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO, cast

from tailflip.base.errors import Usage
from tailflip.base.layout import fit
from tailflip.base.terminal import ERRORS, find_width, wants_colour

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_OPTION = "--color"
COLOURS = ("auto", "always", "never")
# For programs, or word for word: these are never wrapped.
_RAW_OPTIONS = frozenset({"--json", "--stderr", "--show-completion"})
_RAW_VERBS = frozenset({"schema"})
_RAW_PAIRS = frozenset({("config", "example")})
_CONTROL = re.compile(r"[\x1b\r]")
_RED, _GREEN, _YELLOW, _CYAN = "1;31", "1;32", "1;33", "36"
_STYLES = (
    (re.compile(r"OK\b"), _GREEN),
    (re.compile(r"(?:WAITING|AT RISK)\b"), _YELLOW),
    (re.compile(r"DOWN\b"), _RED),
    (re.compile(r" *error(?=: )"), _RED),
    (re.compile(r" *warning(?=: )"), _YELLOW),
    (re.compile(r" *(?:hint|note|undo|next)(?=: | {2,})"), _CYAN),
)


class Page:
    """A stream in front of standard output or error; all else of it is that stream's own."""

    def __init__(self, stream: TextIO, width: int | None, *, coloured: bool) -> None:
        """Keep the stream, its columns, and whether it shows colours."""
        self._stream, self._width, self._coloured = stream, width, coloured
        self._pending = ""

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write the lines that are whole; a text that moves the cursor passes as it is."""
        length = len(text)
        if not text.isascii():  # what is spelt out takes more room
            encoding = getattr(self._stream, "encoding", None) or "utf-8"
            text = text.encode(encoding, ERRORS).decode(encoding)
        if _CONTROL.search(text):
            self._write_pending()
            self._stream.write(text)
            return length
        *whole, self._pending = (self._pending + text).split("\n")
        if whole:
            self._stream.write("".join(f"{self._fit(line)}\n" for line in whole))
        return length

    def writelines(self, lines: Sequence[str]) -> None:
        """Write texts one after the other."""
        self.write("".join(lines))

    def flush(self) -> None:
        """Write what is there, a line that is not whole too."""
        self._write_pending()
        self._stream.flush()

    def _write_pending(self) -> None:
        pending, self._pending = self._pending, ""
        if pending:
            self._stream.write(self._fit(pending))

    def _fit(self, line: str) -> str:
        first, *more = fit(line, self._width)
        return "\n".join((colour(first) if self._coloured else first, *more))


def colour(line: str) -> str:
    """Colour the word that a line begins with, if it says how things stand."""
    for pattern, style in _STYLES:
        found = pattern.match(line)
        if found is not None:
            return f"\x1b[{style}m{found[0]}\x1b[0m{line[found.end() :]}"
    return line


def take_colour(argv: Sequence[str]) -> tuple[list[str], str]:
    """Take `--color WHEN` out of a command line, wherever it stands.

    Raises:
        Usage: WHEN is none of `COLOURS`.
    """
    left: list[str] = []
    choice = COLOURS[0]
    words = iter(argv)
    for word in words:
        if word == "--":
            left += [word, *words]
        elif word == _OPTION or word.startswith(f"{_OPTION}="):
            choice = word.partition("=")[2] or next(words, "")
            if choice not in COLOURS:
                raise Usage(f"{_OPTION} is none of {', '.join(COLOURS)}: {choice}")
        else:
            left.append(word)
    return left, choice


@contextmanager
def fitted(argv: Sequence[str], colours: str = "auto") -> Iterator[None]:
    """Fit what is printed to the terminals; what an encoding lacks is spelt out, not refused."""
    out, err = sys.stdout, sys.stderr
    raw = _is_raw(argv)
    for stream in (out, err):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=ERRORS)
    try:
        if not raw:
            sys.stdout = _wrap(out, colours)
        sys.stderr = _wrap(err, colours)
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):  # the reader is gone
                stream.flush()
        sys.stdout, sys.stderr = out, err


def _wrap(stream: TextIO, colours: str) -> TextIO:
    width, coloured = find_width(stream), wants_colour(stream, colours)
    if width is None and not coloured:
        return stream
    return cast("TextIO", Page(stream, width, coloured=coloured))


def _is_raw(argv: Sequence[str]) -> bool:
    own = argv[: argv.index("--")] if "--" in argv else argv
    return (
        not _RAW_OPTIONS.isdisjoint(own)
        or tuple(own[:1]) in {(verb,) for verb in _RAW_VERBS}
        or tuple(own[:2]) in _RAW_PAIRS
    )
