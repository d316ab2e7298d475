"""The findings: each is one thing that is wrong, under a code that stays the same."""

from __future__ import annotations

from enum import StrEnum

from tailflip.flow.late import dataclass


class Severity(StrEnum):
    """The severity: an error loses data or keeps the gateway down; a warning may become one."""

    ERROR = "error"
    WARNING = "warning"


class Code(StrEnum):
    """The codes of all findings; `diagnose.findings.registry` has one entry for each."""

    CRASH_LOOP = "crash-loop"
    RESTART_LOOP = "restart-loop"
    MEMORY_ELSEWHERE = "memory-elsewhere"
    START_REFUSED = "start-refused"
    STARTS_STOPPED = "starts-stopped"
    SAFE_START = "safe-start"
    START_WAITS = "start-waits"
    GATEWAY_DOWN = "gateway-down"
    INCIDENT_OPEN = "incident-open"
    MEMORY_TREND = "memory-trend"
    SETTINGS_WRONG = "settings-wrong"
    STORE_TOO_BIG = "store-too-big"
    STORE_INVALID = "store-invalid"
    DATABASE_DAMAGED = "database-damaged"
    STORE_MISSING = "store-missing"
    STORE_UNREADABLE = "store-unreadable"
    RETAINED_SOURCE_CHANGED = "retained-source-changed"
    IMPORT_WAITS = "import-waits"
    OWNER_UNKNOWN = "owner-unknown"
    STORE_ON_RECORD = "store-on-record"
    ROTATION_TRAP = "rotation-trap"
    ENTRIES_PUSHED_OUT = "entries-pushed-out"
    LEFTOVERS = "leftovers"
    FOLDER_LITTER = "folder-litter"
    KIND_FILLS_STORE = "kind-fills-store"
    REAPER_STOPPED = "reaper-stopped"
    ENTRY_UNREADABLE = "entry-unreadable"
    ENTRY_UNPROVEN = "entry-unproven"
    ENTRY_CONTRADICTS = "entry-contradicts"
    EVENT_UNREADABLE = "event-unreadable"
    DATABASE_BLOAT = "database-bloat"
    TRANSCRIPT_HEADLESS = "transcript-headless"
    TRANSCRIPT_TOO_LONG = "transcript-too-long"
    TRANSCRIPT_HUGE = "transcript-huge"
    ENTRIES_RESURRECTED = "entries-resurrected"
    HEAP_FORECAST = "heap-forecast"
    HEAP_CLOSE = "heap-close"
    STORE_GROWING = "store-growing"
    CRON_STORE_INVALID = "cron-store-invalid"
    RECORDS_UNREAD = "records-unread"
    RUNS_STUCK = "runs-stuck"
    CHATS_RUNNING = "chats-running"
    LEDGERS_DISAGREE = "ledgers-disagree"
    JOB_RAPID = "job-rapid"
    JOB_STORM = "job-storm"
    JOB_STUCK = "job-stuck"
    JOB_OVERDUE = "job-overdue"
    MARKER_ORPHANED = "marker-orphaned"
    JOB_HELD = "job-held"
    SESSION_HELD = "session-held"
    WORK_KILLS = "work-kills"
    JOBS_TWIN = "jobs-twin"
    DISK_FULL = "disk-full"
    DISK_AHEAD = "disk-ahead"
    ARCHIVES_BEYOND = "archives-beyond"
    PROGRAM_GONE = "program-gone"
    PORT_TAKEN = "port-taken"
    RETENTION_INVALID = "retention-invalid"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, as `check` reports it; `hint` is a next step.

    `code` is a `Code`, or a text on record from another release of tailflip whose code this
    release does not know.
    """

    code: str
    severity: str
    subject: str
    message: str
    hint: str
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True)
class Looked:
    """The findings of one look, and the codes that it looked for."""

    findings: tuple[Finding, ...] = ()
    codes: frozenset[str] = frozenset()

    @property
    def not_looked_for(self) -> tuple[Code, ...]:
        """The codes whose inputs this look did not have."""
        return tuple(code for code in Code if code not in self.codes)
