"""Finds known texts in a dying gateway's stderr, and repeats the parts that are safe.

stderr holds tokens, file names and what people wrote to each other. The parts that are repeated
are texts of `known_texts`, names of error classes and codes, names of variables, and paths of
configuration keys. A text counts at the start of a line, or after an introduction of the gateway's
own: a chat message about an error is not one. Texts of V8, a shell or the kernel do not count under
a channel's name.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from tailflip.diagnose.console_lines import read_lines
from tailflip.diagnose.known_texts import ASKS_DOCTOR, REFUSALS, TOO_LONG_AT_START, VARIABLE
from tailflip.diagnose.last_error import START, Spoken, find_error, judge, take_apart
from tailflip.flow.late import dataclass
from tailflip.flow.lives import Cause

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tailflip.diagnose.last_error import Said

_RECENT_LINES = 60  # a refused configuration may list dozens of problems
_MAX_KEYS = 3

_HEAP = re.compile(
    r"FATAL ERROR: (?P<why>[\w:(). -]{0,80}?) ?"
    r"Allocation failed - (?P<what>JavaScript heap|process) out of memory"
    r"|FATAL ERROR: .{0,80}(?P<bare>JavaScript heap out of memory)"
    r"|(?:FATAL ERROR: |# )?(?P<fatal>Fatal (?:JavaScript|process) out of memory:)"
    r"(?: (?P<place>Zone|Heap|Array buffer|CodeRange setup|Reached heap limit"
    r"|Ineffective mark-compacts near heap limit|CALL_AND_RETRY_LAST"
    r"|MarkCompactCollector: young object promotion failed|Scavenger: semi-space copy))?"
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
    "Zone",
)
_WORKER_HEAP = "ERR_WORKER_OUT_OF_MEMORY"
_FATAL = re.compile(
    r"(?P<said>FATAL ERROR:(?: (?:[a-z0-9]+::)+\w{1,40})?"
    r"|# Fatal JavaScript invalid size error|# Fatal error in)"
)
_NATIVE_MEMORY = re.compile(
    r"terminate called after throwing an instance of '(?P<said>std::bad_alloc)'"
    r"|[^\n]{0,100}?(?P<more>Cannot allocate memory)"
)
# `sh: line 12: 23 Killed node …`: a shell reports SIGKILL, and not its sender.
_SHELL_KILLED = re.compile(r"(?:[^\n]{0,100}: +)?(?:\d+ +)?Killed(?: |:|$)")
# The lines that node and V8 print after it, and a shell's.
_STACK = re.compile(
    r"\s*$|-----|<---|\s*\d+: |\s+at |Aborted|Trace/breakpoint|\[\d+:|#|==== |\s*(?:0x)?[0-9a-f]+:"
)
# The killer, the pattern to look for, and the words for evidence.
_KILLED: tuple[tuple[Cause, re.Pattern[str], str], ...] = (
    (
        Cause.CGROUP_OOM,
        re.compile(r"Memory cgroup out of memory: Kill|oom-kill:constraint=CONSTRAINT_MEMCG"),
        "the kernel killed it: memory cgroup out of memory",
    ),
    (
        Cause.KERNEL_OOM,
        re.compile(r"Out of memory: Kill|oom-kill:constraint="),
        "the kernel killed it: out of memory",
    ),
    (
        Cause.OOMD,
        re.compile(r"(?:\S+: )?systemd-oomd killed |Killed \S+ due to memory (?:used|pressure)"),
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

# `- gateway.bind: Invalid input`, and from 2026.5.28 on `openclaw.json:1 — gateway.bind: …` or
# `gateway.bind: …`: the path is the user's own key, the rest may hold a value.
_KEY = re.compile(
    r"\s*(?:- |[\w.-]{1,60}\.json5?:\d{1,6} \u2014 |\u2014 )?"
    r"(?P<key><root>|[A-Za-z_][\w.\[\]-]{0,80}): (?P<why>[^\n]{0,300})"
)
_UNKNOWN_KEY = re.compile(r"Unrecognized key: \"(?P<name>[\w-]{1,60})\"")
_LISTED = re.compile(r"\s*(?:- |[\w.-]{1,60}\.json5?:\d)|<root>:")
_NOT_KEYS = frozenset({"File", "Problem", "Run", "Try", "Help", "Debug", "Hint", "Note"})
_NO_MODULE = re.compile(r"[^\n]{0,200}?Cannot find (?:module|package)")
_RESTARTS = re.compile(r"restart mode: full process restart")
_TIMED_OUT = re.compile(r"shutdown timed out")
_SIGNALLED = re.compile(
    r"(?P<said>(?:signal (?P<old>SIG[A-Z]{2,4}\d?) received"
    r"|received (?P<new>SIG[A-Z]{2,4}\d?); (?:shutting down|restarting)))"
)
_MASKED = re.compile(r"\d+")


@dataclass(frozen=True)
class Failure:
    """A start that the gateway itself refused.

    `said` is a known text. `after` is the number of lines after it. `keys` are the
    configuration's keys that it blamed, with their digits masked. `names` are variables that are
    not set.
    """

    cause: Cause
    said: str
    after: int
    keys: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    hint: str = ""


@dataclass(frozen=True)
class LastWords:
    """The known texts at the end of a life's stderr; its strings are safe to repeat.

    `heap` is V8's fatal text. `after_heap` is the number of later lines outside its stack trace:
    many follow a child's death. `killed` is the text of kernel or service manager.
    `shell_killed`: a shell reported a SIGKILL. `stop_signal` is the signal that the gateway wrote
    it received, and `stop_said` its words.
    """

    lines: int
    heap: str | None = None
    after_heap: int = 0
    fatal: str | None = None
    native_memory: str | None = None
    worker_heap: bool = False
    killed: tuple[Cause, str] | None = None
    shell_killed: bool = False
    failure: Failure | None = None
    restarts: bool = False
    stop_signal: str | None = None
    stop_said: str = ""
    timed_out: bool = False
    error: Spoken | None = None


def read_last_words(tail: str) -> LastWords:
    """Find the known texts in a stderr tail of any size and content, in linear time."""
    lines = read_lines(tail)
    # A channel's line is not of V8 or a shell.
    native = [line.text if line.own else "" for line in lines]
    recent = lines[-_RECENT_LINES:]
    said = [take_apart(line) for line in recent]
    heap_at, heap = _find_last(native, _HEAP)
    fatal_at, fatal = _find_last(native, _FATAL)
    failure_at, failure = _find_failure(said)
    own = native[-_RECENT_LINES:]
    _, memory = _find_last(own, _NATIVE_MEMORY)
    _, told = _find_last([each.text for each in said], _SIGNALLED)
    after = sum(1 for line in native[heap_at + 1 :] if not _STACK.match(line))
    after += sum(1 for line in lines[heap_at + 1 :] if not line.own)
    if failure is not None and len(lines) - len(recent) + failure_at > heap_at:
        heap = None  # the gateway lived on, and then refused to start
    return LastWords(
        lines=sum(1 for line in lines if line.text.strip()),
        heap=_tell_heap(heap) if heap else None,
        after_heap=after if heap else 0,
        fatal=fatal["said"].rstrip(":") if fatal and fatal_at > heap_at else None,
        native_memory=(memory["said"] or memory["more"]) if memory else None,
        worker_heap=any(each.code == _WORKER_HEAP for each in said),
        killed=_find_killed(own),
        shell_killed=any(_SHELL_KILLED.match(line) for line in own),
        failure=failure,
        restarts=any(_RESTARTS.match(each.text) for each in said),
        stop_signal=(told["old"] or told["new"]) if told else None,
        stop_said=told["said"] if told else "",
        timed_out=any(_TIMED_OUT.match(each.text) for each in said),
        error=find_error(said),
    )


def _find_last(lines: Sequence[str], pattern: re.Pattern[str]) -> tuple[int, re.Match[str] | None]:
    for at in range(len(lines) - 1, -1, -1):
        if found := pattern.match(lines[at]):
            return at, found
    return -1, None


def _tell_heap(found: re.Match[str]) -> str:
    """Repeat V8's text; of its reason, the part that is known to be V8's."""
    if found["fatal"]:
        place = f" {found['place']}" if found["place"] else ""
        return f"{found['fatal'] if place else found['fatal'].rstrip(':')}{place}"
    if found["bare"]:
        return f"FATAL ERROR: ... {found['bare']}"
    why = found["why"] if found["why"] in _WHY else "..."
    return f"FATAL ERROR: {why} Allocation failed - {found['what']} out of memory"


def _find_failure(lines: Sequence[Said]) -> tuple[int, Failure | None]:
    """Find the first refusal after the last start: later lines only explain it."""
    names = tuple(dict.fromkeys(found["name"] for each in lines for found in _names(each)))
    for known in REFUSALS:
        for at, line in enumerate(lines):
            if known.within and not line.introduced:
                continue
            look = known.pattern.search if known.within else known.pattern.match
            found = look(line.message) or (None if known.within else look(line.text))
            if found is None:
                continue
            failure = Failure(
                known.cause,
                found["said"].strip().rstrip(':. "'),
                len(lines) - 1 - at,
                names=names[:_MAX_KEYS] if known.cause is Cause.CONFIG else (),
                hint=known.hint,
            )
            if known.cause is Cause.CONFIG:
                failure = _read_problems(failure, lines[at + 1 :], line.text)
            return at, failure
    return _find_start_failure(lines)


def _find_start_failure(lines: Sequence[Said]) -> tuple[int, Failure | None]:
    """Find a failed start whose advice, or whose import's size, tells the reason."""
    for at, line in enumerate(lines):
        if line.intro != START:
            continue
        rest = len(lines) - 1 - at
        if TOO_LONG_AT_START.match(line.message):
            return at, Failure(Cause.MIGRATION, "Cannot create a string longer than", rest)
        if ASKS_DOCTOR.search(line.text) and judge(line).cause is None:
            return at, Failure(Cause.MIGRATION, "it asks for openclaw doctor --fix", rest)
    return -1, None


def _names(line: Said) -> Iterator[re.Match[str]]:
    return VARIABLE.finditer(line.text)


def _read_problems(failure: Failure, lines: Sequence[Said], head: str) -> Failure:
    """Read the list of problems under a refused configuration.

    A module that is missing while the configuration is read is no fault of the configuration.
    """
    keys: list[str] = []
    for line in (head, *(each.text for each in lines)):
        if not line:
            break  # the gateway's list ends here
        if _NO_MODULE.match(line):
            said = "Cannot find module"
            return replace(failure, cause=Cause.INSTALLATION, said=said, keys=(), hint="")
        found = _KEY.match(line) if line is not head else None
        if found is None or found["key"] in _NOT_KEYS or not _is_key(line, found["key"]):
            continue
        unknown = _UNKNOWN_KEY.match(found["why"])
        key = f"{found['key']}.{unknown['name']}" if unknown else found["key"]
        keys.append(_MASKED.sub("#", key))  # a key may be somebody's telephone number
    return replace(failure, keys=tuple(keys[:_MAX_KEYS]))


def _is_key(line: str, key: str) -> bool:
    """Say whether a line lists a problem: by its mark, or a key that looks like a path."""
    return _LISTED.match(line) is not None or key == "<root>" or key[0].islower()


def _find_killed(lines: Sequence[str]) -> tuple[Cause, str] | None:
    for cause, pattern, told in _KILLED:
        if any(pattern.match(line) for line in lines):
            return cause, told
    return None
