"""A gateway's lives and deaths: clues, verdicts, the breaker, decisions."""

from __future__ import annotations

from enum import StrEnum

from tailflip.flow.late import dataclass
from tailflip.flow.values import Value
from tailflip.flow.work import Work

# A life so long, once it has answered, ends a row of deaths: the default of `restart.good_life_s`.
GOOD_LIFE_MS = 180_000


class Cause(StrEnum):
    """Why a gateway's process ended; `diagnose.causes.CAUSES` has a row for each cause."""

    V8_HEAP = "v8-heap-oom"
    CGROUP_OOM = "cgroup-oom-kill"
    KERNEL_OOM = "kernel-oom-kill"
    OOMD = "oomd-kill"
    TASK_LEDGER = "task-ledger-too-large"
    NATIVE_MEMORY = "native-memory"
    CONFIG = "config-fault"
    INSTALLATION = "broken-installation"
    MIGRATION = "migration-fault"
    NEWER_SCHEMA = "newer-schema"
    DAMAGED = "damaged-database"
    OTHER_INSTANCE = "another-instance"
    PORT_IN_USE = "port-in-use"
    ADDRESS = "address-not-available"
    LOCKED = "locked"
    LEASED = "startup-lease"
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
    """The confidence of a verdict: its cause was seen, follows from clues, or is a guess."""

    PROVEN = "proven"
    LIKELY = "likely"
    GUESS = "guess"


class Asked(StrEnum):
    """The sender of a request to end; a value that begins with `tailflip` is the guard's wish."""

    OPERATOR = "operator"
    SERVICE_MANAGER = "service manager"
    HANG = "tailflip: hang"
    MEMORY = "tailflip: memory"
    RESTART_SIGNAL = "tailflip: restart by signal"
    SAFE_OVER = "tailflip: end of a safe start"

    @property
    def is_restart(self) -> bool:
        """Say whether the guard asked for a restart, for another reason than a hang."""
        return self in (Asked.MEMORY, Asked.RESTART_SIGNAL, Asked.SAFE_OVER)


@dataclass(frozen=True)
class StoreNeed:
    """Stores that needed more heap than there was, by the forecast.

    `measured`: on this very release. `was_compacted`: they have been made smaller since.
    """

    heap_bytes: int
    limit_bytes: int
    measured: bool
    was_compacted: bool


@dataclass(frozen=True)
class Clues:
    """The clues to one end of a gateway's process; `classify` judges by them.

    `exit_code` and `signal` are of the process that tailflip or a service manager started: a
    wrapper in front of the gateway makes exit 1 of every signal. Both None: the exit was not seen.
    `stderr_tail` is the last part of standard error, as text. `asked` says who asked for the end.
    `guarded`: the guard saw the end, and knows everybody who asked for one. `oom_kills` is the
    growth of the cgroup's counter during this life, None without a counter. `oomd`: systemd-oomd
    killed the cgroup. `heap_report` is the trigger of a Node report of this life, such as
    "OOMError". `other_pid` is another living gateway on the same state directory. `began_ms` is
    the moment at which the process is known to have lived; None where nothing tells one.
    `need` is what its stores would have needed, where an end without a reason was looked into.
    `damaged` are databases that were found damaged then.
    """

    exit_code: int | None = None
    signal: int | None = None
    uptime_s: float | None = None
    was_ready: bool = False
    asked: Asked | None = None
    guarded: bool = False
    handed_off: bool = False
    stderr_tail: str = ""
    oom_kills: int | None = None
    oomd: bool = False
    heap_report: str | None = None
    other_pid: int | None = None
    heap_limit_bytes: int | None = None
    peak_rss_bytes: int | None = None
    began_ms: int | None = None
    need: StoreNeed | None = None
    damaged: tuple[str, ...] = ()


class Death(Value):
    """The verdict on one end; deaths with the same `signature` have the same reason.

    `hint` is a next step that is more exact than the cause's own, or empty. `unready`: the gateway
    had not answered in this life.
    """

    cause: Cause
    signature: str
    confidence: Confidence
    evidence: tuple[str, ...]
    hint: str = ""
    unready: bool = False


class Moment(Value):
    """A moment by two clocks: the wall clock, which a user may set, and the boot clock.

    `mono_ms` counts from `boot` on and says nothing about another boot; None: not known.
    """

    at_ms: int
    mono_ms: int | None = None
    boot: str | None = None


class LifeMode(StrEnum):
    """The verb that started a life; unseen: the life began before tailflip looked."""

    RUN = "run"
    GATE = "gate"
    PREFLIGHT = "preflight"
    UNSEEN = "unseen"


class SafeMode(StrEnum):
    """What a safe start leaves out, in the order in which it is tried."""

    CRON = "cron"
    CHANNELS = "channels"

    @property
    def words(self) -> str:
        """Say how such a gateway lives."""
        return "without its cron jobs" if self is SafeMode.CRON else "without its channels"


class Life(Value):
    """One life of a gateway, from the intent to start it to the verdict on its end.

    `guard` names the installation: the real path of its state directory. `pid` is of the
    process that was started and `worker_pid` of the gateway itself, each with its start in
    clock ticks since boot (None where the system has none). `ready_ms` is the first answer.
    `exit_code` and `signal` as in `Clues`. The times with `mono` are the same by the clock of that
    boot, which nobody can set; None where it was another boot. `end_known` False: the gateway was
    found dead later, at `ended_ms`. `begin_known` False: nothing tells when it began, and its
    length is unknown. `cured`: a change after this death may help. `in_flight` is what it worked on
    when it died; None: nobody could tell. `safe` is what its start left out. `doctored` tells what
    OpenClaw's own doctor did after its death.
    """

    id: str
    guard: str
    mode: LifeMode
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
    ready_mono_ms: int | None = None
    peak_rss_bytes: int | None = None
    ended_ms: int | None = None
    ended_mono_ms: int | None = None
    end_known: bool = True
    begin_known: bool = True
    exit_code: int | None = None
    signal: int | None = None
    death: Death | None = None
    incident: str | None = None
    cured: bool = False
    in_flight: tuple[Work, ...] | None = None
    safe: SafeMode | None = None
    doctored: str | None = None

    @property
    def uptime_s(self) -> float | None:
        """The length of the life; None while it lasts, and where nobody knows."""
        if not self.begin_known:
            return None
        lasted_ms = self._measure_until(self.ended_ms, self.ended_mono_ms)
        return None if lasted_ms is None else lasted_ms / 1000

    @property
    def ready_after_ms(self) -> int | None:
        """The time from the start to the first answer; None without one."""
        return self._measure_until(self.ready_ms, self.ready_mono_ms)

    def _measure_until(self, at_ms: int | None, mono_ms: int | None) -> int | None:
        """Measure by the clock of the boot where possible: the other one may have been set."""
        if at_ms is None:
            return None
        if mono_ms is not None and self.started_mono_ms is not None:
            return max(0, mono_ms - self.started_mono_ms)
        return max(0, at_ms - self.started_ms)


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
    """The event that a breaker waits for before it lets the gateway start."""

    NOTHING = "nothing"
    TIME = "time"
    CONFIG_CHANGE = "config-change"
    CURE = "cure"
    STATE_CHANGE = "state-change"
    PROGRAM_CHANGE = "program-change"
    ROOM = "room"
    OTHER_INSTANCE = "other-instance"
    MAINTENANCE = "maintenance"


class BreakerState(StrEnum):
    """closed: starts are allowed. open: none. half-open: one trial runs."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Breaker(Value):
    """The breaker's state from death to start; stored before a decision is carried out.

    `row` counts deaths of `signature` in a row, without a good life between them. `deaths` counts
    those of any signature: two kinds that take turns are a loop as well. `trials` counts
    half-open trials since the breaker opened. `marks` are fingerprints of what must change
    (configuration, stores). `is_good`: the present life has lasted long enough to be a good one.
    `starts` are the last starts. `safe` is what the next start leaves out, or the present life did;
    `lived` what a life left out that was long enough, and `probes` counts the starts as usual that
    were tried after it. `in_vain`: no safe start lived.
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
    safe: SafeMode | None = None
    lived: SafeMode | None = None
    probes: int = 0
    in_vain: bool = False


class DecisionKind(StrEnum):
    """The kind of a decision after a death.

    start: at `at_ms`, with `waiting` TIME or NOTHING. wait: for a change; if `at_ms` is not None,
    try then anyway. end: tailflip itself ends, with `exit_code`.
    """

    START = "start"
    WAIT = "wait"
    END = "end"


class Decision(Value):
    """The decision after a death, and its reason.

    `made` is the moment of the decision; the wait is at most the time from there to `at_ms`.
    """

    kind: DecisionKind
    reason: str
    waiting: Waiting = Waiting.NOTHING
    at_ms: int | None = None
    exit_code: int | None = None
    alert: bool = False
    made: Moment | None = None


class Incident(Value):
    """Deaths of one signature in a row; the first opens the incident, a good life closes it.

    `acked_by` and `note` are of the person who took note of it.
    """

    id: str
    guard: str
    opened_ms: int
    closed_ms: int | None
    acked_ms: int | None
    cause: Cause
    signature: str
    acked_by: str = ""
    note: str = ""
