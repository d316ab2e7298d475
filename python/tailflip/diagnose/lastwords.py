"""What a dying gateway said on stderr, reduced to what is known and safe to repeat.

stderr holds tokens, file names and what people wrote to each other. So nothing is quoted
but texts that stand in the tables here, the names of error classes, and the paths of
configuration keys. A text counts only where a line begins with it, after the gateway's
own time stamp and `[gateway]`: a chat message that speaks of an error is not one.

Source of the texts: printed by 2026.3.28 and 2026.4.14 (each was run into each fault), by
Node 24, or quoted in OpenClaw's issue tracker for releases from 2026.8.1 on.
"""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tailflip.flow import Cause

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MAX_LINES = 400
_MAX_LINE_CHARS = 400
_RECENT_LINES = 60  # a refused configuration may list dozens of problems
_MAX_KEYS = 3

_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_PREFIX = re.compile(
    r"(?:\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:?\d\d)?\s+|\[(?:gateway|openclaw)\]\s+)+"
)

_HEAP = re.compile(
    r"(?:FATAL ERROR: (?P<why>[\w:(). -]{0,80}?) ?Allocation failed - JavaScript heap out of memory"
    r"|FATAL ERROR: .{0,80}JavaScript heap out of memory"
    r"|(?:FATAL ERROR: |# )?Fatal (?:JavaScript|process) out of memory:)"
)
_WHY = (
    "Reached heap limit",
    "Ineffective mark-compacts near heap limit",
    "CALL_AND_RETRY_LAST",
    "NewSpace::EnsureCurrentCapacity",
    "Committing semi space failed.",
    "Scavenger: semi-space copy",
    "MarkCompactCollector: young object promotion failed",
    "invalid array length",
    "invalid table size",
)
_WORKER_HEAP = re.compile(r"(?:Uncaught )?Error \[ERR_WORKER_OUT_OF_MEMORY\]")
_FATAL = re.compile(r"(?P<said>FATAL ERROR:(?: (?:[a-z0-9]+::)+\w{1,40})?|# Fatal error in)")
# What node and V8 print after it, and what a shell adds.
_STACK = re.compile(
    r"\s*$|-----|<---|\s*\d+: |\s+at |Aborted|Trace/breakpoint|\[\d+:|#|==== |\s*(?:0x)?[0-9a-f]+:"
)

# Who killed, what is looked for, and how it is told.
_KILLED: tuple[tuple[Cause, re.Pattern[str], str], ...] = (
    (
        Cause.CGROUP_OOM,
        re.compile(r"(?:kernel: )?Memory cgroup out of memory: Kill"),
        "the kernel killed it: memory cgroup out of memory",
    ),
    (
        Cause.KERNEL_OOM,
        re.compile(r"(?:kernel: )?Out of memory: Kill"),
        "the kernel killed it: out of memory",
    ),
    (
        Cause.OOMD,
        re.compile(r"(?:\S+: )?systemd-oomd killed "),
        "systemd-oomd killed it",
    ),
    (
        Cause.KERNEL_OOM,
        re.compile(
            r"(?:\S+: )?(?:A process of this unit has been killed by the OOM killer"
            r"|Failed with result 'oom-kill')"
        ),
        "killed by the OOM killer",
    ),
)

_START = r"(?:Gateway failed to start: )(?:\w*Error: )?"


def _starts(text: str) -> re.Pattern[str]:
    return re.compile(rf"(?:{_START})?(?P<said>{text})")


# In this order: "port in use" is said of both kinds of other instance, and last.
_FAILURES: tuple[tuple[Cause, re.Pattern[str]], ...] = (
    # "already running under systemd; waiting" is no end: it tries again.
    (Cause.OTHER_INSTANCE, _starts(r"gateway already running(?! under \w+; waiting)")),
    (Cause.PORT_IN_USE, _starts(r"another gateway instance is already listening")),
    (Cause.PORT_IN_USE, re.compile(_START + r"(?P<said>listen EADDRINUSE)")),
    (Cause.PORT_IN_USE, re.compile(r"(?:Error: )?(?P<said>listen EADDRINUSE)")),
    (Cause.LOCKED, _starts(r"failed to acquire gateway lock")),
    (Cause.LOCKED, re.compile(_START + r"[^\n]{0,200}?(?P<said>database is locked|SQLITE_BUSY)")),
    (Cause.LOCKED, re.compile(_START + r"[^\n]{0,200}?(?P<said>lock timeout)")),
    (
        Cause.MIGRATION,
        _starts(r"Legacy (?:session store|workspace setup state|[a-z -]{1,40}) requires migration"),
    ),
    (Cause.MIGRATION, _starts(r"startup migrations did not complete cleanly")),
    (
        Cause.MIGRATION,
        re.compile(rf"(?:{_START})?[^\n]{{0,200}}?(?P<said>uses newer schema version)"),
    ),
    (Cause.MIGRATION, re.compile(_START + r"[^\n]{0,200}?(?P<said>uses schema version)")),
    (Cause.MIGRATION, re.compile(rf"(?:{_START})?[^\n]{{0,200}}?(?P<said>\bstore_unreadable\b)")),
    (
        Cause.MIGRATION,
        re.compile(rf"(?:{_START})[^\n]{{0,200}}?(?P<said>Cannot create a string longer than)"),
    ),
    (Cause.CONFIG, _starts(r"(?:Config invalid|Invalid config|Config is invalid)\b")),
    (Cause.CONFIG, _starts(r"Gateway start blocked")),
    (Cause.CONFIG, _starts(r"Missing config")),
    (Cause.CONFIG, _starts(r"Refusing to bind gateway to \w{1,12}(?: without auth)?")),
    (Cause.CONFIG, _starts(r"CONFIGURATION ERROR")),
)
# "  - gateway.bind: Invalid input": the path is the user's own key, the rest may hold a value.
_KEY = re.compile(r"\s*- (?P<key><root>|[A-Za-z_][\w.\[\]-]{0,80}): ")
_RESTARTS = re.compile(r"restart mode: full process restart")
_TIMED_OUT = re.compile(r"shutdown timed out")
_SIGNALLED = re.compile(r"signal SIG(?P<name>[A-Z]{2,4}\d?) received")
_ERROR_CLASS = re.compile(
    r"(?:(?:Uncaught exception|Unhandled promise rejection|FATAL unhandled rejection"
    r"|Failed to start CLI|CLI failed|Gateway failed to start):\s+)?"
    r"(?:Uncaught )?(?P<name>[A-Z][A-Za-z]{0,40}(?:Error|Exception)|Error)"
    r"(?: \[(?P<code>ERR_[A-Z0-9_]{1,60})\])?(?=:|\s*$)"
)
_ERROR_CODE = re.compile(r"\s+code: '(?P<code>[A-Z][A-Z0-9_]{2,60})'")
_SAFE_CODE = re.compile(r"ERR_|SQLITE_|MODULE_NOT_FOUND$")
_ERRNO = frozenset(errno.errorcode.values())
_MASKED = re.compile(r"\d+")


@dataclass(frozen=True)
class Failure:
    """A start that the gateway itself refused.

    `said` is a known text, `after` how many lines follow it, `keys` the configuration's
    keys that it blamed, with their digits masked.
    """

    cause: Cause
    said: str
    after: int
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class LastWords:
    """The known texts in the end of a life's stderr; every string in it is safe to repeat.

    `heap` is V8's fatal text, `after_heap` how many lines that are not its stack trace
    follow: a child's death is followed by many. `killed` is what kernel or service
    manager said. `error` is the class of the last uncaught error, with its code.
    """

    lines: int
    heap: str | None = None
    after_heap: int = 0
    fatal: str | None = None
    worker_heap: bool = False
    killed: tuple[Cause, str] | None = None
    failure: Failure | None = None
    restarts: bool = False
    stop_signal: str | None = None
    timed_out: bool = False
    error: str | None = None


def read_last_words(tail: str) -> LastWords:
    """Find the known texts in a stderr tail of any size and content. Linear in its end."""
    lines = [_clean(line) for line in tail.rsplit("\n", _MAX_LINES)[-_MAX_LINES:]]
    # Cut in the middle of a line, the first one proves nothing about how it began.
    recent = lines[-_RECENT_LINES:]
    heap_at, heap = _find_last(lines, _HEAP)
    fatal_at, fatal = _find_last(lines, _FATAL)
    failure_at, failure = _find_failure(recent)
    _, worker = _find_last(recent, _WORKER_HEAP)
    signalled = [m["name"] for line in recent if (m := _SIGNALLED.match(line))]
    after = sum(1 for line in lines[heap_at + 1 :] if not _STACK.match(line))
    if failure is not None and len(lines) - len(recent) + failure_at > heap_at:
        heap = None  # it lived on, and then refused to start
    return LastWords(
        lines=sum(1 for line in lines if line.strip()),
        heap=_tell_heap(heap) if heap else None,
        after_heap=after if heap else 0,
        fatal=fatal["said"].rstrip(":") if fatal and fatal_at > heap_at else None,
        worker_heap=worker is not None,
        killed=_find_killed(recent),
        failure=failure,
        restarts=any(_RESTARTS.match(line) for line in recent),
        stop_signal=f"SIG{signalled[-1]}" if signalled else None,
        timed_out=any(_TIMED_OUT.match(line) for line in recent),
        error=_find_error(recent),
    )


def _clean(line: str) -> str:
    """Take off colours, the time stamp and the subsystem, and what is too long to be ours."""
    bare = _ESCAPES.sub("", line[: 2 * _MAX_LINE_CHARS]).rstrip()
    return _PREFIX.sub("", bare, count=1)[:_MAX_LINE_CHARS]


def _find_last(lines: Sequence[str], pattern: re.Pattern[str]) -> tuple[int, re.Match[str] | None]:
    for at in range(len(lines) - 1, -1, -1):
        if found := pattern.match(lines[at]):
            return at, found
    return -1, None


def _tell_heap(found: re.Match[str]) -> str:
    """Repeat V8's reason if it is one of those that V8 has."""
    why = found["why"] if found["why"] in _WHY else "..."
    return f"FATAL ERROR: {why} Allocation failed - JavaScript heap out of memory"


def _find_failure(lines: Sequence[str]) -> tuple[int, Failure | None]:
    """Find the first refusal after the last start: later lines only explain it."""
    for cause, pattern in _FAILURES:
        for at, line in enumerate(lines):
            if found := pattern.match(line):
                keys = tuple(_find_keys(lines[at + 1 :])) if cause is Cause.CONFIG else ()
                said = found["said"].rstrip(":.")
                return at, Failure(cause, said, len(lines) - 1 - at, keys[:_MAX_KEYS])
    return -1, None


def _find_keys(lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        if not line:
            return  # the list of problems ends; what follows is not the gateway's list
        if found := _KEY.match(line):
            yield _MASKED.sub("#", found["key"])  # a key may be somebody's telephone number


def _find_killed(lines: Sequence[str]) -> tuple[Cause, str] | None:
    for cause, pattern, told in _KILLED:
        if any(pattern.match(line) for line in lines):
            return cause, told
    return None


def _find_error(lines: Sequence[str]) -> str | None:
    name: str | None = None
    for line in lines:
        if found := _ERROR_CLASS.match(line):
            name = found["code"] or found["name"]
        elif name is not None and (found := _ERROR_CODE.match(line)):
            name = found["code"] if _is_safe(found["code"]) else name
    return name


def _is_safe(code: str) -> bool:
    """Say whether it is an error's code: a code to pair a device looks much like one."""
    return code in _ERRNO or _SAFE_CODE.match(code) is not None
