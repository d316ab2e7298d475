"""Reads a shell script that only starts one program, as people put one in front of OpenClaw.

It is followed if all of it is plain: comments, `set`, `export` with a value as it stands, and at
the end the program, to which all arguments are passed on. Any other script may do anything.
"""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.flow.late import dataclass
from tailflip.observe.files import read_regular

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_BYTES = 64 << 10
_SHELLS = frozenset({"sh", "bash", "dash", "ash", "ksh", "zsh"})
_ALL = ' "$@"'
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
# What a shell would change: expansions, pipes, groups, patterns, a home.
_SPECIAL = re.compile(r"[$`\\;|&<>(){}*?\[\]~!]")


@dataclass(frozen=True)
class Launcher:
    """The program that a script starts, as words before the arguments; both may hold secrets.

    `env` is what the script adds to the environment.
    """

    words: tuple[str, ...] = field(repr=False)
    env: Mapping[str, str] = field(repr=False)


def read_launcher(path: str) -> Launcher | None:
    """Read a script; None for another program, and for a script that is not plain."""
    try:
        lines = read_regular(Path(os.path.realpath(path)), _MAX_BYTES).decode().splitlines()
    except (OSError, ValueError):
        return None
    if not lines or not _names_shell(lines[0]):
        return None
    plain = [line.strip() for line in lines[1:]]
    plain = [line for line in plain if line and not line.startswith("#")]
    if not plain or not plain[-1].endswith(_ALL):
        return None
    env: dict[str, str] = {}
    for line in plain[:-1]:
        words = _split(line)
        added = _read_assignments(words)
        if added is None:
            return None
        env |= added
    words = _split(plain[-1].removesuffix(_ALL))
    if words[:1] == ["exec"]:
        words = words[1:]
    if not words or words[0].startswith("-") or _ASSIGNMENT.fullmatch(words[0]):
        return None
    return Launcher(tuple(words), env)


def _names_shell(line: str) -> bool:
    words = line.removeprefix("#!").split() if line.startswith("#!") else []
    if words[:1] and Path(words[0]).name == "env":
        words = words[1:]
    return bool(words) and Path(words[0]).name in _SHELLS


def _split(line: str) -> list[str]:
    """Split a plain line into its words; empty for one that is not plain."""
    if _SPECIAL.search(line):
        return []
    try:
        return shlex.split(line, comments=True)
    except ValueError:
        return []


def _read_assignments(words: list[str]) -> dict[str, str] | None:
    """Read what a line before the last adds to the environment; None if it does anything else."""
    if words[:1] == ["set"]:
        return {}
    if words[:1] != ["export"]:
        return None
    matches = [_ASSIGNMENT.fullmatch(word) for word in words[1:]]
    found = {match[1]: match[2] for match in matches if match is not None}
    return found if found and len(found) == len(words) - 1 else None
