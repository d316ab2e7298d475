"""The forms of file names that may go, and what is asked of each: one table.

A name that has none of these forms is never touched: so a backup that a person made stays, whatever
it is called.

Source: file names of 2026.3.28, 4.14, 5.28, 7.35 and 9.6, and what their own clean-up leaves.
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import cache
from typing import NamedTuple

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_ID = r"[0-9A-Za-z][0-9A-Za-z._-]*?"
_STAMP = r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(?:\.\d{3})?Z"


class Class(StrEnum):
    """What a file is to its owner, in the order in which room is given back."""

    DEBRIS = "debris"
    CAPTURES = "captures"
    COPIES = "copies"
    HISTORY = "history"


PROOFS = {
    Class.DEBRIS: "half-written, or a lock; its writer ended, and nobody has it open",
    Class.CAPTURES: "a scratch folder that nobody uses; the newest of its kind stays",
    Class.COPIES: "nothing names it, and its bytes begin a file that stays",
    Class.HISTORY: "nothing names it, and nobody wrote it lately",
}
BECOMES = {
    Class.DEBRIS: "deleted",
    Class.CAPTURES: "deleted; the gateway makes it anew",
    Class.COPIES: "deleted; an undo makes it from the file that stays",
    Class.HISTORY: "packed into an archive; an undo puts it back",
}


class Pattern(NamedTuple):
    """One form of name.

    `text` may name `of`, the file that it was to become or was copied from; `pid`, its writer;
    `id`, its session; `mark`, what a record would name it by. Without the last two that is the
    whole name. `has_lock`: a lock, whose owner stands inside. `has_header`: it must begin as a
    transcript does, for people have files of such names too.
    """

    kind: Class
    what: str
    text: str
    releases: str
    ending: str = ""  # of the file `of`, where the name has it without one
    has_lock: bool = False
    is_backup: bool = False
    needs_target: bool = True
    has_header: bool = False


# The first that matches counts.
IN_SESSIONS = (
    Pattern(
        Class.DEBRIS,
        "unfinished store",
        rf"(?P<of>.+\.json)\.(?:(?:(?P<pid>\d+)\.)?{_UUID}|(?P<pid2>\d+)\.[0-9a-f]{{16}})\.tmp",
        "3.28-7.35",
    ),
    Pattern(
        Class.DEBRIS,
        "unfinished cost cache",
        r"(?P<of>\.usage-cost-cache\.json)\.(?P<pid>\d+)\.\d+\.tmp",
        "5.x",
        needs_target=False,
    ),
    Pattern(
        Class.DEBRIS,
        "unfinished transcript repair",
        rf"(?P<of>{_ID}\.jsonl)\.repair-(?P<pid>\d+)-\d+\.tmp",
        "3.28-7.35",
    ),
    Pattern(
        Class.DEBRIS,
        "lock",
        r"(?P<of>.+\.jsonl?)\.lock",
        "3.28-7.35",
        has_lock=True,
        needs_target=False,
    ),
    Pattern(
        Class.COPIES,
        "copy before a compaction",
        rf"(?P<of>{_ID})\.checkpoint\.(?P<mark>{_UUID})\.jsonl",
        "4.14",
        ending=".jsonl",
    ),
    Pattern(
        Class.COPIES,
        "copy before a repair",
        rf"(?P<of>{_ID}\.jsonl)\.bak-(?P<pid>\d+)-\d+",
        "3.28-7.35",
    ),
    Pattern(
        Class.COPIES,
        "copy of a damaged transcript",
        rf"(?P<of>{_ID}\.jsonl)\.corrupt-[0-9A-Za-z.-]+-[0-9a-f]+\.jsonl",
        "7.x",
    ),
    Pattern(
        Class.COPIES,
        "rotated store",
        r"(?P<of>sessions\.json)\.bak\.\d+",
        "3.28-5.x",
        is_backup=True,
    ),
    Pattern(
        Class.HISTORY,
        "ended transcript",
        rf"(?P<id>{_ID})(?:-topic-.+?)?\.jsonl\.(?:deleted|reset|bak)\.{_STAMP}(?:\.zst)?",
        "3.28-9.6",
    ),
    Pattern(
        Class.HISTORY,
        "trace of a run",
        rf"(?P<id>{_ID})\.trajectory(?:\.jsonl|-path\.json)",
        "5.x-9.x",
    ),
    Pattern(
        Class.HISTORY,
        "transcript without an entry",
        rf"(?P<id>{_ID})(?:-topic-.+)?\.jsonl",
        "3.28-7.35",
        has_header=True,
    ),
)
# Temporary files beside the gateway's small files; `stores.litter` knows which.
SMALL = Pattern(
    Class.DEBRIS,
    "unfinished small file",
    r"(?P<of>.+?)\.(?:(?P<pid>\d+)\.)?[0-9a-f-]{8,36}\.tmp",
    "3.28-7.35",
)
# Folders: in those for temporary files, and in the cache.
IN_TEMPORARY = (
    Pattern(Class.CAPTURES, "plug-in build", r"openclaw-plugin-build-.+", "9.x"),
    Pattern(Class.CAPTURES, "model catalogue", r"openclaw-model-catalog-.+", "9.x"),
)
IN_CACHE = (
    Pattern(Class.CAPTURES, "copy of a database", r"openclaw-sqlite-readonly-.+", "9.x"),
    Pattern(Class.CAPTURES, "update trial", r"openclaw-update-canary-.+", "9.x"),
)


class Parsed(NamedTuple):
    """A name that has a known form; `mark` is what a record would name it by."""

    pattern: Pattern
    of: str | None
    pid: int | None
    mark: str


def parse(name: str, patterns: tuple[Pattern, ...]) -> Parsed | None:
    """Tell the form of a name; None for a name that is not ours to judge."""
    for pattern in patterns:
        match = _compile(pattern.text).fullmatch(name)
        if match is not None:
            found = match.groupdict()
            pid = found.get("pid") or found.get("pid2")
            of = found.get("of")
            return Parsed(
                pattern,
                None if of is None else of + pattern.ending,
                int(pid) if pid is not None and len(pid) < 10 else None,  # noqa: PLR2004 - pid_t
                found.get("mark") or found.get("id") or name,
            )
    return None


@cache
def _compile(text: str) -> re.Pattern[str]:
    return re.compile(text)
