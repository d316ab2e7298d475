"""The texts with which gateways, node, V8 and shells explain an end, and their causes.

One row a text. `said` is the part that tailflip repeats: keep parts that a user can write out of
it. `within` rows may match anywhere after an introduction such as `Gateway failed to start:`; the
others must match at the start, with or without an introduction.

Source: `throw` and `exit` on the way from `gateway run` to listening in 2026.3.28,
2026.4.14, 2026.5.28, 2026.7.35, 2026.8.1, 2026.9.5 and 2026.9.6 (each row is tested with
the releases that print it in tests/data/failed_starts.json); Node 22 and 24; openclaw/openclaw
issues.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from tailflip.diagnose.causes import (
    IMPORT_AGAIN,
    NEW_NODE,
    PUT_BACK_SOURCE,
    SET_FLAGS,
    SET_VARIABLE,
)
from tailflip.flow.lives import Cause


class Text(NamedTuple):
    """One known text; `hint` is a next step that is more exact than the cause's own."""

    cause: Cause
    pattern: re.Pattern[str]
    within: bool = False
    hint: str = ""


def _begins(cause: Cause, text: str, hint: str = "") -> Text:
    return Text(cause, re.compile(rf"(?P<said>{text})"), hint=hint)


def _ends(cause: Cause, before: str, text: str, hint: str = "") -> Text:
    """Make a row for a text after a part that is not repeated, such as a path."""
    return Text(cause, re.compile(rf"{before}(?P<said>{text})"), hint=hint)


def _within(cause: Cause, text: str, hint: str = "") -> Text:
    return Text(cause, re.compile(rf"(?P<said>{text})"), within=True, hint=hint)


_DAMAGE = r"database disk image is malformed|file is not a database|malformed database schema"
_SUPERVISORS = r"systemd|launchd|schtasks|external|a supervisor"
_GATEWAY = r"(?:gateway )?"  # the console of subsystem `gateway` omits the word

# Refused starts. The first row that matches decides: "port in use" is said of both kinds of
# other instance, and general rows that ask for `doctor --fix` come last.
REFUSALS: tuple[Text, ...] = (
    # "already running under systemd; waiting" is no end: the gateway tries again.
    _begins(
        Cause.OTHER_INSTANCE,
        rf"{_GATEWAY}already running under (?:{_SUPERVISORS}); existing gateway",
    ),
    _begins(Cause.OTHER_INSTANCE, r"gateway already running(?! under \w{1,20}; waiting)"),
    _begins(Cause.PORT_IN_USE, r"another (?:gateway|sandbox host) instance is already listening"),
    _begins(Cause.PORT_IN_USE, r"listen EADDRINUSE"),
    _begins(Cause.PORT_IN_USE, r"Port \d{1,5} is already in use"),
    _within(Cause.PORT_IN_USE, r"\bEADDRINUSE\b"),
    _within(Cause.ADDRESS, r"\bEADDRNOTAVAIL\b"),
    _begins(Cause.LOCKED, r"failed to acquire gateway lock"),
    _within(Cause.LOCKED, r"lock timeout"),
    _begins(Cause.LEASED, r"OpenClaw startup migrations are already running"),
    # --- the installation
    _begins(Cause.INSTALLATION, r"Node\.js [v0-9.<>=,+ or]{1,60}is required", NEW_NODE),
    _begins(Cause.INSTALLATION, r"th(?:e|is) Bun runtime is unsupported", NEW_NODE),
    _begins(Cause.INSTALLATION, r"missing dist/entry\.\(m\)js"),
    _begins(Cause.INSTALLATION, r"SQLite support is unavailable or unsafe", NEW_NODE),
    _within(
        Cause.INSTALLATION,
        r"node:sqlite is unavailable|is not WAL-reset-safe|node:sqlite truncates TEXT"
        r"|node:sqlite NUL round-trip|openclaw requires Node\b|requires SQLite \d",
        NEW_NODE,
    ),
    _begins(
        Cause.INSTALLATION,
        r"No such built-in module",
        NEW_NODE,
    ),
    _begins(Cause.INSTALLATION, r"Cannot find (?:module|package)"),
    _ends(
        Cause.INSTALLATION,
        r"The requested module [^\n]{1,200}? ",
        r"does not provide an export named",
    ),
    _begins(Cause.INSTALLATION, r"Package subpath|Directory import"),
    _begins(Cause.INSTALLATION, r"was compiled against a different Node\.js version", NEW_NODE),
    _ends(Cause.INSTALLATION, r"[^\n]{0,200}?: ", r"invalid ELF header|wrong ELF class"),
    _ends(
        Cause.INSTALLATION,
        r"[^\n]{0,200}?: ",
        r"version `(?:GLIBC|GLIBCXX|CXXABI)_[0-9.]{1,12}' not found",
        NEW_NODE,
    ),
    _ends(
        Cause.INSTALLATION, r"[^\n]{0,200}?: ", r"error while loading shared libraries", NEW_NODE
    ),
    _ends(Cause.INSTALLATION, r"dyld(?:\[\d+\])?: ", r"Library not loaded|Symbol not found"),
    _ends(
        Cause.INSTALLATION,
        r"(?:/usr/bin/)?env: ",
        r"['\u2018]?(?:node|nodejs|openclaw|bun)['\u2019]?: "
        r"(?:No such file or directory|not found)",
    ),
    _ends(
        Cause.INSTALLATION,
        r"(?:[^\n]{0,200}?[ /])?",
        r"(?:node|nodejs|openclaw|openclaw\.mjs): "
        r"(?:(?:command )?not found|[Nn]o such file or directory|cannot execute"
        r"|[Pp]ermission denied|[Ee]xec format error)",
    ),
    _begins(Cause.INSTALLATION, r"(?:\w{1,10}: )?command not found: (?:node|openclaw)\b"),
    _ends(
        Cause.INSTALLATION,
        r"(?:\S{1,80}\.service: )?",
        r"Failed (?:at step EXEC|to locate executable)",
    ),
    _begins(Cause.INSTALLATION, r"Error (?:loading shared library|relocating) ", NEW_NODE),
    _ends(
        Cause.INSTALLATION,
        r"[^\n]{0,200}?: ",
        r"bad interpreter|cannot execute binary file|Exec format error|symbol lookup error",
    ),
    # --- flags of node and of the command
    _ends(Cause.CONFIG, r"[^\n]{1,200}?: ", r"bad option", SET_FLAGS),
    _ends(Cause.CONFIG, r"[^\n]{1,200}? ", r"is not allowed in NODE_OPTIONS", SET_FLAGS),
    _ends(Cause.CONFIG, r"\S{0,100}node: [^\n]{1,100}? ", r"requires an argument", SET_FLAGS),
    _begins(Cause.CONFIG, r"illegal value for flag", SET_FLAGS),
    _ends(
        Cause.CONFIG,
        r"error: (?:option [^\n]{1,60}? )?",
        r"unknown (?:option|command)|too many arguments|argument missing",
        SET_FLAGS,
    ),
    _begins(
        Cause.CONFIG,
        r"Invalid (?:port|--[a-z-]{1,20})|Use --reset with --dev|Use either --password",
        SET_FLAGS,
    ),
    # --- the configuration
    _begins(Cause.CONFIG, r"(?:Config invalid|Invalid config|Config is invalid)\b"),
    _begins(Cause.CONFIG, r"Gateway start blocked"),
    _begins(Cause.CONFIG, r"Missing config|Config validation failed"),
    _begins(Cause.CONFIG, r"JSON5(?: parse failed|: invalid)"),
    _begins(Cause.CONFIG, r"(?:Failed to (?:read|parse)|Circular) include|Include (?:path|file) "),
    _within(Cause.CONFIG, r"required secrets are unavailable", SET_VARIABLE),
    _begins(Cause.CONFIG, r"Missing env(?:ironment)? var", SET_VARIABLE),
    _begins(Cause.CONFIG, r"Environment variable (?=\")", SET_VARIABLE),
    _begins(Cause.CONFIG, r"gateway\.auth\.(?:token|password) (?:is|SecretRef)", SET_VARIABLE),
    _begins(Cause.CONFIG, r"non-loopback Control UI requires gateway\.controlUi\.allowedOrigins"),
    _begins(Cause.CONFIG, r"gateway\.controlUi\.allowedOrigins must be"),
    _begins(Cause.CONFIG, r"tailscale (?:serve/)?funnel requires gateway (?:bind|auth)"),
    _begins(
        Cause.CONFIG,
        r"[Rr]efusing to bind gateway to(?: (?:lan|auto|tailnet|custom|loopback) without auth)?",
    ),
    _begins(
        Cause.CONFIG,
        r"[Gg]ateway auth (?:mode is|mode=|is set to) ?(?:token|password|none|trusted-proxy)",
    ),
    _begins(Cause.CONFIG, r"Gateway auth (?:token|password) is a known redaction sentinel"),
    _begins(Cause.CONFIG, r"trustedProxy config is required"),
    _begins(Cause.CONFIG, r"gateway[. ]bind=(?:custom|loopback|tailnet)"),
    _begins(Cause.CONFIG, r"gateway tls: "),
    _begins(Cause.CONFIG, r"hooks\.enabled requires hooks\.token"),
    _begins(Cause.CONFIG, r"Invalid gateway\.port"),
    _begins(Cause.CONFIG, r"Failed to read config"),
    # --- the state
    _begins(
        Cause.TASK_LEDGER,
        r"Task registry restore failed(?=[^\n]{0,300}(?:memory limit|OUT_OF_MEMORY|out of memory))",
    ),
    _within(
        Cause.NEWER_SCHEMA,
        r"gateway requires a newer OpenClaw build|uses newer schema version"
        r"|database schema\(s\) are newer than this build",
    ),
    _begins(Cause.NEWER_SCHEMA, r"(?:gateway )?requires a newer OpenClaw build"),
    _ends(
        Cause.NEWER_SCHEMA,
        r"(?:OpenClaw )?[\w ]{1,40}database [^\n]{1,200}? ",
        r"uses newer schema version",
    ),
    # A migration that finds a damaged database refuses as one that is wanted does.
    _ends(
        Cause.DAMAGED,
        r"(?:Doctor cannot repair this state: )?",
        r"shared state database is unreadable",
    ),
    _ends(
        Cause.DAMAGED,
        r"(?:- )?Skipped agent database migration for [^\n]{1,300}?: ",
        _DAMAGE,
    ),
    _begins(
        Cause.MIGRATION,
        rf"{_GATEWAY}requires (?:state|offline media|state database schema|cron run history"
        r"|workspace setup state|session store) migration",
    ),
    _begins(Cause.MIGRATION, r"Legacy session store requires migration", IMPORT_AGAIN),
    _begins(
        Cause.MIGRATION,
        r"Legacy (?:workspace setup state|[a-z -]{1,40}) requires migration",
    ),
    _begins(Cause.MIGRATION, r"Legacy exec approvals exist"),
    _ends(
        Cause.MIGRATION,
        r"Legacy pairing store [^\n]{1,200}? ",
        r"has not been imported into SQLite",
    ),
    _begins(Cause.MIGRATION, r"Legacy pairing store inspection failed"),
    _begins(Cause.MIGRATION, r"Retained session migration source changed", PUT_BACK_SOURCE),
    _begins(Cause.MIGRATION, r"startup migrations did not complete cleanly"),
    _within(
        Cause.MIGRATION,
        r"uses schema version|schema migration required|retains retired state_leases storage"
        r"|\bstore_unreadable\b|gateway\.maintenance_required"
        r"|persisted database readiness could not be verified"
        r"|legacy transcript artifacts require migration|interrupted migration claim exists",
    ),
    _begins(Cause.MIGRATION, r"\bstore_unreadable\b"),
    _begins(
        Cause.MIGRATION,
        r"OpenClaw startup migration lease was lost|Agent database maintenance is in progress"
        r"|Agent identity migration requires stopped-writer maintenance",
    ),
)
# A start that failed for an unknown reason asks for this.
ASKS_DOCTOR = re.compile(r"openclaw doctor --fix")
# In a start, a legacy store that is too large for a string fails in its import.
TOO_LONG_AT_START = re.compile(r"Cannot create a string longer than")

# Texts of errors, wherever they are thrown.
ERRORS: tuple[Text, ...] = (
    _begins(
        Cause.WATCH_LIMIT,
        r"ENOSPC: System limit for number of file watchers reached|inotify watch limit reached",
    ),
    Text(Cause.WATCH_LIMIT, re.compile(r"(?P<said>ENOSPC)\b[^\n]{0,200}\b(?:watch|inotify)")),
    _ends(
        Cause.WATCH_LIMIT,
        r"[^\n]{0,100}?inotify[^\n]{0,100}?",
        r"(?:No space left on device|Too many open files|limit reached)",
    ),
    _begins(Cause.DISK_FULL, r"ENOSPC: no space left on device|ENOSPC\b"),
    _begins(Cause.DISK_FULL, r"EDQUOT\b"),
    _within(Cause.DISK_FULL, r"database or disk is full|SQLITE_FULL|(?i:no space left on device)"),
    _within(Cause.DAMAGED, _DAMAGE),
    _within(Cause.DAMAGED, r"SQLITE_CORRUPT|SQLITE_NOTADB"),
    _within(Cause.DAMAGED, r"is quarantined after integrity verification failed"),
    _within(Cause.LOCKED, r"database (?:table )?is locked|SQLITE_BUSY|SQLITE_LOCKED"),
    _within(Cause.PERMISSION, r"attempt to write a readonly database|SQLITE_READONLY"),
    _within(Cause.TOO_LARGE, r"Cannot create a string longer than|Invalid string length"),
    _within(Cause.TOO_LARGE, r"(?:Map|Set) maximum size exceeded"),
    _within(Cause.TOO_LARGE, r"Invalid typed array length|Invalid array length"),
    _within(Cause.TOO_LARGE, r"File size \(\d{1,20}\) is greater than"),
    _within(Cause.NATIVE_MEMORY, r"Array buffer allocation failed|Cannot allocate memory"),
    _within(
        Cause.NATIVE_MEMORY,
        r"WebAssembly\.(?:instantiate|compile|Memory|Module|Table)\(\): "
        r"(?:Out of memory|could not allocate memory)",
    ),
    _begins(Cause.NATIVE_MEMORY, r"std::bad_alloc"),
    Text(
        Cause.INSTALLATION,
        re.compile(
            r"(?P<said>ENOENT: no such file or directory)"
            r"[^\n]{0,200}/node_modules/(?:openclaw|clawdbot|moltbot)/"
        ),
    ),
)
# Codes of errors, at the head of the message or beside it, that tell the cause.
CODES: dict[str, Cause] = {
    "ENOSPC": Cause.DISK_FULL,
    "EDQUOT": Cause.DISK_FULL,
    "SQLITE_FULL": Cause.DISK_FULL,
    "EMFILE": Cause.FILES_LIMIT,
    "ENFILE": Cause.FILES_LIMIT,
    "EACCES": Cause.PERMISSION,
    "EPERM": Cause.PERMISSION,
    "EROFS": Cause.PERMISSION,
    "SQLITE_READONLY": Cause.PERMISSION,
    "SQLITE_PERM": Cause.PERMISSION,
    "ENOMEM": Cause.NATIVE_MEMORY,
    "ERR_MEMORY_ALLOCATION_FAILED": Cause.NATIVE_MEMORY,
    "EADDRINUSE": Cause.PORT_IN_USE,
    "EADDRNOTAVAIL": Cause.ADDRESS,
    "SQLITE_BUSY": Cause.LOCKED,
    "SQLITE_LOCKED": Cause.LOCKED,
    "SQLITE_CORRUPT": Cause.DAMAGED,
    "SQLITE_NOTADB": Cause.DAMAGED,
    "ERR_STRING_TOO_LONG": Cause.TOO_LARGE,
    "ERR_FS_FILE_TOO_LARGE": Cause.TOO_LARGE,
    "ERR_BUFFER_TOO_LARGE": Cause.TOO_LARGE,
    "ERR_MODULE_NOT_FOUND": Cause.INSTALLATION,
    "MODULE_NOT_FOUND": Cause.INSTALLATION,
    "ERR_DLOPEN_FAILED": Cause.INSTALLATION,
    "ERR_PACKAGE_PATH_NOT_EXPORTED": Cause.INSTALLATION,
    "ERR_PACKAGE_IMPORT_NOT_DEFINED": Cause.INSTALLATION,
    "ERR_UNSUPPORTED_DIR_IMPORT": Cause.INSTALLATION,
    "ERR_UNKNOWN_BUILTIN_MODULE": Cause.INSTALLATION,
    "ERR_UNKNOWN_FILE_EXTENSION": Cause.INSTALLATION,
    "ERR_INVALID_PACKAGE_CONFIG": Cause.INSTALLATION,
    "ERR_INVALID_MODULE_SPECIFIER": Cause.INSTALLATION,
    "ERR_REQUIRE_ESM": Cause.INSTALLATION,
    "INVALID_CONFIG": Cause.CONFIG,
    "MISSING_API_KEY": Cause.CONFIG,
    "MISSING_CREDENTIALS": Cause.CONFIG,
}
# Classes of errors that OpenClaw throws for one cause.
NAMES: dict[str, Cause] = {
    "SecretRefResolutionError": Cause.CONFIG,
    "SecretProviderResolutionError": Cause.CONFIG,
    "GatewaySecretRefUnavailableError": Cause.CONFIG,
    "MissingEnvVarError": Cause.CONFIG,
    "ConfigIncludeError": Cause.CONFIG,
    "CircularIncludeError": Cause.CONFIG,
    "GatewayEffectiveConfigConflictError": Cause.CONFIG,
    "StartupMaintenanceRequiredError": Cause.MIGRATION,
    "SqliteSchemaVersionError": Cause.NEWER_SCHEMA,
    "OpenClawStateDatabaseSchemaMigrationRequiredError": Cause.MIGRATION,
    "OpenClawAgentDatabaseMediaMigrationRequiredError": Cause.MIGRATION,
    "OpenClawDatabaseSchemaPreflightError": Cause.MIGRATION,
}
# SQLite's result codes in `errcode` of `node:sqlite`; the low byte counts.
SQLITE_CODES: dict[int, str] = {
    3: "SQLITE_PERM",
    5: "SQLITE_BUSY",
    6: "SQLITE_LOCKED",
    8: "SQLITE_READONLY",
    10: "SQLITE_IOERR",
    11: "SQLITE_CORRUPT",
    13: "SQLITE_FULL",
    14: "SQLITE_CANTOPEN",
    19: "SQLITE_CONSTRAINT",
    26: "SQLITE_NOTADB",
}
# Codes of libuv and OpenClaw that are no numbers of errno, or not on every system.
MORE_CODES = (
    frozenset(
        {"ENOTFOUND", "EAI_AGAIN", "EAI_FAIL", "EAI_NONAME", "EAI_NODATA", "ECANCELED", "ECHARSET"}
    )
    | CODES.keys()
)
# Texts of errors without a code; they tell two errors of one class apart.
MESSAGES = re.compile(
    r"Maximum call stack size exceeded|Invalid string length|Invalid array length"
    r"|Invalid typed array length|Array buffer allocation failed|Invalid count value"
    r"|fetch failed|terminated|socket hang up|Cannot read properties of (?:undefined|null)"
    r"|Cannot set properties of (?:undefined|null)|CIAO (?:PROBING|ANNOUNCEMENT) CANCELLED"
    r"|Converting circular structure to JSON|Unexpected end of JSON input"
    r"|Unexpected token|Unexpected end of input|require is not defined|This operation was aborted"
    r"|unable to open database file|disk I/O error|no such (?:table|column)"
    r"|(?:UNIQUE|FOREIGN KEY|NOT NULL|CHECK) constraint failed|unexpected state: NoState"
    r"|Gateway closed during session projection startup|Gateway HTTP server failed to start"
    r"|Missing gateway HTTP server|tailscale DNS name missing"
    r"|Gateway shell environment fallback settings changed repeatedly during startup"
)
# `NAME` of a variable that is not set; a name is no secret.
VARIABLE = re.compile(
    r"(?:Environment variable|Missing env var|missing env var|variable) "
    r"\"(?P<name>[A-Z_][A-Z0-9_]{0,63})\""
)
