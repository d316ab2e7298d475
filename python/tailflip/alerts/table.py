"""The table of alerts: how urgent each code is, and what is told of it.

No word of it is private: a receiver may be public. A finding's own message is told only where it
holds nothing but numbers (`has_numbers`). The subject of a finding is a path or the name of a job,
and is never told.
"""

from __future__ import annotations

from tailflip.flow.alerts import Urgency
from tailflip.flow.findings import Code
from tailflip.flow.late import dataclass

CHECK, STATUS, WHY = "tailflip check", "tailflip status", "tailflip incidents why"
COMPACT, RECONCILE = "tailflip compact", "tailflip reconcile"
# The codes that are no finding's: `conditions` concludes them from the record.
GUARD_GONE, HANGS, ACTION_FAILED, SALVAGED, FAILING = (
    "guard-gone",
    "gateway-hangs",
    "action-failed",
    "salvaged",
    "alerts-failing",
)
# Together they are one outage: whoever was told of one of them need not hear of the others.
OUTAGE = (
    Code.CRASH_LOOP,
    Code.RESTART_LOOP,
    Code.START_REFUSED,
    Code.STARTS_STOPPED,
    Code.GATEWAY_DOWN,
)
# Data is being lost, or will be at the gateway's next write: no maintenance keeps them back.
OF_DATA = frozenset(
    {
        Code.STORE_TOO_BIG,
        Code.STORE_INVALID,
        Code.STORE_MISSING,
        Code.ROTATION_TRAP,
        Code.TRANSCRIPT_HEADLESS,
        SALVAGED,
    }
)
# Less urgent where the finding is a warning: nothing is lost by it yet.
MILD_AS_WARNING = frozenset({Code.TRANSCRIPT_HEADLESS, Code.DISK_FULL})


@dataclass(frozen=True)
class Row:
    """One code: its urgency, its title, one sentence about it, and the next step."""

    urgency: Urgency
    title: str
    what: str
    step: str = CHECK
    has_numbers: bool = False


def _critical(title: str, what: str, step: str = CHECK, *, has_numbers: bool = False) -> Row:
    return Row(Urgency.CRITICAL, title, what, step, has_numbers)


def _warning(title: str, what: str, step: str = CHECK, *, has_numbers: bool = False) -> Row:
    return Row(Urgency.WARNING, title, what, step, has_numbers)


def _notice(title: str, what: str, step: str = CHECK, *, has_numbers: bool = False) -> Row:
    return Row(Urgency.NOTICE, title, what, step, has_numbers)


_NEXT_START = "the next start of the gateway fails"
_OVERWRITES = "the gateway's next write replaces it"

ROWS: dict[str, Row] = {
    # --- the gateway is down -----------------------------------------------------------------
    Code.GATEWAY_DOWN: _critical("gateway down", "the gateway does not run", STATUS),
    Code.CRASH_LOOP: _critical("crash loop", "the gateway dies again and again", WHY),
    Code.RESTART_LOOP: _critical(
        "restart loop", "the gateway restarts itself without a rest", WHY, has_numbers=True
    ),
    Code.START_REFUSED: _critical(
        "start refused", "a start was refused: the gateway would die, or lose data", STATUS
    ),
    Code.STARTS_STOPPED: _critical(
        "starts stopped", "after deaths in a row no start is allowed", STATUS
    ),
    GUARD_GONE: _critical(
        "guard gone", "tailflip was killed, and nobody guards the gateway any more", STATUS
    ),
    Code.PROGRAM_GONE: _critical(
        "program gone", "the program that the gateway's service starts is not there"
    ),
    Code.PORT_TAKEN: _critical("port taken", "a program that is no gateway holds its port"),
    Code.DISK_FULL: _critical("disk full", "the next save fails, and the gateway dies of it"),
    # --- data is at stake --------------------------------------------------------------------
    Code.STORE_TOO_BIG: _critical(
        "store too big", f"Node cannot read a store: {_OVERWRITES}", COMPACT, has_numbers=True
    ),
    Code.STORE_INVALID: _critical(
        "store invalid", f"a session store does not parse: {_OVERWRITES}", COMPACT
    ),
    Code.STORE_MISSING: _critical("store missing", "a store is gone, its backups are there"),
    Code.ROTATION_TRAP: _critical(
        "rotation trap", "enforced maintenance makes a store disappear", COMPACT, has_numbers=True
    ),
    Code.DATABASE_DAMAGED: _critical("database damaged", f"a database is damaged: {_NEXT_START}"),
    Code.RETAINED_SOURCE_CHANGED: _critical(
        "kept store changed", f"a store on record was changed: {_NEXT_START}"
    ),
    Code.ENTRY_UNREADABLE: _critical(
        "entry unreadable", f"an entry of a database is no JSON: {_NEXT_START}", COMPACT
    ),
    Code.ENTRY_UNPROVEN: _critical(
        "entry unproven", f"another hand changed an entry: {_NEXT_START}", COMPACT
    ),
    Code.ENTRY_CONTRADICTS: _critical(
        "entry contradicts its row", f"an entry is of another session: {_NEXT_START}", COMPACT
    ),
    Code.TRANSCRIPT_HEADLESS: _critical(
        "transcript headless",
        "the next message to a session replaces its whole conversation",
        RECONCILE,
        has_numbers=True,
    ),
    Code.TRANSCRIPT_TOO_LONG: _critical(
        "transcript too long",
        "Node cannot read a transcript: each message to its session fails",
        has_numbers=True,
    ),
    # --- on the way there --------------------------------------------------------------------
    HANGS: _warning("gateway hangs", "the gateway no longer answered, and was ended", WHY),
    Code.SAFE_START: _warning(
        "safe start", "the gateway runs without its cron jobs or channels", STATUS
    ),
    Code.MEMORY_TREND: _warning(
        "memory grows", "the gateway's memory reaches its limit soon", STATUS, has_numbers=True
    ),
    Code.MEMORY_ELSEWHERE: _warning(
        "memory elsewhere", "the gateway died of memory, and its stores are not the cause"
    ),
    Code.HEAP_FORECAST: _warning(
        "heap forecast", "the next start runs out of heap", COMPACT, has_numbers=True
    ),
    Code.DISK_AHEAD: _warning(
        "disk ahead", "a disk will be full within a week", "tailflip reclaim", has_numbers=True
    ),
    Code.HEAP_CLOSE: _warning(
        "heap close", "a start comes near the limit of the heap", COMPACT, has_numbers=True
    ),
    Code.STORE_GROWING: _warning(
        "store grows", "a store will be too big for the heap", COMPACT, has_numbers=True
    ),
    Code.TRANSCRIPT_HUGE: _warning(
        "transcript huge",
        "the gateway stalls, or dies, at a message to a session",
        has_numbers=True,
    ),
    Code.STORE_UNREADABLE: _warning("store unreadable", "a store could not be looked at"),
    Code.WORK_KILLS: _warning(
        "its work kills it", "a job or session was in flight at each of the last deaths", WHY
    ),
    Code.JOB_STORM: _warning("job storm", "a job runs again and again", has_numbers=True),
    Code.JOB_RAPID: _warning("rapid job", "runs of a job come seconds apart", has_numbers=True),
    Code.JOB_STUCK: _warning("job stuck", "a job never starts again", RECONCILE),
    Code.JOB_OVERDUE: _warning("job overdue", "a job is due, and is not started", has_numbers=True),
    Code.JOB_HELD: _warning("job held", "tailflip keeps a job from running"),
    Code.SESSION_HELD: _warning("session held", "tailflip keeps a session from being resumed"),
    Code.JOBS_TWIN: _warning("twin jobs", "the same job is there more than once", has_numbers=True),
    Code.CRON_STORE_INVALID: _warning("cron store invalid", "no cron job will run"),
    Code.RETENTION_INVALID: _warning(
        "retention invalid", "the retention of finished runs is no length of time"
    ),
    Code.ENTRIES_RESURRECTED: _warning(
        "entries came back", "entries came back after a change", has_numbers=True
    ),
    Code.REAPER_STOPPED: _warning(
        "clean-up stopped", "the gateway's own clean-up removes nothing any more", COMPACT
    ),
    Code.EVENT_UNREADABLE: _warning(
        "event unreadable", "an event of a transcript is no JSON", COMPACT
    ),
    Code.SETTINGS_WRONG: _warning(
        "settings wrong", "tailflip's own settings have a mistake", "tailflip config check"
    ),
    Code.RECORDS_UNREAD: _warning("records unread", "records of the gateway cannot be read"),
    ACTION_FAILED: _warning(
        "action failed", "a change by tailflip did not come to its end", "tailflip archive list"
    ),
    SALVAGED: _warning(
        "store salvaged", "a damaged store was set aside whole, and what was legible kept"
    ),
    FAILING: _warning(
        "alerts fail", "one of the places that are told has heard nothing", "tailflip alerts test"
    ),
    # --- for the digest ----------------------------------------------------------------------
    Code.START_WAITS: _notice("start waits", "a start waits for a time or a change", STATUS),
    Code.INCIDENT_OPEN: _notice("incident open", "nobody took note of an incident", WHY),
    Code.OWNER_UNKNOWN: _notice("owner unknown", "a store is left alone: its owner is unknown"),
    Code.STORE_ON_RECORD: _notice("store on record", "a store is left alone: it is on record"),
    Code.IMPORT_WAITS: _notice("import waits", "the import of a store waits for a plugin"),
    Code.LEFTOVERS: _notice("left files", "killed processes left files", has_numbers=True),
    Code.FOLDER_LITTER: _notice("litter", "files are of no use to the gateway", has_numbers=True),
    Code.KIND_FILLS_STORE: _notice("kind fills store", "one kind of entry fills a store", COMPACT),
    Code.ENTRIES_PUSHED_OUT: _notice(
        "entries pushed out", "a store has more entries than OpenClaw keeps", COMPACT
    ),
    Code.DATABASE_BLOAT: _notice(
        "database bloat", "a database is mostly free pages", COMPACT, has_numbers=True
    ),
    Code.LEDGERS_DISAGREE: _notice(
        "ledgers disagree", "a ledger is wrong about runs", RECONCILE, has_numbers=True
    ),
    Code.RUNS_STUCK: _notice("runs stuck", "runs claim to be running", RECONCILE, has_numbers=True),
    Code.CHATS_RUNNING: _notice(
        "chats running", "entries claim to be running", RECONCILE, has_numbers=True
    ),
    Code.MARKER_ORPHANED: _notice("orphaned mark", "a dead run left its mark", has_numbers=True),
    Code.ARCHIVES_BEYOND: _notice(
        "archives beyond limits", "archives are old or large", has_numbers=True
    ),
}
# A finding of another release of tailflip, whose code this one does not know.
UNKNOWN = _warning("unknown finding", "another release of tailflip found something wrong")


def find_row(code: str) -> Row:
    """Find the row of a code."""
    return ROWS.get(code, UNKNOWN)
