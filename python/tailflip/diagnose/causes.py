"""The table of causes: one row for each cause of an end, with all that follows from it.

Breaker, gate, status, incidents and logs read their sets of causes from these rows. A new
cause is a member of `flow.lives.Cause` and a row here; `tests/tools/write_docs.py` then
writes docs/causes.md. Source of the cures: OpenClaw's own hints in the releases 2026.3.28
to 2026.9.6, and its issue tracker.
"""

from __future__ import annotations

from enum import StrEnum

from tailflip.flow.late import dataclass
from tailflip.flow.lives import Cause, Waiting


class Opens(StrEnum):
    """When a cause opens the breaker at its first death, because a start changes nothing.

    `UNREADY`: where the gateway had not answered in its life. A gateway whose package was replaced
    while it ran misses a module too, and the next start finds the package whole.
    """

    LATER = "later"
    UNREADY = "unready"
    ALWAYS = "always"


class Wish(StrEnum):
    """The wish of a gateway, or of a person, behind an end that is no failure."""

    STOP = "stop"
    RESTART = "restart"
    UPDATE = "update"
    PARK = "park"


@dataclass(frozen=True)
class CauseRow:
    """One cause.

    Args:
        words: a clause, "it ...", that says why the gateway ended.
        next_step: what a person does about it; VERSION stands for the release.
        waiting: what an open breaker waits for.
        opens: when the first death opens the breaker.
        wish: the wish behind the end; such an end counts for no loop and opens no incident.
        of_memory: compacting the stores may cure the cause.
        of_other: another process was there first; no start helps while that one lives.
        of_tasks: a heap limit that node is given cures it.
        of_doctor: OpenClaw's own doctor may repair it.
        of_work: what the gateway worked on may have brought the end about.
        by_text: the text belongs to the signature: two texts are two kinds of death.
        of_silence: it lived, and did not answer.
        is_explained: False where the row's words say nothing about this one death.
        is_unasked: to keep the gateway down, a person has to stop its guard.
        over_after_s: after so long, what refused the start is over; none is made before.
    """

    words: str
    next_step: str
    waiting: Waiting = Waiting.TIME
    opens: Opens = Opens.LATER
    wish: Wish | None = None
    of_memory: bool = False
    of_other: bool = False
    of_tasks: bool = False
    of_doctor: bool = False
    of_work: bool = False
    of_silence: bool = False
    by_text: bool = False
    is_explained: bool = True
    is_unasked: bool = False
    over_after_s: float = 0.0

    @property
    def is_curable(self) -> bool:
        """Say whether a change since the death may have cured the cause."""
        return self.of_memory or self.of_tasks or self.opens is not Opens.LATER


@dataclass(frozen=True)
class Wait:
    """The words for a wait: `until` is a clause, `noun` a name, `next_step` is for no cause."""

    until: str
    noun: str
    next_step: str


DOCTOR = (
    "stop the gateway's service, run `openclaw doctor --fix` as its user, start it again; "
    "where the service stays, the gateway is started once the databases have changed. With "
    "heal.doctor = true, `tailflip run` does this by itself"
)
CONFIGURE = "correct the configuration; the gateway is started when it changes"
SET_VARIABLE = (
    "set the variable in the environment of the gateway's service or in its .env; "
    "the gateway is started when the configuration or .env changes"
)
SET_FLAGS = (
    "correct the flags in the command of the gateway's service, or NODE_OPTIONS in its "
    "environment; then start the service again"
)
REINSTALL = (
    "`npm i -g openclaw@VERSION`, then `openclaw gateway install --force`; "
    "the gateway is started when the package, node or the service file changes"
)
GONE_PROGRAM = (
    "the program is gone, perhaps with an update: `openclaw gateway install --force` writes the "
    "service anew; by hand, give the command of a program that is there"
)
NEW_NODE = (
    "install the Node.js that this release asks for, then `openclaw gateway install --force`; "
    "the gateway is started when node, the package or the service file changes"
)
IMPORT_AGAIN = (
    "stop the gateway's service, run `openclaw doctor --session-sqlite import "
    "--session-sqlite-all-agents` as its user: it takes the old store into the database and moves "
    "it away; start it again. With heal.doctor = true, `tailflip run` does this by itself"
)
PUT_BACK_SOURCE = (
    "`tailflip check` names the file and what gives its bytes back; "
    "the gateway is started when it is as it was"
)
NEWER_SCHEMA = (
    "install the release that wrote these databases or a newer one, or restore the backup from "
    "before the update. The gateway is started when package or databases change"
)
PUT_BACK = (
    "stop the gateway's service and copy the state directory; `tailflip check` names the "
    "database. Put back that one file from a backup that `openclaw backup` verified, and remove "
    "its -wal and -shm; the gateway is started when the databases change. `openclaw doctor --fix` "
    "repairs no damaged database"
)
HEAP_LOOK = "`tailflip check` says what fills the heap"  # what it says takes the place of this
_HEAP = f"{HEAP_LOOK}; it is started when the stores or the configuration change"
_LOOK = (
    "`tailflip incidents why --stderr` shows what it said last; `openclaw doctor` looks at the rest"
)
_UNHEARD = (
    "`openclaw doctor` looks at the gateway; what it says before its next end, tailflip keeps"
)
_NOTHING = "nothing to do"

CAUSES: dict[Cause, CauseRow] = {
    Cause.V8_HEAP: CauseRow(
        "its JavaScript heap was full and V8 gave up",
        _HEAP,
        Waiting.CURE,
        of_memory=True,
        of_work=True,
    ),
    Cause.CGROUP_OOM: CauseRow(
        "the kernel killed it at the memory limit of its cgroup",
        _HEAP,
        Waiting.CURE,
        of_memory=True,
        of_work=True,
    ),
    Cause.KERNEL_OOM: CauseRow(
        "the kernel killed it because the machine had no memory left",
        _HEAP,
        Waiting.CURE,
        of_memory=True,
        of_work=True,
    ),
    Cause.OOMD: CauseRow(
        "systemd-oomd killed it for memory pressure",
        _HEAP,
        Waiting.CURE,
        of_memory=True,
        of_work=True,
    ),
    Cause.TASK_LEDGER: CauseRow(
        "its ledger of tasks was too large for the worker that reads it",
        "give node a heap limit in the environment of the gateway's service: "
        "NODE_OPTIONS=--max-old-space-size=4096, or what the machine allows; "
        "`tailflip run` does so by itself",
        Waiting.CURE,
        of_tasks=True,
    ),
    Cause.NATIVE_MEMORY: CauseRow(
        "it got no memory from the system, outside its JavaScript heap",
        "see with `free -m` and `dmesg` what takes the machine's memory, and give the gateway more",
        of_work=True,
    ),
    Cause.CONFIG: CauseRow(
        "it refused its configuration",
        CONFIGURE,
        Waiting.CONFIG_CHANGE,
        Opens.ALWAYS,
        by_text=True,
    ),
    Cause.INSTALLATION: CauseRow(
        "its installation is not whole",
        REINSTALL,
        Waiting.PROGRAM_CHANGE,
        Opens.UNREADY,
        by_text=True,
    ),
    Cause.MIGRATION: CauseRow(
        "it wants its state migrated before it starts",
        DOCTOR,
        Waiting.STATE_CHANGE,
        Opens.ALWAYS,
        of_doctor=True,
        by_text=True,
    ),
    Cause.NEWER_SCHEMA: CauseRow(
        "a newer release has written its databases",
        NEWER_SCHEMA,
        Waiting.STATE_CHANGE,
        Opens.ALWAYS,
        by_text=True,
    ),
    Cause.DAMAGED: CauseRow(
        "a database of its state is damaged",
        PUT_BACK,
        Waiting.STATE_CHANGE,
        Opens.UNREADY,
        by_text=True,
    ),
    Cause.OTHER_INSTANCE: CauseRow(
        "another gateway works on the same state",
        "stop the other gateway, or what holds its port; this one is started when that is gone",
        of_other=True,
    ),
    Cause.PORT_IN_USE: CauseRow(
        "its port was taken",
        "stop who holds the port, or give the gateway another one",
        of_other=True,
    ),
    Cause.ADDRESS: CauseRow(
        "the address that it listens on is not there",
        "see whether the network of gateway.bind is up (tailscale, VPN); it is tried again",
        by_text=True,
    ),
    Cause.LOCKED: CauseRow(
        "it did not get its lock",
        "see who else has the state open: another gateway, `openclaw doctor`, a backup",
    ),
    Cause.LEASED: CauseRow(
        "a gateway that died in its start left the lease of its migrations behind",
        "nothing to do: the lease runs out 5 minutes after that death, and the gateway is "
        "started then",
        over_after_s=300.0,
    ),
    Cause.DISK_FULL: CauseRow(
        "the disk was full",
        "make room on the disk of the state directory (`df -h`, `df -i`); "
        "the gateway is started when there is",
        Waiting.ROOM,
    ),
    Cause.WATCH_LIMIT: CauseRow(
        "the system gave it no more file watches",
        "raise the limit: `sysctl fs.inotify.max_user_watches=524288`",
    ),
    Cause.FILES_LIMIT: CauseRow(
        "it had too many files open",
        "raise LimitNOFILE of the gateway's service (or `ulimit -n`), "
        "and fs.inotify.max_user_instances where it watches files",
    ),
    Cause.PERMISSION: CauseRow(
        "it may not read or write a file that it needs",
        "give the state directory to the user of the gateway's service, and see that its "
        "file system is not read-only",
    ),
    Cause.TOO_LARGE: CauseRow(
        "a file or value was too large for JavaScript",
        "`tailflip check` and `openclaw doctor` say which file has grown",
        of_work=True,
    ),
    Cause.NATIVE_CRASH: CauseRow("native code in it crashed", _LOOK, of_work=True),
    Cause.HANG: CauseRow(
        "it no longer answered and was ended", _LOOK, of_work=True, of_silence=True
    ),
    Cause.UPDATE: CauseRow("it handed over to an update", _NOTHING, wish=Wish.UPDATE),
    Cause.PARKED: CauseRow(
        "it parked itself",
        "nothing to do: it is started when its update is done",
        Waiting.PROGRAM_CHANGE,
        wish=Wish.PARK,
    ),
    Cause.PLANNED_RESTART: CauseRow("it restarted itself as planned", _NOTHING, wish=Wish.RESTART),
    Cause.ASKED_STOP: CauseRow("it was asked to stop", _NOTHING, wish=Wish.STOP),
    Cause.ENDED: CauseRow(
        "it ended in order or by a signal, and nobody is known to have asked for it",
        "it is started again; to stop it, stop tailflip or its service. "
        "Where a signal ended it, look at what may send one: earlyoom, a script",
        of_work=True,
        is_unasked=True,
    ),
    Cause.UNKNOWN: CauseRow(
        "nothing that is known says why", _LOOK, of_work=True, is_explained=False
    ),
}

WAITS: dict[Waiting, Wait] = {
    Waiting.NOTHING: Wait("", "", ""),
    Waiting.TIME: Wait("", "configuration", ""),
    Waiting.CONFIG_CHANGE: Wait("the configuration changes", "configuration", CONFIGURE),
    Waiting.CURE: Wait("the stores or the configuration change", "stores or configuration", _HEAP),
    Waiting.STATE_CHANGE: Wait(
        "the databases, the configuration or the release change",
        "databases, configuration or release",
        DOCTOR,
    ),
    Waiting.PROGRAM_CHANGE: Wait(
        "the package, node or the service file changes", "package, node or service file", REINSTALL
    ),
    Waiting.ROOM: Wait(
        "there is more room on the disk",
        "room on the disk or configuration",
        CAUSES[Cause.DISK_FULL].next_step,
    ),
    Waiting.OTHER_INSTANCE: Wait(
        "the state directory and its port are free",
        "other gateway",
        CAUSES[Cause.OTHER_INSTANCE].next_step,
    ),
    Waiting.MAINTENANCE: Wait(
        "the maintenance is over", "maintenance", "`tailflip maintenance off` ends it now"
    ),
}

# Ends of these causes are no failures: they count for no loop and open no incident.
WANTED = frozenset(cause for cause, row in CAUSES.items() if row.wish is not None)
OUT_OF_MEMORY = frozenset(cause for cause, row in CAUSES.items() if row.of_memory)
OF_WORK = frozenset(cause for cause, row in CAUSES.items() if row.of_work)


def choose_step(
    cause: Cause, hint: str = "", version: str | None = None, *, heard: bool = True
) -> str:
    """Choose the next step for a death: its own hint if it has one, else its cause's.

    Args:
        cause: of the death.
        hint: the death's own.
        version: of the release.
        heard: False where nothing is kept of what the gateway wrote to stderr.
    """
    step = CAUSES[cause].next_step
    if step == _LOOK and not heard:
        step = _UNHEARD
    return (hint or step).replace("VERSION", version or "latest")
