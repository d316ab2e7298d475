"""Conclusions about a gateway and its jobs, from which findings are made."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from tailflip.flow.lives import Loop
    from tailflip.flow.outcomes import Trend
    from tailflip.flow.work import WorkKind


class Storm(NamedTuple):  # one is made for each run
    """A row of runs, each soon after the one before; `interval_ms` is their mean distance."""

    runs: int
    first_ms: int
    last_ms: int

    @property
    def interval_ms(self) -> float:
        """The mean time between the starts of two runs."""
        return (self.last_ms - self.first_ms) / (self.runs - 1)


@dataclass(frozen=True)
class JobStorm:
    """A storm of one job.

    `allowed_ms` is the least distance that its schedule allows; where that is None, `why_none` says
    why. `job_id` is empty where the job is known by its runs alone.
    """

    title: str
    storm: Storm
    allowed_ms: int | None
    why_none: str = "it has no schedule any more"
    job_id: str = ""


@dataclass(frozen=True)
class Disagreement:
    """Runs of which one ledger of OpenClaw's says something else than all of them together.

    `subject` is the ledger; `says` is what it says, for one and for many. `is_ours`: tailflip may
    write the true end.
    """

    subject: str
    runs: int
    noun: str
    says: tuple[str, str]
    is_ours: bool = True


@dataclass(frozen=True)
class StuckJob:
    """A job that its running mark keeps from starting; `why` says how that is known."""

    job_id: str
    title: str
    marked_ms: int
    why: str
    has_history: bool


@dataclass(frozen=True)
class OverdueJob:
    """A job that was due while the scheduler is idle; `ended_ms` is the end of its last run."""

    title: str
    due_ms: int
    ended_ms: int | None


@dataclass(frozen=True)
class StoreGrowth:
    """A store that will be too big at the pace it grows.

    `jobs` are (title, runs a day, bytes a day), biggest first. `hurts_ms` is when the store
    reaches `hurts_at_bytes`, which the gateway's heap cannot load.
    """

    store: str
    entries_a_day: float
    bytes_a_day: float
    span_ms: int
    jobs: tuple[tuple[str, float, float], ...]
    hurts_at_bytes: int
    hurts_ms: int


@dataclass(frozen=True)
class DwindlingRoom:
    """A file system that will be full at the pace at which its room dwindles.

    `path` lies on it. `bytes_a_day` is what goes a day, over `span_ms`; `full_ms` is the day.
    """

    path: str
    free_bytes: int
    bytes_a_day: float
    span_ms: int
    full_ms: int


@dataclass(frozen=True)
class ReturnedEntries:
    """The number of entries of a store that came back after tailflip changed them."""

    store: str
    entries: int


@dataclass(frozen=True)
class MemoryTrend:
    """A gateway's memory that grows and reaches its limit in `ahead_ms`."""

    guard: str
    trend: Trend
    ahead_ms: int


@dataclass(frozen=True)
class GatewayLoop:
    """A loop of a gateway's newest lives; `evidence` is of the last death."""

    guard: str
    loop: Loop
    evidence: tuple[str, ...]


@dataclass(frozen=True)
class SafeStart:
    """A gateway that was started without something, and lives or lived so; `words` say how."""

    guard: str
    words: str
    deaths: int


@dataclass(frozen=True)
class MemoryDeath:
    """A death by memory that the stores are not expected to have caused.

    `stores_may_kill` says that the forecast comes near the limit. `suspects` are for people.
    """

    guard: str
    heap_bytes: int
    limit_bytes: int | None
    stores_may_kill: bool
    suspects: tuple[str, ...]


@dataclass(frozen=True)
class RefusedStart:
    """A refused start, with the reason and what to do."""

    guard: str
    reason: str
    hint: str


class Stand(StrEnum):
    """Why a guarded gateway does not run: a breaker, a gate, a wait, or nothing that is known."""

    STOPPED = "stopped"
    REFUSED = "refused"
    WAITS = "waits"
    DOWN = "down"


@dataclass(frozen=True)
class Standstill:
    """A guarded gateway that does not run as it should, or not yet.

    `since_ms` and `until_ms` are None where unknown. `ends_itself`: a guard lives that goes on by
    itself. `hint` is what a person can do.
    """

    kind: Stand
    guard: str
    reason: str
    hint: str
    evidence: tuple[str, ...] = ()
    since_ms: int | None = None
    until_ms: int | None = None
    ends_itself: bool = False


@dataclass(frozen=True)
class UnreadRecord:
    """Kinds of a gateway's records that tailflip cannot read, all for the same reason."""

    kinds: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class DamagedDatabase:
    """A database of the gateway's that cannot be read; `why` is SQLite's own word for it."""

    path: str
    why: str


@dataclass(frozen=True)
class UnseenIncident:
    """An open incident that nobody has seen yet; `words` are its cause's."""

    guard: str
    incident: str
    words: str
    deaths: int
    opened_ms: int


@dataclass(frozen=True)
class HeldWork:
    """A job or session that tailflip keeps from running, and the action that did it."""

    kind: WorkKind
    key: str
    title: str
    action_id: str
    since_ms: int


@dataclass(frozen=True)
class NamedKiller:
    """A job or session that was in flight at the last deaths, and why it is not held."""

    guard: str
    words: str
    deaths: int
    why_not_held: str
