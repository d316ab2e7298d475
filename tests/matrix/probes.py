"""What is looked for in a package of OpenClaw: one row a fact, as its text has it in any release.

Releases come readable or minified, so a quote is any of three, and space is optional. A fact that
a package states twice with two values is an error: whoever meets it makes the probe sharper.
"""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING

from tailflip.observe.gateway.catalogue import Fact

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tailflip.observe.gateway.catalogue import Value

# The program itself: no libraries that come with it, no pages for a browser, no tests.
_CODE = re.compile(r"package/(?:[^/]+|dist/(?!control-ui/).+)\.[mc]?js")
_NOT_CODE = re.compile(r"/node_modules/|\.test\.[mc]?js$|\.test-[a-z-]+\.[mc]?js$")
_QUOTE = "[\"'`]"
_IS = r"\s*=\s*"
_AROUND = 400  # bytes before and after a text that is looked at
_NUMBER = r"([0-9][0-9e_.]*(?:\s*\*\s*[0-9][0-9e_.]*)*)"


def count(text: str) -> int:
    """Read a product of numbers as JavaScript has it, such as `720 * 60 * 1e3`."""
    return round(prod(float(part.replace("_", "")) for part in text.split("*")))


def _to_seconds(text: str) -> int:
    return count(text) // 1000


def _to_days(text: str) -> int:
    return count(text) // 86_400_000


@dataclass(frozen=True)
class Probe:
    """One text to look for. `value` is told of it where the text has no group of its own."""

    pattern: str
    value: Value = True
    read: Callable[[str], Value] = str

    @property
    def regex(self) -> re.Pattern[bytes]:
        return re.compile(self.pattern.replace("Q", _QUOTE).encode())

    @property
    def anchor(self) -> bytes:
        """The longest plain text in the pattern: where it is missing, the pattern is too."""
        plain = re.sub(r"\\[^.]|\[[^]]*\]|Q", "\0", self.pattern).replace("\\.", ".")
        return max(re.findall(r"[\w./ =-]+", plain), key=len).encode()


@dataclass(frozen=True)
class Sought:
    """One fact: the first probe that finds something tells it; `otherwise` if none does."""

    probes: tuple[Probe, ...]
    otherwise: Value = False


def _has(pattern: str) -> Sought:
    return Sought((Probe(pattern),))


def _unit(key: str, value: str, read: Callable[[str], Value] = str) -> Sought:
    """Look for a line of the unit, written whole, or as a pair since 2026.9.6."""
    section = "Unit" if key.startswith("Start") else "Service"
    return Sought(
        (
            Probe(rf"Q{section}\.{key}Q:\s*Q({value})Q", read=read),
            Probe(rf"Q{key}=({value})Q", read=read),
        ),
        None,
    )


def _table(name: str) -> str:
    return rf"CREATE TABLE IF NOT EXISTS {name}\b"


_STOP = rf"\bGATEWAY_SERVICE_STOP_TIMEOUT_MS{_IS}{_NUMBER}"
SOUGHT: dict[Fact, Sought] = {
    Fact.SESSIONS: Sought(
        (Probe(_table("session_nodes"), "database"), Probe(r"Qsessions\.jsonQ", "files")), None
    ),
    Fact.LEGACY_SESSIONS: Sought(
        (
            Probe(r"StartupMaintenanceRequiredError\(Qstate-migrationsQ", "imported"),
            Probe(_table("session_nodes"), "refused"),
        ),
        "loaded",
    ),
    Fact.CRON_JOBS: Sought(
        (
            Probe(_table("cron_jobs"), "database"),
            Probe(r"Q-state\.jsonQ\)", "split files"),
            Probe(r"Qjobs\.jsonQ", "files"),
        ),
        None,
    ),
    Fact.CRON_RUNS: Sought(
        (
            Probe(_table("cron_run_receipts"), "with the tasks"),
            Probe(_table("cron_run_logs"), "database"),
            Probe(r"resolveCronRunLogPath", "files"),
        ),
        None,
    ),
    Fact.TASKS: Sought(
        (
            Probe(r"Qopenclaw\.sqliteQ", "database"),
            Probe(r"Qruns\.sqliteQ", "tasks/runs.sqlite"),
        ),
        None,
    ),
    Fact.SUBAGENTS: Sought(
        (Probe(_table("subagent_runs"), "database"), Probe(r"Qruns\.jsonQ", "files")), None
    ),
    Fact.RESTART_STATE: Sought(
        (
            Probe(_table("gateway_restart_sentinel"), "database"),
            Probe(r"Qrestart-sentinel\.jsonQ", "files"),
        ),
        None,
    ),
    Fact.STATE_SCHEMA: Sought(
        (
            Probe(rf"\bOPENCLAW_STATE_SCHEMA_VERSION{_IS}{_NUMBER}", read=count),
            Probe(
                r"OpenClaw state database \$\{pathname\} uses newer schema version "
                r"\$\{userVersion\}; this OpenClaw build supports ([0-9]+)\.",
                read=count,
            ),
        ),
        None,
    ),
    Fact.AGENT_SCHEMA: Sought(
        (Probe(rf"\bOPENCLAW_AGENT_SCHEMA_VERSION{_IS}{_NUMBER}", read=count),), None
    ),
    Fact.NODE: Sought((), None),
    Fact.GATEWAY_LOCK: _has(r"`gateway\.\$\{[A-Za-z_$]+\}\.lock`"),
    Fact.STATE_LOCK: _has(r"Qgateway\.state\.lockQ"),
    Fact.DATABASE_LOCKS: _has(r"\.lock\.sqlite\b"),
    Fact.DATABASE_LEASES: _has(_table("agent_database_leases")),
    Fact.STOP_SIGNALS: Sought(
        (Probe(r"process\.on\(QSIGTERMQ,\s*onSigterm\)", "SIGTERM, SIGINT"),), None
    ),
    Fact.STOP_BUDGET_S: Sought(
        (
            Probe(rf"\bGATEWAY_SHUTDOWN_TIMEOUT_MS{_IS}{_NUMBER}", read=_to_seconds),
            Probe(rf"const SHUTDOWN_TIMEOUT_MS{_IS}{_NUMBER}", read=_to_seconds),
            Probe(
                r"exiting without full cleanupQ\);\s*cleanupSignals\(\);\s*"
                rf"[A-Za-z.]+\.exit\(0\);\s*\}},\s*{_NUMBER}\)",
                read=_to_seconds,
            ),
        ),
        None,
    ),
    Fact.RESTART_SIGNAL: Sought((Probe(r"process\.on\(Q(SIGUSR[12])Q,\s*on"),), None),
    Fact.RESTART_HANDOFF: _has(_table("gateway_restart_handoff")),
    Fact.HANDOFF_COMMAND: _has(r"command\(Qrestart-handoffQ"),
    Fact.CONFIG_EXIT: Sought((Probe(rf"\bEXIT_CONFIG_ERROR{_IS}(78)\b", read=count),), None),
    Fact.UPDATE_EXIT: Sought(
        (Probe(rf"\bUPDATE_HANDOFF_IN_PROGRESS_EXIT_CODE{_IS}(75)\b", read=count),), None
    ),
    Fact.PARKED_EXIT: Sought((Probe(rf"EXIT[A-Z_]*{_IS}(79)\b", read=count),), None),
    Fact.HEALTHZ: _has(r"Q/healthzQ,\s*QliveQ"),
    Fact.READYZ: _has(r"Q/readyzQ,\s*QreadyQ"),
    Fact.STARTUPZ: _has(r"Q/startupzQ,\s*QstartupQ"),
    Fact.SKIP_CRON: _has(r"\bOPENCLAW_SKIP_CRON\b"),
    Fact.NO_RESPAWN: _has(r"\bOPENCLAW_NO_RESPAWN\b"),
    Fact.MULTI_GATEWAY: _has(r"\bOPENCLAW_ALLOW_MULTI_GATEWAY\b"),
    Fact.WRAPPER: _has(r"\bOPENCLAW_WRAPPER\b"),
    Fact.SUPERVISOR_MODE: _has(r"\bOPENCLAW_SUPERVISOR_MODE\b"),
    Fact.REPAIR_POLICY: _has(r"\bOPENCLAW_SERVICE_REPAIR_POLICY\b"),
    Fact.KILL_MODE: _unit("KillMode", "[a-z-]+"),
    Fact.UNIT_STOP_S: Sought(
        (
            Probe(_STOP, read=_to_seconds),
            Probe(r"QTimeoutStopSec=([0-9]+)Q", read=count),
        ),
        None,
    ),
    Fact.RESTART_PREVENT: _unit("RestartPreventExitStatus", "[0-9 ]+"),
    Fact.START_LIMIT: _unit("StartLimitBurst", "[0-9]+", count),
    Fact.START_LIMIT_S: _unit("StartLimitIntervalSec", "[0-9]+", count),
    Fact.OOM_POLICY: _unit("OOMPolicy", "[a-z]+"),
    Fact.DROP_IN_DISOWNED: _has(r"comes from an operator-owned systemd drop-in"),
    Fact.MAINTENANCE_MODE: Sought(
        (Probe(rf"\bDEFAULT_SESSION_MAINTENANCE_MODE{_IS}Q([a-z]+)Q"),), None
    ),
    Fact.MAINTENANCE_DAYS: Sought(
        (Probe(rf"\bDEFAULT_SESSION_PRUNE_AFTER_MS{_IS}{_NUMBER}", read=_to_days),), None
    ),
    Fact.MAINTENANCE_ENTRIES: Sought(
        (Probe(rf"\bDEFAULT_SESSION_MAX_ENTRIES{_IS}{_NUMBER}", read=count),), None
    ),
    Fact.MAINTENANCE_BYTES: Sought(
        (Probe(rf"\bDEFAULT_SESSION_MAX_DISK_BYTES{_IS}{_NUMBER}", read=count),), None
    ),
    Fact.RUNNING_PROTECTED: _has(r"\bshouldPreserveNonArchivedMaintenanceEntry\b"),
    Fact.INTERRUPTED_JOBS_WAIT: _has(r"skipJobIds:\s*startupInterruptedJobIds\b"),
    Fact.RUNNING_CHATS_RESUMED: _has(r"\brecoverRestartAbortedMainSessions\b"),
    Fact.HEADERS_REPAIRED: _has(r"\brecoverCorruptSessionEntries\b"),
    Fact.RUN_RECEIPTS: _has(_table("cron_run_receipts")),
    Fact.CRASH_BREAKER: _has(_table("gateway_boot_lifecycle")),
    Fact.STATE_PREFLIGHT: _has(r"command\(QpreflightQ\)\.description\(QCompare one copied"),
    Fact.AGENT_PREFLIGHT: _has(r"command\(Qpreflight-agentQ\)"),
}

# What a real gateway showed of a fact, by release: a test holds the packages to it.
RAN: dict[Fact, dict[str, Value]] = {
    Fact.SESSIONS: {
        "2026.3.28": "files",
        "2026.4.14": "files",
        "2026.5.28": "files",
        "2026.6.11": "files",
        "2026.7.35": "files",
        "2026.8.1": "database",
        "2026.9.6": "database",
    },
    Fact.LEGACY_SESSIONS: {
        "2026.3.28": "loaded",
        "2026.4.14": "loaded",
        "2026.7.35": "loaded",
        "2026.8.1": "refused",
        "2026.9.6": "imported",
    },
    Fact.CRON_JOBS: {
        "2026.3.28": "files",
        "2026.4.14": "files",
        "2026.5.28": "split files",
        "2026.6.11": "database",
        "2026.7.35": "database",
        "2026.9.6": "database",
    },
    Fact.TASKS: {"2026.4.14": "tasks/runs.sqlite", "2026.6.11": "database", "2026.9.6": "database"},
    Fact.STATE_SCHEMA: {"2026.9.6": 18},
    Fact.AGENT_SCHEMA: {"2026.9.6": 23},
    Fact.GATEWAY_LOCK: {"2026.3.28": True, "2026.4.14": True, "2026.9.6": True},
    Fact.RESTART_SIGNAL: {"2026.3.28": "SIGUSR1", "2026.4.14": "SIGUSR1", "2026.9.6": "SIGUSR2"},
    Fact.HANDOFF_COMMAND: {"2026.9.6": True},
    Fact.CONFIG_EXIT: {"2026.3.28": None, "2026.4.14": 78, "2026.9.6": 78},
    Fact.HEALTHZ: {"2026.3.28": True, "2026.4.14": True, "2026.9.6": True},
    Fact.READYZ: {"2026.3.28": True, "2026.4.14": True, "2026.9.6": True},
    Fact.STARTUPZ: {"2026.9.6": True},
    Fact.WRAPPER: {"2026.9.6": True},
    Fact.SUPERVISOR_MODE: {"2026.9.6": True},
    Fact.DROP_IN_DISOWNED: {"2026.9.6": True},
    Fact.INTERRUPTED_JOBS_WAIT: {"2026.3.28": True, "2026.4.14": False},
    Fact.RUNNING_CHATS_RESUMED: {"2026.3.28": False, "2026.4.14": False},
    Fact.HEADERS_REPAIRED: {
        "2026.3.28": False,
        "2026.4.14": False,
        "2026.5.28": False,
        "2026.7.35": True,
    },
}


def fingerprint() -> str:
    """Tell these probes from others: a table made by others is made anew."""
    rows = [
        (fact, probe.pattern, probe.value, probe.read.__name__, each.otherwise)
        for fact, each in SOUGHT.items()
        for probe in each.probes
    ]
    told = repr((_CODE.pattern, _NOT_CODE.pattern, rows))
    return hashlib.sha256(told.encode()).hexdigest()[:12]


@dataclass
class _Hits:
    """What the probes of a fact have found so far, by probe."""

    found: dict[Probe, set[Value]] = field(default_factory=dict)

    def add(self, probe: Probe, anchor: bytes, regex: re.Pattern[bytes], text: bytes) -> None:
        """Search around each place of the anchor: a bundle may have megabytes in one file."""
        at = text.find(anchor)
        while at >= 0:
            for match in regex.finditer(text, max(0, at - _AROUND), at + _AROUND):
                if match.start() <= at < match.end():
                    has_group = regex.groups and match[1] is not None
                    value = probe.read(match[1].decode()) if has_group else probe.value
                    self.found.setdefault(probe, set()).add(value)
            at = text.find(anchor, at + len(anchor))


def read_package(tarball: Path) -> dict[Fact, Value]:
    """Read all facts from a package, without unpacking it.

    Raises:
        ValueError: the package says two things of one fact, or has no package.json.
    """
    probes = [
        (fact, probe, probe.anchor, probe.regex)
        for fact, each in SOUGHT.items()
        for probe in each.probes
    ]
    hits = {fact: _Hits() for fact in SOUGHT}
    package = None
    with tarfile.open(tarball, "r|gz") as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isfile() else None
            if content is None:
                continue
            if member.name == "package/package.json":
                package = json.loads(content.read())
            elif _CODE.fullmatch(member.name) and not _NOT_CODE.search(member.name):
                text = content.read()
                for fact, probe, anchor, regex in probes:
                    hits[fact].add(probe, anchor, regex, text)
    if package is None:
        raise ValueError("no package.json")
    facts = {fact: _choose(fact, hits[fact]) for fact in SOUGHT}
    schemas = package.get("openclaw", {}).get("schemaVersions", {})
    return facts | {
        Fact.NODE: package.get("engines", {}).get("node"),
        Fact.STATE_SCHEMA: schemas.get("state", facts[Fact.STATE_SCHEMA]),
        Fact.AGENT_SCHEMA: schemas.get("agent", facts[Fact.AGENT_SCHEMA]),
    }


def _choose(fact: Fact, hits: _Hits) -> Value:
    for probe in SOUGHT[fact].probes:
        values = hits.found.get(probe, set())
        if len(values) > 1:
            raise ValueError(f"{fact}: {probe.pattern} says {sorted(map(str, values))}")
        if values:
            return values.pop()
    return SOUGHT[fact].otherwise
