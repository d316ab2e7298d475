"""Nothing that matters is cut, at any width: lines wrap on words, tables become lists."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailflip.base.layout import fit, fit_all, lay_out_table, measure, shorten_path

PATH = "/srv/gateways/customer-17/.openclaw/agents/main/sessions/sessions.json"
LINES = [
    f"error: cannot compact store: {PATH}: gateway is running (pid 412177)",
    f"gateway   OpenClaw 2026.4.14, port 18789, running (lock {PATH}.lock held by pid 412177)",
    "  hint: `tailflip compact --apply` makes it small; `openclaw cron disable job-1` stops it now",
    "  undo: tailflip restore 20260202T020000Z-abcdef --apply",
]


@pytest.mark.parametrize("width", [32, 40, 60, 80, 120, 200])
@pytest.mark.parametrize("line", LINES)
def test_a_line_fits_and_keeps_its_words(line, width):
    fitted = fit(line, width)
    assert max(map(measure, fitted)) <= width
    words = [word for word in line.split() if "/" not in word]
    assert [word for word in " ".join(fitted).split() if word in words] == words
    assert re.findall(r"412177|18789", " ".join(fitted)) == re.findall(r"412177|18789", line)


def test_what_follows_hangs_below_the_text():
    assert fit("gateway   OpenClaw 2026.4.14, port 18789, running", 30) == [
        "gateway   OpenClaw 2026.4.14,",
        "          port 18789, running",
    ]
    assert fit("  hint: stop it and then start it again", 24) == [
        "  hint: stop it and then",
        "    start it again",
    ]


def test_a_command_stays_in_one_piece_where_it_can():
    assert fit("next: it waits; `tailflip compact --apply` ends it", 40) == [
        "next: it waits;",
        "  `tailflip compact --apply` ends it",
    ]
    undo = "tailflip restore 20260202T020000Z-abcdef --apply"
    assert undo in fit(f"  the way to undo all of it: {undo}", 60)[1]


def test_a_path_loses_its_middle_and_keeps_its_name():
    [short] = fit(PATH, 40)
    assert measure(short) <= 40
    assert short.startswith("/srv/g")
    assert short.endswith("/sessions.json")
    assert PATH in fit(f"note: {PATH}", 80)[-1], "one that fits a line of its own is whole"


def test_a_pipe_gets_whole_lines():
    assert fit(LINES[0] * 9, None) == [LINES[0] * 9]


def test_wide_characters_count_twice():
    assert measure("任务") == 4
    assert max(map(measure, fit("任务" * 30, 20))) <= 20


@given(st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" ")), st.integers(20, 90))
def test_whatever_the_text_it_fits_and_no_word_is_lost(text, width):
    fitted = fit(text, width)
    assert all(measure(line) <= width for line in fitted)
    if "/" not in text:
        assert "".join("".join(fitted).split()) == "".join(text.split())
    assert fit_all(text, None) == text


def test_a_table_that_does_not_fit_is_a_list():
    head, row = ["job", "began", "took"], ["nightly report", "2026-02-02", "3 s"]
    assert lay_out_table(head, [row], width=40) == lay_out_table(head, [row])
    assert lay_out_table(head, [row], width=20) == (
        "  nightly report\n    began  2026-02-02\n    took   3 s"
    )
    assert "took" not in lay_out_table(head, [[*row[:2], ""]], width=20), (
        "what is empty is left out"
    )


def test_to_shorten_keeps_the_width():
    for width in range(8, 80):
        assert measure(shorten_path(PATH, width)) <= width
        assert measure(shorten_path("/任务" * 40, width)) <= width
