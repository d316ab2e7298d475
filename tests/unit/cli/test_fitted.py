"""Whatever a verb prints is fitted to the terminal, and what a program reads is left alone."""

from __future__ import annotations

import io
import sys

import pytest

from tailflip.base.errors import Usage
from tailflip.cli.fitted import Page, colour, fitted, take_colour


def make_page(width=20, *, coloured=False):
    stream = io.StringIO()
    return stream, Page(stream, width, coloured=coloured)


def test_lines_are_wrapped_as_they_are_printed():
    stream, page = make_page()
    print("note: one two three", "four five", file=page)
    print("and an end", end="", file=page, flush=True)
    assert stream.getvalue() == "note: one two three\n  four five\nand an end"


def test_a_line_in_pieces_is_one_line():
    stream, page = make_page()
    for piece in ("aaaa ", "bbbb ", "cccc ", "dddd eeee\n"):
        page.write(piece)
    assert stream.getvalue() == "aaaa bbbb cccc dddd\n  eeee\n"


def test_what_moves_the_cursor_passes_as_it_is():
    stream, page = make_page()
    page.write("\r\x1b[2K" + "x " * 30)
    assert stream.getvalue() == "\r\x1b[2K" + "x " * 30


def test_all_else_is_the_streams_own():
    stream, page = make_page()
    assert page.isatty() is stream.isatty()
    page.writelines(["a\n", "b\n"])
    assert stream.getvalue() == "a\nb\n"


@pytest.mark.parametrize(
    ("line", "style"),
    [
        ("OK: all is well", "1;32"),
        ("WAITING for a change", "1;33"),
        ("AT RISK: it will not fit", "1;33"),
        ("DOWN since now", "1;31"),
        ("error: no", "1;31"),
        ("  warning: x", "1;33"),
        ("  hint: x", "36"),
        ("next      x", "36"),
    ],
)
def test_what_tells_how_things_stand_is_coloured(line, style):
    assert colour(line).startswith(f"\x1b[{style}m")
    assert colour(line).replace(f"\x1b[{style}m", "").replace("\x1b[0m", "") == line


@pytest.mark.parametrize("line", ["OKAY", "DOWNLOAD", "errors are here", "guards  /x", "nextdoor"])
def test_nothing_else_is(line):
    assert colour(line) == line


def test_the_option_stands_anywhere_before_the_dashes():
    assert take_colour(["--color", "never", "status"]) == (["status"], "never")
    assert take_colour(["status", "--color=always"]) == (["status"], "always")
    assert take_colour(["watch", "--", "--color", "x"]) == (["watch", "--", "--color", "x"], "auto")
    for argv in (["--color", "red"], ["--color="], ["status", "--color"]):
        with pytest.raises(Usage, match="auto, always, never"):
            take_colour(argv)


@pytest.mark.parametrize(
    ("argv", "wrapped"),
    [
        (["status"], True),
        (["status", "--json"], False),
        (["config", "example"], False),
        (["config", "show"], True),
        (["incidents", "why", "--stderr"], False),
    ],
)
def test_what_a_program_reads_is_not_wrapped(argv, wrapped, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    with fitted(argv):
        print("word " * 20)
    assert sys.stdout is stream
    assert (stream.getvalue().count("\n") > 1) is wrapped
