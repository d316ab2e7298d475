"""The line of a setting in a file, for people who look for a mistake there."""

from __future__ import annotations

import pytest

from tailflip.config.lines import find_line, find_lines, split_place

TEXT = """\
# a comment
top = 1

[restart]  # with a comment
cap_s = 3
 "factor" = 2
a.b = 1
[ gateways . "my work" . heal ]
retention = "7d"
inline = { margin = 3 }
[[list]]
x = 1
"""


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("top", 2),
        ("restart", 4),
        ("restart.cap_s", 5),
        ("restart.factor", 6),
        ("restart.a.b", 7),
        ("gateways.my work.heal.retention", 9),
        ("gateways.my work.heal.inline.margin", 10),
        ("list.x", 12),
        ("none.at.all", None),
    ],
)
def test_a_key_has_its_line_else_that_of_what_is_around_it(key, line):
    assert find_line(find_lines(TEXT), key) == line


def test_the_place_is_taken_out_of_the_reader_s_words():
    assert split_place("expected = (at line 3, column 4)") == ("expected =", 3)
    assert split_place("nested too deeply") == ("nested too deeply", None)
