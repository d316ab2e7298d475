"""Numbers with their nouns: one is one, in every message of the package."""

from __future__ import annotations

import ast
import re
import time
from pathlib import Path

import pytest

import tailflip
from support.stores import NOW_MS
from tailflip.base.units import format_ago, format_counted, format_moment, format_time

PACKAGE = Path(tailflip.__file__).parent
# A number, perhaps two words that tell of what kind, and a noun of many.
_MANY = re.compile(r" (?:(?!of |and )[a-z-]+ ){0,2}?(?P<noun>[a-z]{2,}s)\b")
# Numbers write themselves with these, and may be one.
_NUMBERS = re.compile(
    r"len\(|sum\(|format_count\(|round\(|count|number|entries|bytes|files|runs|deaths|trials"
    r"|misses|moved|alive|left|lost|row\b|more\b|broken|dropped"
)
# What looks like a noun of many and is none.
_OTHER_WORDS = frozenset({"is", "was", "has", "this", "its", "does", "us", "as", "less", "keeps"})
# Never one: limits of ours, and what is told only where it is above one.
_NEVER_ONE = {
    "stores/wanted.py: len(stores)",
    "observe/host/unitfile.py: len(commands)",  # none or several, instead of one
    "observe/files.py: max_bytes",
    "observe/records/recorded.py: len(text)",
}


@pytest.mark.parametrize(
    ("number", "noun", "verbs", "text"),
    [
        (0, "run", (), "0 runs"),
        (1, "run", (), "1 run"),
        (2, "run", (), "2 runs"),
        (6539, "entry", (), "6,539 entries"),
        (1, "entry", (), "1 entry"),
        (1, "broken line", ("was", "were"), "1 broken line was"),
        (2, "broken line", ("was", "were"), "2 broken lines were"),
        (3, "day", (), "3 days"),
        (3, "key", (), "3 keys"),
    ],
)
def test_a_number_of_things_has_the_noun_that_fits(number, noun, verbs, text):
    assert format_counted(number, noun, *verbs) == text


def find_bare_counts(source: str) -> list[tuple[int, str, str]]:
    """Find numbers that stand before a noun of many whatever they are."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.JoinedStr):
            continue
        for value, text in zip(node.values, node.values[1:], strict=False):
            if not (isinstance(value, ast.FormattedValue) and isinstance(text, ast.Constant)):
                continue
            match = _MANY.match(str(text.value))
            what = ast.unparse(value.value)
            if match is None or match["noun"] in _OTHER_WORDS or not _NUMBERS.search(what):
                continue
            if "format_counted" not in what and not re.search(r"format_(?!count\()", what):
                found.append((value.lineno, what, match["noun"]))
    return found


def test_the_search_finds_what_was_told_wrongly():
    assert find_bare_counts('f"{len(marked)} markers of running jobs"')
    assert find_bare_counts('f"{format_count(policy.cap_per_job)} runs of a job"')
    assert find_bare_counts('f"{count} stuck jobs were released"')
    assert not find_bare_counts("f\"{format_counted(len(marked), 'marker')} of jobs\"")
    assert not find_bare_counts('f"{path} is a store"')


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.stem)
def test_no_message_says_1_markers(path: Path):
    name = path.relative_to(PACKAGE).as_posix()
    bare = find_bare_counts(path.read_text("utf-8"))
    assert [each for each in bare if f"{name}: {each[1]}" not in _NEVER_ONE] == []


def test_a_moment_is_in_the_local_zone_with_its_offset(monkeypatch):
    for zone, text in [
        ("Europe/Berlin", "2026-02-02 03:40:00+01:00"),
        ("America/St_Johns", "2026-02-01 23:10:00-03:30"),
        ("UTC", "2026-02-02 02:40:00Z"),
    ]:
        with monkeypatch.context() as patch:
            patch.setenv("TZ", zone)
            time.tzset()
            assert format_time(NOW_MS) == text
            assert format_moment(NOW_MS - 180_000, NOW_MS).endswith(" (3 min ago)")
        time.tzset()
    assert format_ago(NOW_MS + 300_000, NOW_MS) == "in 5 min"
    assert format_ago(NOW_MS, NOW_MS) == "now"
