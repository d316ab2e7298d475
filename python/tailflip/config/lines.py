"""Finds the lines of a TOML file on which its settings stand, for messages about mistakes."""

from __future__ import annotations

import re

_HEAD = re.compile(r"\s*\[{1,2}\s*([^\[\]]+?)\s*\]{1,2}\s*(?:#.*)?")
_PAIR = re.compile(r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[^\s.=]+))*)\s*=""")
_WORD = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")
_AT_LINE = re.compile(r" \(at line ([0-9]+), column [0-9]+\)$")


def find_lines(text: str) -> dict[str, int]:
    """Find the line of each key by its dotted name, such as `restart.cap_s`; the first is 1.

    Lines inside a text of several lines count too: a message may then name a wrong line, and no
    value is read from here.
    """
    found: dict[str, int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        head, pair = _HEAD.fullmatch(line), _PAIR.match(line)
        if head is not None:
            section = _join(head[1])
            found.setdefault(section, number)
        elif pair is not None:
            found.setdefault(f"{section}.{_join(pair[1])}".removeprefix("."), number)
    return found


def find_line(lines: dict[str, int], key: str) -> int | None:
    """Find the line of a key, or of the section around it: an inline table is on one line."""
    while key and key not in lines:
        key = key.rpartition(".")[0]
    return lines.get(key)


def split_place(reason: str) -> tuple[str, int | None]:
    """Take the line out of a message of the TOML reader."""
    match = _AT_LINE.search(reason)
    return (reason, None) if match is None else (reason[: match.start()], int(match[1]))


def _join(text: str) -> str:
    return ".".join(word.strip("\"'") for word in _WORD.findall(text))
