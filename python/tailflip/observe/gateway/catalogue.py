"""The catalogue: what each release of OpenClaw has, read from all stable packages on npm.

`catalogue.jsonl` holds it: one line a fact, with the releases in which it changed. `make catalogue`
writes it, from the packages; nobody edits it. Ask `capabilities` what a release can do.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.flow.late import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailflip.flow.capabilities import Version

Value = str | int | bool | None
TABLE = Path(__file__).with_name("catalogue.jsonl")


class Fact(StrEnum):
    """The facts of the catalogue; a value of None means that the package does not have it."""

    SESSIONS = "sessions"
    LEGACY_SESSIONS = "an older sessions.json"
    CRON_JOBS = "cron jobs"
    CRON_RUNS = "cron run history"
    TASKS = "background tasks"
    SUBAGENTS = "sub-agent runs"
    RESTART_STATE = "restart state"
    STATE_SCHEMA = "schema of the state database"
    AGENT_SCHEMA = "schema of agents' databases"
    NODE = "Node"
    GATEWAY_LOCK = "gateway.HASH.lock"
    STATE_LOCK = "gateway.state.lock"
    DATABASE_LOCKS = "*.lock.sqlite"
    DATABASE_LEASES = "agent_database_leases"
    STOP_SIGNALS = "signals that stop"
    STOP_BUDGET_S = "seconds it takes to stop, at most"
    RESTART_SIGNAL = "signal that restarts"
    RESTART_HANDOFF = "gateway_restart_handoff"
    HANDOFF_COMMAND = "gateway restart-handoff"
    CONFIG_EXIT = "exit code of a configuration that is refused"
    UPDATE_EXIT = "exit code of an update under way"
    PARKED_EXIT = "exit code of a parked service"
    HEALTHZ = "/healthz"
    READYZ = "/readyz"
    STARTUPZ = "/startupz"
    SKIP_CRON = "OPENCLAW_SKIP_CRON"
    NO_RESPAWN = "OPENCLAW_NO_RESPAWN"
    MULTI_GATEWAY = "OPENCLAW_ALLOW_MULTI_GATEWAY"
    WRAPPER = "OPENCLAW_WRAPPER"
    SUPERVISOR_MODE = "OPENCLAW_SUPERVISOR_MODE"
    REPAIR_POLICY = "OPENCLAW_SERVICE_REPAIR_POLICY"
    KILL_MODE = "KillMode"
    UNIT_STOP_S = "TimeoutStopSec"
    RESTART_PREVENT = "RestartPreventExitStatus"
    START_LIMIT = "StartLimitBurst"
    START_LIMIT_S = "StartLimitIntervalSec"
    OOM_POLICY = "OOMPolicy"
    DROP_IN_DISOWNED = "a drop-in that replaces the command is disowned"
    MAINTENANCE_MODE = "session.maintenance.mode"
    MAINTENANCE_DAYS = "session.maintenance.pruneAfter, in days"
    MAINTENANCE_ENTRIES = "session.maintenance.maxEntries"
    MAINTENANCE_BYTES = "session.maintenance.maxDiskBytes"
    RUNNING_PROTECTED = "maintenance keeps what says running"
    INTERRUPTED_JOBS_WAIT = "interrupted jobs wait for their next slot"
    RUNNING_CHATS_RESUMED = "chats that say running are resumed"
    HEADERS_REPAIRED = "a transcript without a header is repaired"
    RUN_RECEIPTS = "cron_run_receipts"
    CRASH_BREAKER = "breaker of crash loops"
    STATE_PREFLIGHT = "database preflight"
    AGENT_PREFLIGHT = "database preflight-agent"


class Standing(StrEnum):
    """Where a release stands beside the catalogue."""

    LISTED = "listed"
    EARLIER = "earlier than all there"
    BETWEEN = "between two of them"
    LATER = "later than all there"
    OTHER_BUILD = "another build of a release there"


@dataclass(frozen=True)
class Judged:
    """The release of the catalogue whose facts count for another one."""

    release: str
    standing: Standing

    @property
    def is_listed(self) -> bool:
        """Say whether the packages of the release itself were read."""
        return self.standing is Standing.LISTED


@dataclass(frozen=True)
class Change:
    """The value of a fact from one release on, until the next change."""

    since: str
    value: Value


@dataclass(frozen=True)
class Catalogue:
    """All facts; `releases` are in the order of their numbers, `ran` is what a gateway showed."""

    read_on: str
    probes: str
    releases: tuple[str, ...]
    facts: Mapping[Fact, tuple[Change, ...]]
    ran: Mapping[Fact, Mapping[str, Value]]

    def judge(self, version: Version) -> Judged:
        """Choose the release whose facts count: the newest that is no later, else the oldest."""
        versions = [order(each)[:3] for each in self.releases]
        at = bisect_right(versions, version) - 1
        if at < 0:
            return Judged(self.releases[0], Standing.EARLIER)
        if versions[at] == version:
            return Judged(self.releases[at], Standing.LISTED)
        is_last = at == len(versions) - 1
        return Judged(self.releases[at], Standing.LATER if is_last else Standing.BETWEEN)

    def find(self, fact: Fact, release: str) -> Value:
        """Find the value of a fact in a release of the catalogue."""
        at = order(release)
        changes = self.facts[fact]
        return next(each.value for each in reversed(changes) if order(each.since) <= at)


def order(release: str) -> tuple[int, ...]:
    """Order releases by their numbers; `2026.7.1-2` comes after `2026.7.1`."""
    numbers = [int(part) for part in release.replace("-", ".").split(".")]
    return (*numbers, *(0,) * (4 - len(numbers)))


@cache
def read_catalogue() -> Catalogue:
    """Read the table that comes with tailflip."""
    return parse(TABLE.read_text("utf-8"))


def parse(text: str) -> Catalogue:
    """Parse the table: a line about itself, then one a fact."""
    head, *rows = [json.loads(line) for line in text.splitlines()]
    return Catalogue(
        read_on=head["read_on"],
        probes=head["probes"],
        releases=tuple(head["releases"]),
        facts={Fact(row["fact"]): tuple(Change(*each) for each in row["since"]) for row in rows},
        ran={Fact(row["fact"]): row.get("ran", {}) for row in rows},
    )
