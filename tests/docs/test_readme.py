"""The README is a front door: short, plain, with a picture that the repository's command draws."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from xml.parsers import expat

import pytest

from tailflip.diagnose.last_words import read_last_words

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PICTURE = ROOT / "docs" / "cure.svg"
MOST_LINES = 119


def read_terminal(svg: str) -> list[str]:
    """Read the lines of text that a picture of a terminal shows."""
    lines: dict[str, str] = {}
    for at, text in re.findall(r'<text[^>]* y="([\d.]+)"[^>]*>(.*?)</text>', svg):
        lines[at] = lines.get(at, "") + unescape(text).replace("\xa0", " ")
    return [lines[at] for at in sorted(lines, key=float)]


def test_it_is_short():
    assert len(README.splitlines()) <= MOST_LINES


def test_the_log_line_of_the_symptom_is_what_we_know_a_death_of_the_heap_by():
    (symptom,) = re.findall(r"^    (FATAL ERROR: .*)$", README, re.MULTILINE)
    assert read_last_words(symptom).heap == symptom


def test_the_cure_takes_four_commands():
    (cure,) = re.findall(r"## The cure\n.*?```sh[^\n]*\n(.*?)```", README, re.DOTALL)
    commands = [line.partition("#")[0].split() for line in cure.splitlines()]
    assert [words[:2] for words in commands] == [
        ["tailflip", "check"],
        ["tailflip", "compact"],
        ["tailflip", "install"],
        ["systemctl", "--user"],
    ]


def test_the_picture_shows_the_cure_and_needs_nothing_from_elsewhere():
    assert f"]({PICTURE.relative_to(ROOT)})" in README
    svg = PICTURE.read_text()
    expat.ParserCreate().Parse(svg, True)
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg\")", svg) == []
    shown = read_terminal(svg)
    assert "$ tailflip check" in shown
    assert "$ tailflip compact --apply" in shown
    told = " ".join(shown)
    assert "185.0 MB -> 2.9 MB" in told
    assert "undo: tailflip restore " in told


def test_the_picture_is_drawn_by_a_command_of_the_repository(tmp_path):
    out = tmp_path / "cure.svg"
    tool = ROOT / "tests" / "tools" / "write_picture.py"
    words = [sys.executable, str(tool), "--size-mb", "1", "--out", str(out)]
    subprocess.run(words, check=True, capture_output=True)
    expat.ParserCreate().Parse(out.read_text(), True)
    told = " ".join(read_terminal(out.read_text()))
    for text in ("$ tailflip check", "$ tailflip compact --apply", "undo: tailflip restore "):
        assert text in told
    assert "/home/claw/" in told
    assert os.fspath(tmp_path.parents[2]) not in told, "the scratch directory has another name"
    assert "picture:" in (ROOT / "Makefile").read_text()


# Readers whose first language is another one stopped at these, and read them twice.
HARD = (
    "from outside the dying heap",
    "settles them by evidence",
    "if you can, look, do it",
    "be it every 45 seconds",
    "would not have died at all",
    "never rests",
    "shortened where",
    "tells of jobs that are stuck",
    "alone removes what claims",
    "is told at once",
    "what stands in for one",
    "proof of life than can be held",
    "cures least",
    "yours is the choice",
    "the later the stronger",
    "minds a drop-in",
    "takes the start limit off",
    "everyone finds the same",
)


@pytest.mark.parametrize("phrase", HARD)
def test_what_readers_stumbled_over_is_gone(phrase):
    pages = (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"))
    found = [page.name for page in pages if phrase in " ".join(page.read_text().split())]
    assert found == []
