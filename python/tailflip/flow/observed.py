"""Observations of an installation: its stores, its gateway, proof of life and death."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from pathlib import Path

    from tailflip.flow.numbers import SurveyNumbers


@dataclass(frozen=True)
class Store:
    """One session store of one agent; `agent_id` is None when a path was given by hand.

    `state_dir` is that of its installation; the file may lie elsewhere.
    """

    path: Path
    agent_id: str | None
    state_dir: Path | None = field(default=None, compare=False)

    @property
    def is_database(self) -> bool:
        """Say whether the gateway loads rows of it, and not the file as a whole."""
        return self.path.suffix == ".sqlite"


@dataclass(frozen=True)
class Gateway:
    """The state of a state directory's gateway: alive, dead or unknown.

    `alive` is None when it is unknown; False is a proof. `evidence` says how it is known.
    `started_ms` is the living process's start. `in_the_way`: a process, gateway or not, holds the
    lock or the port that a new gateway needs.
    """

    alive: bool | None
    pid: int | None
    started_ms: int | None
    evidence: str
    in_the_way: bool = False


class OverRun(NamedTuple):
    """A run that is proven to have ended; `status` done, failed, timeout or killed.

    With `session_id`, later sessions use the same `key` (a base entry's, a sub-agent's): the run
    is the entry that still has this session.
    """

    key: str
    status: str
    ended_at_ms: int
    runtime_ms: int
    session_id: str | None = None


@dataclass(frozen=True)
class TranscriptLock:
    """The lock beside a run's transcript; `alive` None: it is unknown whether its owner lives."""

    pid: int | None
    alive: bool | None


class Ends(Protocol):
    """The ends of runs, and the sessions that live, for the engine to look up."""

    def find(self, key: str, session_id: str | None = None) -> tuple[str, int, int] | None:
        """Find status, end and length of a run."""

    def is_kept(self, session_id: str) -> bool:
        """Say whether a session is known to live."""


@dataclass(frozen=True)
class Evidence:
    """Proof of life and of death for entries of one store, gathered before judging.

    `knows_ends` False: ends of runs may stand in records that are not read.
    `over` holds the ends of runs, and sessions that live; None for none. `spared` counts the
    finished runs that show life all the same; `spared_because` has the reason of the first.
    """

    gateway: Gateway
    over: Ends | None = None
    live_sessions: frozenset[str] = frozenset()
    protected_keys: frozenset[str] = frozenset()
    dropped_keys: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    knows_ends: bool = True
    spared: int = 0
    spared_because: str = ""


@dataclass(frozen=True)
class Schedule:
    """The schedule of a job; `kind` is every, cron, at, or empty for an unknown one."""

    kind: str = ""
    every_ms: int | None = None
    expression: str | None = None
    at_ms: int | None = None


@dataclass(frozen=True)
class Job:
    """One cron job; `running_at_ms` is the marker that the scheduler sets while it runs.

    `target` as written; `timeout_ms` 0 is for ever; times as in its `state`. `does` is the job's
    work and schedule as text to compare: twins have the same text.
    """

    job_id: str
    name: str = ""
    enabled: bool = True
    target: str = ""
    schedule: Schedule = Schedule()
    timeout_ms: int = 0
    created_ms: int | None = None
    running_at_ms: int | None = None
    next_run_at_ms: int | None = None
    last_run_at_ms: int | None = None
    last_status: str | None = None
    does: str = ""

    @property
    def title(self) -> str:
        """The job's name, with its id."""
        return f"{self.name} ({self.job_id})" if self.name else self.job_id


@dataclass(frozen=True)
class Leftover:
    """A file beside a store: a backup of the gateway's, or the rest of a killed process."""

    path: Path
    size_bytes: int
    modified_ms: int


ORPHANS = "without an entry"
REPAIR_COPIES = "copy before a repair"
# Kinds of files in a folder of transcripts that are neither in use nor kept on purpose.
LITTER = (ORPHANS, REPAIR_COPIES)


@dataclass(frozen=True)
class FileKind:
    """The number of files of one kind, and their bytes."""

    name: str
    files: int
    bytes: int


@dataclass(frozen=True)
class TranscriptFolder:
    """A folder of transcripts: its kinds, most bytes first. `LITTER` is counted apart."""

    path: Path
    kinds: tuple[FileKind, ...]

    @property
    def litter(self) -> tuple[FileKind, ...]:
        """The kinds of files that the gateway does not use."""
        return tuple(kind for kind in self.kinds if kind.name in LITTER)


@dataclass(frozen=True)
class Transcript:
    """A transcript of a session; `why` says what is wrong with its head, where something is."""

    path: Path
    size_bytes: int
    modified_ms: int
    why: str = ""


@dataclass(frozen=True)
class Transcripts:
    """The transcripts of one folder; `largest` come first, and are some of them.

    `headless` have lost their header; some of them, where they are very many. None: the heads were
    not read.
    """

    folder: Path
    files: int
    bytes: int
    largest: tuple[Transcript, ...]
    headless: tuple[Transcript, ...] | None
    headless_files: int = 0


@dataclass(frozen=True)
class ObservedStore:
    """One store on the disk, for `check`.

    `size_bytes` is None when the file is missing, `numbers` when it could not be surveyed.
    `error` then says why; `damaged` says that its bytes are no valid store. `litter` are locks of
    dead processes and old temporary files. `backups` are the gateway's `sessions.json.bak.<ms>`,
    newest first.
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
    """A store that tailflip does not write: a gateway has it on record, or may have.

    `waits`: its import waits for `plugins`. `is_changed`: its bytes differ from those on record.
    `undo` is the action of tailflip whose undoing brings the recorded bytes back.
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


@dataclass(frozen=True)
class ArchiveUse:
    """The room that tailflip's archives take; `keep` and `max_size` are the limits as written.

    `too_old` counts those older than `keep`. `may_go` counts those that `run`, `gate` and
    `watch` delete because of a limit.
    """

    path: Path
    count: int
    bytes: int
    keep: str
    max_size: str
    too_old: int = 0
    is_too_large: bool = False
    may_go: int = 0
    may_go_bytes: int = 0


@dataclass(frozen=True)
class GoneProgram:
    """A program that a service definition starts, and that is not there.

    `is_ours`: it is tailflip, which one of its own files puts in front of the gateway.
    """

    definition: Path
    program: str
    is_ours: bool = False


@dataclass(frozen=True)
class FileIdentity:
    """The fields of a stat that must be the same at survey and rename."""

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True)
class Sample:
    """One measurement; sizes in bytes, None where a size could not be measured."""

    at_ms: int
    rss_bytes: int | None
    stores_bytes: int | None
