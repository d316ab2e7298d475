"""Parses lines into their parts, and finds the last error on a gateway's stderr.

A line has an introduction of the gateway's own, classes of errors with their codes, and the
rest. Of an error, tailflip repeats the class, the code and known texts.
"""

from __future__ import annotations

import errno
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from tailflip.diagnose.known_texts import CODES, ERRORS, MESSAGES, MORE_CODES, NAMES, SQLITE_CODES
from tailflip.flow.late import dataclass
from tailflip.flow.lives import Cause

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailflip.diagnose.console_lines import Line

_MAX_CHARS = 300
# Lines after an error that belong to it: its stack, its fields, node's own last line.
_OF_ERROR = re.compile(
    r"\s*$|\s+at |\s+\w+: |\s*[\]}\^]|\s+\.\.\. |Node\.js v\d|Debug: |Try: |Help: "
)
_IN_LOADER = re.compile(
    r"\s+at (?:async )?(?:compileSourceTextModule|wrapSafe|internalCompileFunction"
    r"|Object\.compileFunction|ModuleJob\._instantiate|ModuleLoader\.\w+)\b"
)
_FRAME = re.compile(r"\s+at ")
_BAD_SOURCE = "SyntaxError"


# The gateway's introductions of an error that ends it; each is repeated as it is.
_INTRO = re.compile(
    r"(?P<intro>Gateway failed to start|Uncaught exception|Unhandled promise rejection"
    r"|FATAL unhandled rejection|CONFIGURATION ERROR - requires fix|Failed to start CLI"
    r"|Could not start the CLI|CLI failed|The CLI command failed"
    r"|OpenClaw hit an unexpected runtime error|Reason|openclaw"
    r"|failed to reacquire gateway lock for in-process restart"
    r"|failed to bind gateway socket on \S{1,100}|Startup failed"
    r"|Failed to read config at \S{1,200})"
    r"(?:[:.]+(?: |$)| (?=\w{0,40}Error: ))|Uncaught "
)
_PATHS = ("Failed to read config", "failed to bind gateway socket")
_NAMED = re.compile(
    r"(?P<name>[A-Z][A-Za-z]{0,40}(?:Error|Exception)|Error)"
    r"(?: \[(?P<code>[A-Za-z][A-Za-z0-9_]{1,60})\])?(?:: ?|\s*$)"
)
START = "Gateway failed to start"
# Introductions that say nothing without the text after them.
_EMPTY_INTROS = frozenset({"Reason", "openclaw"})
# `Fetch failed: EAI_AGAIN …`, `write EPIPE`: a token that is a code of a closed set.
_TOKEN = re.compile(r"\b[A-Z][A-Z0-9_]{2,40}\b")
_ERROR_CODE = re.compile(r"\s+code: '(?P<code>[A-Z][A-Z0-9_]{2,60})'")
_SQLITE_CODE = re.compile(r"\s+errcode: (?P<number>\d{1,6})\b")
_SAFE_CODE = re.compile(r"ERR_|SQLITE_|MODULE_NOT_FOUND$")
_ERRNO = frozenset(errno.errorcode.values()) | MORE_CODES


@dataclass(frozen=True)
class Spoken:
    """The last error that the gateway wrote.

    `said` is its class with its code or known text. `cause` is None where those tell none.
    `at_start`: the gateway introduced the error as the reason of a failed start. `after` is the
    number of later lines that do not belong to it.
    """

    said: str
    cause: Cause | None
    at_start: bool
    after: int = 0
    hint: str = ""


@dataclass(frozen=True)
class Said:
    """The parts of a line: introduction, class and code of an error, and the rest."""

    text: str
    intro: str
    name: str
    code: str
    message: str

    @property
    def introduced(self) -> bool:
        """Say whether the line introduces an error, or an end, in the gateway's own way."""
        return bool(self.intro or self.name)


def take_apart(line: Line) -> Said:
    """Split introductions and error classes off a line.

    In a channel's line, an error class counts after an introduction.
    """
    rest, intro, name, code = line.text, "", "", ""
    while found := _INTRO.match(rest):
        intro = intro or found["intro"] or "Uncaught"
        rest = rest[found.end() :]
        if not rest or len(intro) > _MAX_CHARS:
            break
    intro = next((path for path in _PATHS if intro.startswith(path)), intro)
    while (line.own or intro) and (found := _NAMED.match(rest)):
        name, code = found["name"], found["code"] or code
        rest = rest[found.end() :]
        while rest and (deeper := _INTRO.match(rest)):
            rest = rest[deeper.end() :]
    return Said(line.text, intro, name, code, rest[:_MAX_CHARS])


def find_error(lines: Sequence[Said]) -> Spoken | None:
    """Find the last error, with the code in the fields below it."""
    last: Spoken | None = None
    name, in_error, is_source = "", False, False
    for line in lines:
        if line.introduced:
            # `Reason:` and similar words explain a title in the line above.
            title = last if line.intro in _EMPTY_INTROS else None
            spoken = judge(line)
            if spoken.said or title is None:
                last = spoken if spoken.said else None
            name, in_error = line.name, True
            is_source = last is not None and last.said.startswith(_BAD_SOURCE)
        elif last is not None and _OF_ERROR.match(line.text):
            last = _add_field(last, line.text, name) if in_error else last
            if is_source and _FRAME.match(line.text):
                # If the loader throws it, a source file is cut off; else some JSON.
                is_source = False
                if _IN_LOADER.match(line.text):
                    last = replace(last, cause=Cause.INSTALLATION)
        elif last is not None and line.text.strip():
            last, in_error = replace(last, after=last.after + 1), False
    return last


def judge(line: Said) -> Spoken:
    """Judge an error and its cause by its first line."""
    at_start = line.intro == START
    for known in ERRORS:
        found = (known.pattern.search if known.within else known.pattern.match)(line.message)
        if found is not None:
            said = _join(line.name, found["said"])
            return Spoken(said, known.cause, at_start, hint=known.hint)
    code = line.code if _is_safe(line.code) else ""
    code = code or next((each for each in _TOKEN.findall(line.message) if each in _ERRNO), "")
    known_text = MESSAGES.match(line.message)
    told = code or (known_text[0] if known_text else "")
    intro = "" if line.intro in _EMPTY_INTROS or line.intro == "Uncaught" else line.intro
    said = _join(line.name, told) if line.name or not intro else _join(intro, told)
    return Spoken(said, CODES.get(code) or NAMES.get(line.name), at_start)


def _add_field(error: Spoken, field: str, name: str) -> Spoken:
    """Add the value of a field below an error: its code, or SQLite's number."""
    code = ""
    if (found := _ERROR_CODE.match(field)) and _is_safe(found["code"]):
        code = found["code"]
    elif found := _SQLITE_CODE.match(field):
        code = SQLITE_CODES.get(int(found["number"]) & 0xFF, "")
    if not code or error.cause is not None:
        return error
    if code == "ERR_SQLITE_ERROR" and error.said not in ("", name):
        return error  # the text was more exact
    if code in error.said:
        return error
    return replace(error, said=_join(name, code), cause=CODES.get(code))


def _join(name: str, told: str) -> str:
    return f"{name}: {told}" if name and told and name != told else name or told


def _is_safe(code: str) -> bool:
    """Say whether a code is an error's: a code to pair a device looks much like one."""
    return code in _ERRNO or _SAFE_CODE.match(code) is not None
