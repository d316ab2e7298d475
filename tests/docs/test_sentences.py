"""Pages are read at 3 a.m., and by people whose first language is another: sentences are short."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOST_WORDS = 25
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
_CODE_BLOCK = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_ITEM = re.compile(r"\s*(?:[-*]|\d+\.)\s+")
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_END = re.compile(r"(?<=[.!?:;])\s+(?=[A-Z0-9\"(*])")
_WORD = re.compile(r"[\w'][\w'-]*")


def list_passages(page: str) -> list[str]:
    """List what is read in one go: a paragraph, an item of a list, a cell of a table."""
    passages = []
    for block in re.split(r"\n\s*\n", _COMMENT.sub("\n\n", _CODE_BLOCK.sub("\n\n", page))):
        lines = block.strip("\n").splitlines()
        if all(line.startswith("    ") for line in lines):
            continue  # code, by its indent
        passage = ""
        for line in [*lines, "#"]:
            if line.lstrip().startswith("|"):
                passages += line.strip().strip("|").split("|")
            elif line.startswith("#") or _ITEM.match(line):
                passages.append(passage)
                passage = "" if line.startswith("#") else _ITEM.sub("", line, count=1)
            else:
                passage += f" {line.strip()}"
    return passages


def list_long_sentences(page: str) -> list[str]:
    """List the sentences of more than `MOST_WORDS` words; code within one is one word."""
    sentences = [
        sentence.strip()
        for passage in list_passages(page)
        for sentence in _END.split(re.sub("`[^`]*`", "X", _LINK.sub(r"\1", passage)))
    ]
    return [each for each in sentences if len(_WORD.findall(each)) > MOST_WORDS]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_no_sentence_of_a_page_is_longer_than_one_reads_in_one_go(page: Path):
    assert not list_long_sentences(page.read_text("utf-8"))


def test_a_long_sentence_is_found_wherever_it_stands():
    long = " ".join(["Word", *["word"] * 24])
    short = f"Short. {long}\n\n{long}.\n\n- {long}\n- {long}\n\n| {long} | {long} |"
    assert not list_long_sentences(short)
    for page in (
        f"# Title\nShort. {long}\nmore.",
        f"- {long}\n  more\n- Short",
        f"1. Short:\n\n   {long} more",
        f"| a | b |\n|---|---|\n| Short | {long} more |",
        f"{long} [more](page.md)",
        f"{long} `more`",
        f"<!-- made: begin -->\n{long} more\n<!-- made: end -->",
    ):
        assert len(list_long_sentences(page)) == 1, page


def test_code_is_no_sentence():
    long = " ".join(["word"] * 30)
    assert not list_long_sentences(f"```sh\n{long}\n```\n\nSo:\n\n    {long}\n\n`{long}`")
