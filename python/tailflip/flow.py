"""The values that cross rooms, in the order they are made. Read this file first.

    observe -> Store, Gateway, Evidence -> survey -> SurveyNumbers -> plan -> Plan
            -> compact -> RewriteNumbers, VerifyNumbers, Report

and round the gateway's process:

    observe -> Clues -> diagnose -> Death, Loop -> restart -> Breaker, Decision -> gateway

Sizes are bytes, `_ms` is milliseconds since the epoch or a length in
milliseconds, `_s` seconds. Models whose docstring says *native* are parsed from
what the Rust extension returns.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import PydanticSerializationError

if TYPE_CHECKING:
    from pathlib import Path

    from tailflip.native import Ends


# V8 cannot make a longer string: a store above it silently counts as empty, and the
# gateway's next write replaces it. A byte is never more than one character.
STRING_LIMIT_CHARS = 536_870_888


class Value(BaseModel):
    """Base of everything that is read from or written to disk: frozen, no extras.

    A path need not be UTF-8: Python carries its other bytes as lone surrogates, which pydantic
    neither writes nor reads. JSON can hold them, as escapes.
    """

    # A validator is built when it is first used: most verbs use few of these.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    def model_dump_json(self, **options: Any) -> str:
        """Write as JSON, whatever bytes a path has."""
        try:
            return super().model_dump_json(**options)
        except PydanticSerializationError:
            indent = options.pop("indent", None)
            return json.dumps(to_plain(self.model_dump(**options)), indent=indent)

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **options: Any) -> Self:
        """Read what `model_dump_json` wrote."""
        try:
            return super().model_validate_json(json_data, **options)
        except ValidationError:
            try:
                parsed = json.loads(json_data) if _has_surrogate(json_data) else None
            except (ValueError, RecursionError):
                parsed = None
            if parsed is None:
                raise
        return cls.model_validate(parsed, **options)


def _has_surrogate(json_data: str | bytes | bytearray) -> bool:
    return ("\\ud" if isinstance(json_data, str) else b"\\ud") in json_data  # type: ignore[operator]


def to_plain(value: object) -> object:
    """Do what pydantic does to make JSON, for the types that we have, and leave text as it is."""
    if isinstance(value, BaseModel):
        return {name: to_plain(getattr(value, name)) for name in type(value).model_fields}
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: to_plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): to_plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_plain(each) for each in value]
    if isinstance(value, Enum):
        return value.value
    return value if isinstance(value, str | int | float | None) else str(value)


class Rule(StrEnum):
    """Why an entry may be changed or removed, from the least lossy to the most."""

    SLIM = "slim"
    RETIRE = "retire"
    EXPIRE = "expire"
    FORCE_EXPIRE = "force-expire"
    SINGLE_FLIGHT = "single-flight"
    CAP_PER_JOB = "cap-per-job"
    CAP_TOTAL = "cap-total"
    DROP_KIND = "drop-kind"
    NAMED = "named"


# --- observe -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Store:
    """One session store of one agent; `agent_id` is None when a path was given by hand.

    `state_dir` is that of its installation, which need not hold the file.
    """

    path: Path
    agent_id: str | None
    state_dir: Path | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Gateway:
    """Is a gateway alive on this state directory?

    `alive` is None when it could not be told; False is a proof. `evidence` says how we know.
    `started_ms` is the living process's start. `in_the_way`: who starts one now meets
    somebody, be it a gateway, who holds its lock or its port.
    """

    alive: bool | None
    pid: int | None
    started_ms: int | None
    evidence: str
    in_the_way: bool = False


class OverRun(NamedTuple):
    """A run that is proven to have ended; `status` done, failed, timeout or killed.

    With `session_id`, `key` is one that other sessions use afterwards (a base entry's, a
    sub-agent's): only an entry that still has this session is meant.
    """

    key: str
    status: str
    ended_at_ms: int
    runtime_ms: int
    session_id: str | None = None


@dataclass(frozen=True)
class Evidence:
    """Proof of life and of death about entries of one store, gathered before judging.

    `knows_ends` False: ends of runs may stand in records that are not read.
    `over` holds the ends of runs, and sessions that live; None for none.
    """

    gateway: Gateway
    over: Ends | None = None
    live_sessions: frozenset[str] = frozenset()
    protected_keys: frozenset[str] = frozenset()
    dropped_keys: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    knows_ends: bool = True


@dataclass(frozen=True)
class CronJob:
    """One cron job; `running_at_ms` is the marker that the scheduler sets while it runs.

    `does` tells what it does and when, as text to compare: twins have the same.
    """

    job_id: str
    name: str
    enabled: bool
    running_at_ms: int | None
    does: str = ""


@dataclass(frozen=True)
class Leftover:
    """A file beside a store: a backup of the gateway's, or what a killed process left."""

    path: Path
    size_bytes: int
    modified_ms: int


# --- survey ------------------------------------------------------------------------------


class Tally(Value):
    """A name with how many entries and bytes fall under it (native)."""

    name: str
    entries: int
    bytes: int


class JobNumbers(Value):
    """What one cron job has in the store (native). `status` counts by value, `-` for none."""

    agent: str
    job: str
    runs: int
    bytes: int
    first_ms: int | None
    last_ms: int | None
    status: dict[str, int]


class Duplicate(Value):
    """Two entries with the same key: the byte offset of the second (native)."""

    offset: int


class SurveyNumbers(Value):
    """One full read of a store (native). `rules` says what the policy would do.

    `kinds` and `fields` are sorted by bytes, `running` counts of each kind what says
    "running". `fields` sums the top-level fields of all entries, `wide` says that text
    outside Latin-1 was seen (V8 then needs two bytes a character). `entries_after` and
    `bytes_after` forecast the rewrite; for
    `rules`, `bytes` is what leaves the store.
    """

    bytes: int
    entries: int
    digest: str
    wide: bool
    kinds: tuple[Tally, ...]
    running: tuple[Tally, ...] = ()
    fields: tuple[Tally, ...]
    jobs: tuple[JobNumbers, ...]
    jobs_untracked: int
    duplicate: Duplicate | None
    rules: tuple[Tally, ...]
    entries_after: int
    bytes_after: int


class RewriteNumbers(Value):
    """What a rewrite wrote (native). Digests are in hex.

    `digest` is the XXH3-128 of the whole new store, `kept_digest` the BLAKE3 over those of
    its entries, without what separates them; `archive_digest` is BLAKE3.
    """

    bytes: int
    entries: int
    digest: str
    kept_digest: str
    rules: tuple[Tally, ...]
    records: int
    archive_bytes: int
    archive_digest: str


class VerifyNumbers(Value):
    """What a full validating read found (native); digests as in `RewriteNumbers`."""

    bytes: int
    entries: int
    digest: str
    kept_digest: str

    @classmethod
    def of(cls, written: RewriteNumbers | SalvageNumbers | RestoreNumbers) -> VerifyNumbers:
        """Say what a full read of a store that was just written must find."""
        return cls(
            bytes=written.bytes,
            entries=written.entries,
            digest=written.digest,
            kept_digest=written.kept_digest,
        )


ToldEnd = tuple[str, int, int, bool]  # status, end, length, whether its line names the session


class ListedEntry(NamedTuple):  # there may be millions of them: made in no time
    """One entry that evidence may judge (native); texts are empty where there is nothing.

    `kind` is a `Tally` name of `SurveyNumbers.kinds`, `status` `-` for none. `is_current` says
    that the job's base entry still names this session, None where there is no base entry.
    `ends` are from the run logs and the task ledger, in this order: status, end, length, and
    whether the line names the session; if not, it was found by job and time.
    """

    key: str
    kind: str
    agent: str
    job: str
    session: str
    file: str
    updated_ms: int | None
    started_ms: int | None
    ended_ms: int | None
    status: str
    bytes: int
    is_current: bool | None = None
    ends: tuple[ToldEnd | None, ToldEnd | None] = (None, None)


class SalvageNumbers(Value):
    """What can be had of a damaged store (native).

    `damage` is the error kind at byte `offset`; `bytes` and `digest` are of the
    salvaged store. `left` entries at least were left behind, in `gap_count` places, of which
    `gaps` has the first; `lost_bytes` is what lies there. `unsure` is the byte of what may be a
    whole entry and is not proven; where it is None, only damaged places were left behind. `cut`:
    the store has no end. `blank`: it has no byte but NUL and white space.
    """

    entries: int
    bytes: int
    digest: str
    kept_digest: str
    damage: str
    offset: int
    left: int
    lost_bytes: int
    gaps: tuple[tuple[int, int], ...]
    gap_count: int
    unsure: int | None
    cut: bool
    blank: bool


class RecordHeader(Value):
    """One archived entry (native). `bytes` raw bytes follow the header line.

    Of these, `lead` bytes before and `trail` bytes after the member are the
    separators that left with it. `after` is None for a removed entry, else the
    BLAKE3 of the member as it stays in the store. `at` is the original offset.
    """

    key: str
    rule: str
    time_ms: int
    at: int
    bytes: int
    lead: int
    trail: int
    session: str | None
    file: str | None
    job: str | None
    after: str | None
    after_bytes: int


class ArchiveNumbers(Value):
    """A whole archive, read and checked (native)."""

    records: int
    raw_bytes: int
    archive_bytes: int
    digest: str


class Selection(Value):
    """Which archived entries to put back: all, or these keys, or these jobs' (native)."""

    all: bool = False
    keys: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()


class RestoreNumbers(Value):
    """What a restore wrote (native). `conflicts` counts keys that live again, changed.

    `unchanged` were already there as archived.
    """

    added: int
    replaced: int
    unchanged: int
    conflicts: int
    conflict_keys: tuple[str, ...]
    bytes: int
    entries: int
    digest: str
    kept_digest: str


@dataclass(frozen=True)
class ObservedStore:
    """One store as it lies there, for `check`.

    `size_bytes` is None when the file is missing, `numbers` when it could not be
    surveyed; `error` then says why, and `damaged` that its bytes are no valid store.
    `litter` are locks of the dead and old temporary
    files, `backups` the gateway's `sessions.json.bak.<ms>`, newest first.
    """

    store: Store
    size_bytes: int | None
    numbers: SurveyNumbers | None
    error: str | None
    damaged: bool = False
    litter: tuple[Leftover, ...] = ()
    backups: tuple[Leftover, ...] = ()


@dataclass(frozen=True)
class KeptFile:
    """A store that is not ours to write: a gateway has it on record, or may have.

    `waits` says that its import waits for `plugins`, `is_changed` that it is no longer what is
    on record; `undo` is the action of ours by whose undoing it is again.
    """

    path: Path
    reason: str
    hint: str
    waits: bool = False
    plugins: tuple[str, ...] = ()
    sha256: str | None = None
    is_changed: bool = False
    is_unknown: bool = False
    undo: str | None = None


# --- plan --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Forecast:
    """Predicted V8 heap of loading stores, against the limit the gateway has.

    `limit_bytes` is None when no limit could be found; `source` says where it is from.
    `measured` says that the factor was measured on this very release.
    """

    heap_bytes: int
    limit_bytes: int | None
    factor: float
    source: str
    measured: bool = False

    @property
    def over(self) -> bool:
        """Say whether the gateway is predicted to die."""
        return self.limit_bytes is not None and self.heap_bytes > self.limit_bytes

    @property
    def close(self) -> bool:
        """Say whether it is predicted to live with less than a tenth of the limit to spare."""
        limit = self.limit_bytes
        return limit is not None and not self.over and self.heap_bytes > limit * 0.9


@dataclass(frozen=True)
class FileIdentity:
    """What must not have changed between survey and rename."""

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int
    ctime_ns: int


# --- compact -----------------------------------------------------------------------------


class Report(Value):
    """What was done to one store, and how to undo it.

    Entries are counted where the file is a session store; a salvage left `entries_left` behind
    at least.
    """

    action_id: str
    kind: str  # "compact", "salvage" or "restore"
    store: str
    entries_before: int = 0
    entries_after: int = 0
    entries_left: int = 0
    bytes_before: int
    bytes_after: int
    rules: tuple[Tally, ...] = ()
    archive: str | None = None
    archive_bytes: int = 0
    transcripts: int = 0
    took_s: float = 0.0
    lock_held_s: float = 0.0
    undo: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, as `check` reports it.

    `code` is stable (`store-too-big`), `severity` is error or warning, `hint` a next step.
    """

    code: str
    severity: str
    subject: str
    message: str
    hint: str
    evidence: tuple[str, ...] = field(default=())


# --- the gateway's lives and deaths ------------------------------------------------------


class Cause(StrEnum):
    """Why a gateway's process ended; `diagnose.causes.KINDS` says what is known of each."""

    V8_HEAP = "v8-heap-oom"
    CGROUP_OOM = "cgroup-oom-kill"
    KERNEL_OOM = "kernel-oom-kill"
    OOMD = "oomd-kill"
    NATIVE_MEMORY = "native-memory"
    CONFIG = "config-fault"
    INSTALLATION = "broken-installation"
    MIGRATION = "migration-fault"
    DAMAGED = "damaged-database"
    OTHER_INSTANCE = "another-instance"
    PORT_IN_USE = "port-in-use"
    ADDRESS = "address-not-available"
    LOCKED = "locked"
    DISK_FULL = "disk-full"
    WATCH_LIMIT = "watch-limit"
    FILES_LIMIT = "open-files-limit"
    PERMISSION = "permission-denied"
    TOO_LARGE = "value-too-large"
    NATIVE_CRASH = "native-crash"
    HANG = "hang"
    UPDATE = "update-handoff"
    PARKED = "parked"
    PLANNED_RESTART = "planned-restart"
    ASKED_STOP = "asked-stop"
    ENDED = "ended-by-itself"
    UNKNOWN = "unknown"


class Confidence(StrEnum):
    """How sure a verdict is: the cause was seen, follows from what was seen, or is a guess."""

    PROVEN = "proven"
    LIKELY = "likely"
    GUESS = "guess"


@dataclass(frozen=True)
class Clues:
    """All that is known of one end of a gateway's process; what `classify` judges by.

    `exit_code` and `signal` are of the process that we or a service manager started: a
    wrapper in front of the gateway makes exit 1 of every signal. Both None: nobody saw it.
    `stderr_tail` is text, its last part at most. `asked` says who asked for the end
    ("operator", "tailflip: hang", ...). `guarded`: its guard saw the end, and knows of
    everybody who asked for one. `oom_kills` is how much the cgroup's counter grew
    during this life, None where there is none; `oomd` that systemd-oomd took the cgroup.
    `heap_report` is the trigger of a Node report of this life, such as "OOMError".
    `other_pid` is a living gateway on the same state directory that is not this one.
    """

    exit_code: int | None = None
    signal: int | None = None
    uptime_s: float | None = None
    was_ready: bool = False
    asked: str | None = None
    guarded: bool = False
    handed_off: bool = False
    stderr_tail: str = ""
    oom_kills: int | None = None
    oomd: bool = False
    heap_report: str | None = None
    other_pid: int | None = None
    heap_limit_bytes: int | None = None
    peak_rss_bytes: int | None = None


class Death(Value):
    """The verdict on one end: deaths with the same `signature` are the same thing again.

    `hint` is a next step more exact than the cause's own, empty where there is none.
    `unready` says that the gateway had never answered.
    """

    cause: Cause
    signature: str
    confidence: Confidence
    evidence: tuple[str, ...]
    hint: str = ""
    unready: bool = False


class Moment(Value):
    """A moment by two clocks: the wall's, which anybody may set, and one that nobody can.

    `mono_ms` counts from `boot` on and says nothing about another boot; None: not known.
    """

    at_ms: int
    mono_ms: int | None = None
    boot: str | None = None


class Life(Value):
    """One life of a gateway, from the intent to start it to the verdict on its end.

    `mode` is run, gate, preflight, or unseen for one that began before our time.
    `guard` names the installation: the real
    path of its state directory. `pid` is of the process that was started and
    `worker_pid` of the gateway itself, each with its start in clock ticks since boot
    (None where the system has none). `ready_ms` is the first answer. `exit_code` and
    `signal` as in `Clues`. `started_mono_ms` is `started_ms` by the clock of that boot.
    `end_known` False: it was found dead later, `ended_ms` is
    when. `cured` says that something was changed after this death that may help.
    """

    id: str
    guard: str
    mode: str
    started_ms: int
    command: tuple[str, ...] = ()
    version: str | None = None
    boot_id: str | None = None
    started_mono_ms: int | None = None
    pid: int | None = None
    pid_ticks: int | None = None
    worker_pid: int | None = None
    worker_ticks: int | None = None
    ready_ms: int | None = None
    peak_rss_bytes: int | None = None
    ended_ms: int | None = None
    end_known: bool = True
    exit_code: int | None = None
    signal: int | None = None
    death: Death | None = None
    incident: str | None = None
    cured: bool = False

    @property
    def uptime_s(self) -> float | None:
        """Length of the life, None while it lasts."""
        return None if self.ended_ms is None else (self.ended_ms - self.started_ms) / 1000


@dataclass(frozen=True)
class Loop:
    """The same death again and again: `period_s` is the median time from death to death."""

    cause: Cause
    signature: str
    deaths: int
    period_s: float
    first_ms: int
    last_ms: int


class Waiting(StrEnum):
    """What a breaker waits for before it lets the gateway start."""

    NOTHING = "nothing"
    TIME = "time"
    CONFIG_CHANGE = "config-change"
    CURE = "cure"
    STATE_CHANGE = "state-change"
    PROGRAM_CHANGE = "program-change"
    ROOM = "room"
    OTHER_INSTANCE = "other-instance"


class BreakerState(StrEnum):
    """closed: starts are allowed. open: none. half-open: one trial runs."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Breaker(Value):
    """What is remembered from death to start; stored before every decision is acted on.

    `row` counts deaths of `signature` in a row, without a good life between them, and
    `deaths` those of any signature: two kinds that take turns are a loop as well.
    `trials` counts half-open trials since it opened. `marks` is what was seen of the
    thing that must change (fingerprint of the configuration, of the stores). `is_good`: the
    present life has lasted long enough to be a good one. `starts` are the last ones.
    """

    state: BreakerState = BreakerState.CLOSED
    signature: str | None = None
    row: int = 0
    deaths: int = 0
    trials: int = 0
    waiting: Waiting = Waiting.NOTHING
    until_ms: int | None = None
    marks: str | None = None
    is_good: bool = False
    starts: tuple[Moment, ...] = ()


class Decision(Value):
    """What to do after a death.

    start: at `at_ms`, `waiting` being TIME or NOTHING. wait: for a change, and try anyway
    at `at_ms` if that is not None. end: ourselves, with `exit_code`. `made` is when this was
    decided; the time from there to `at_ms` is the longest that it may be waited.
    """

    kind: str  # "start", "wait" or "end"
    reason: str
    waiting: Waiting = Waiting.NOTHING
    at_ms: int | None = None
    exit_code: int | None = None
    alert: bool = False
    made: Moment | None = None


class Incident(Value):
    """Deaths of one signature in a row: opened by the first, closed by a good life."""

    id: str
    guard: str
    opened_ms: int
    closed_ms: int | None
    acked_ms: int | None
    cause: Cause
    signature: str


@dataclass(frozen=True)
class Sample:
    """What was measured at one moment; sizes in bytes, None where it could not be."""

    at_ms: int
    rss_bytes: int | None
    stores_bytes: int | None


@dataclass(frozen=True)
class Trend:
    """Growth of memory towards its limit; `hits_ms` is when it gets there at this pace."""

    bytes_per_s: float
    span_s: float
    limit_bytes: int
    hits_ms: int
