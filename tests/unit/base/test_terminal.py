"""How wide, how coloured, in which characters: the person's wish first, the terminal second."""

from __future__ import annotations

import io
import os
import pty
import struct
import termios
from fcntl import ioctl

import pytest

from tailflip.base.terminal import ERRORS, find_width, wants_colour


@pytest.fixture
def terminal():
    leader, follower = pty.openpty()
    ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 91, 0, 0))
    with os.fdopen(follower, "w", encoding="utf-8") as stream:
        yield stream
    os.close(leader)


def test_the_width_is_columns_then_the_terminals_and_a_pipe_has_none(terminal):
    assert find_width(terminal, {}) == 91
    assert find_width(terminal, {"COLUMNS": "60"}) == 60
    assert find_width(io.StringIO(), {"COLUMNS": "60"}) == 60
    assert find_width(terminal, {"COLUMNS": "wide"}) == 91
    assert find_width(terminal, {"COLUMNS": "3"}) == 20, "less shows nothing"
    assert find_width(io.StringIO(), {"COLUMNS": "0"}) is None
    assert find_width(None, {}) is None


WISHES = [
    ("always", {"NO_COLOR": "1"}, False, True),
    ("never", {"FORCE_COLOR": "1"}, True, False),
    ("auto", {}, True, True),
    ("auto", {}, False, False),
    ("auto", {"NO_COLOR": "1"}, True, False),
    ("auto", {"NO_COLOR": ""}, True, True),
    ("auto", {"FORCE_COLOR": "1"}, False, True),
    ("auto", {"FORCE_COLOR": "0"}, True, False),
    ("auto", {"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
    ("auto", {"TERM": "dumb"}, True, False),
]


@pytest.mark.parametrize(("choice", "env", "is_terminal", "coloured"), WISHES)
def test_colour_follows_the_wish_then_the_terminal(terminal, choice, env, is_terminal, coloured):
    stream = terminal if is_terminal else io.StringIO()
    assert wants_colour(stream, choice, env) is coloured


def test_what_an_encoding_lacks_is_spelt_out():
    assert "/a…b".encode("latin-1", ERRORS) == b"/a...b"
    assert "é任\udcff".encode("latin-1", ERRORS) == b"\xe9\\u4efb\\udcff"
    assert "é任\udcff".encode("ascii", ERRORS) == b"\\xe9\\u4efb\\udcff"
