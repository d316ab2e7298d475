r"""Reads the lines of a stderr tail, without the prefixes of consoles, journals and kernels.

A gateway writes one text in many forms: with an ISO stamp or `HH:MM:SS`, with and without
colour, `[subsystem]` and emoji, or as a JSON object with the text in `message` (2026.3.28
and later) or `msg`. journald, syslog, dmesg and Docker Compose add their own prefixes, and
a terminal ends lines with `\r\n`. `read_lines` returns the bare text, so that one table of texts
serves all forms.

Source: `formatConsoleLine` and the console patches of 2026.3.28, 2026.4.14, 2026.5.28,
2026.7.35, 2026.8.1, 2026.9.5 and 2026.9.6; `journalctl -o short*`, `dmesg -T`.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_LINES = 400
_MAX_CHARS = 400
_MAX_JSON_CHARS = 65_536
_MAX_LAYERS = 6

_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_ISO = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[\d.,]{0,10}(?: ?(?:Z|[+-]\d\d:?\d\d))?"
# One space belongs to each prefix: a line with more belongs to an error above it.
# The prefixes of journald, syslog, the kernel and Docker Compose.
_SYSTEM = re.compile(
    r"\[[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}\] "
    r"|\[ {0,8}\d{1,10}\.\d{1,9}\] "
    r"|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d{1,9})? "
    r"[^\s:\[]{1,64} [^\s:\[]{1,64}(?:\[\d+\])?: "
    rf"|{_ISO} [^\s:\[]{{1,64}} (?:[^\s:\[]{{1,64}}\[\d+\]|kernel): "
    r"|kernel: "
    r"|[a-z][\w.-]{0,63} {1,20}\| "
)
_STAMP = re.compile(rf"(?:{_ISO}|\d\d:\d\d:\d\d(?:[.,]\d{{1,9}})?)(?: |$)")
_SUBSYSTEM = re.compile(r"\[(?P<name>[A-Za-z][\w./:@-]{0,60})\](?: |$)")
_EMOJI = re.compile("[\u2190-\u2bff\u3030\ufe0f\u200d\U0001f000-\U0001faff]+ ?")
# The gateway's own names, of all releases; text under other names is not of node or V8.
_OWN = frozenset({"gateway", "openclaw", "clawdbot", "moltbot"})
# The text of a JSON line: `message` of the console, `msg` and `0` of log files.
_JSON_TEXTS = ("message", "msg", "0")
_HEAP_HEAD = re.compile(r"FATAL ERROR: [^\n]{1,200}$")
_HEAP_TAIL = "Allocation failed - "


class Line(NamedTuple):
    """One line without its prefixes.

    `own`: the line stands alone or under the gateway's own name, and may be of node, V8, a shell
    or the kernel. The text of a channel's line may be a chat message.
    """

    text: str
    own: bool


def read_lines(tail: str) -> list[Line]:
    """Read the last 400 lines of a tail, oldest first, in linear time."""
    lines: list[Line] = []
    for raw in tail.rsplit("\n", MAX_LINES)[-MAX_LINES:]:
        for line in _undress(raw):
            # journald may cut V8's long line in two.
            split = line.text.startswith(_HEAP_TAIL) and lines
            if split and _HEAP_TAIL not in lines[-1].text and _HEAP_HEAD.match(lines[-1].text):
                last = lines.pop()
                lines.append(Line(f"{last.text} {line.text}"[:_MAX_CHARS], last.own and line.own))
            else:
                lines.append(line)
    return lines[-MAX_LINES:]


def _undress(raw: str) -> Iterator[Line]:
    """Remove colours and prefixes of a line; a JSON line may hold several lines."""
    bare = raw[:_MAX_JSON_CHARS].rstrip("\r")
    at = bare.find("{", 0, _MAX_CHARS) if bare.endswith("}") else -1
    if at >= 0 and not _strip(bare[:at]).text:
        found = _read_json(bare[at:])
        if found is not None:
            subsystem, text = found
            own = not subsystem or subsystem in _OWN
            for part in text.split("\n")[:MAX_LINES]:
                line = _strip(_ESCAPES.sub("", part[: 2 * _MAX_CHARS]))
                yield Line(line.text, line.own and own)
            return
    yield _strip(_ESCAPES.sub("", bare[: 2 * _MAX_CHARS]))


def _strip(text: str) -> Line:
    """Remove the prefixes, in any order."""
    own = True
    for _ in range(_MAX_LAYERS):
        found = _SYSTEM.match(text) or _STAMP.match(text) or _EMOJI.match(text)
        if found is None:
            found = _SUBSYSTEM.match(text)
            if found is None:
                break
            own = own and found["name"] in _OWN
        text = text[found.end() :]
    return Line(text[:_MAX_CHARS].rstrip(), own)


def _read_json(text: str) -> tuple[str, str] | None:
    """Read subsystem and text of a JSON line; None if it has no known text field."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    said = next((value[key] for key in _JSON_TEXTS if isinstance(value.get(key), str)), None)
    if said is None:
        return None
    subsystem = value.get("subsystem")
    return (subsystem if isinstance(subsystem, str) else ""), said
