"""Endings that were reported in public, rebuilt with invented details: each has its class.

A console, a journal or a container engine dresses the same text in many ways; the class is
the same in all of them.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from tailflip.diagnose.deaths import classify
from tailflip.flow.lives import Cause, Clues

GC = (
    "<--- Last few GCs --->\n\n[77:0x5d1]  22512 ms: Mark-Compact 2295.0 (2381.9) -> 2287.4 "
    "(2385.1) MB, 812.11 ms\n\n<--- JS stacktrace --->\n\n"
)
HEAP = "Allocation failed - JavaScript heap out of memory\n"
START = "Gateway failed to start: "
THROWN = "[openclaw] Uncaught exception: "
REJECTED = "[openclaw] Unhandled promise rejection: "
FRAME = "    at write (node:fs:2426:20)"


class End(NamedTuple):
    """One ending: what it said, how it exited, its class, and what the evidence names."""

    text: str
    cause: Cause
    names: str = ""
    code: int | None = 1
    signal: int | None = None
    ready: bool = False
    other: int | None = None


def error(code: str, more: str = "") -> str:
    return f"{FRAME} {{\n{more}  code: '{code}'\n}}\n"


ENDS = {
    # --- V8 and memory
    "heap": End(
        f"{GC}FATAL ERROR: Ineffective mark-compacts near heap limit {HEAP}"
        "----- Native stack trace -----\n\n 1: 0xe40d24 node::OOMErrorHandler [node]\n",
        Cause.V8_HEAP,
        "Ineffective mark-compacts",
    ),
    "heap, cut in two": End(
        f"{GC}FATAL ERROR: Ineffective mark-compacts near heap limit\n{HEAP}",
        Cause.V8_HEAP,
        "Ineffective mark-compacts",
        None,
        6,
    ),
    "last resort": End(
        f"{GC}FATAL ERROR: CALL_AND_RETRY_LAST {HEAP}", Cause.V8_HEAP, "CALL_AND", None, 6
    ),
    "table": End(f"FATAL ERROR: invalid table size {HEAP}", Cause.V8_HEAP, "table size", None, 6),
    "older wording": End(
        "FATAL ERROR: invalid table size Allocation failed - process out of memory\n",
        Cause.V8_HEAP,
        "process out of memory",
        None,
        6,
    ),
    "zone": End(
        "#\n# Fatal process out of memory: Zone\n#\n", Cause.V8_HEAP, "memory: Zone", None, 5
    ),
    "invalid size": End(
        "#\n# Fatal error in , line 0\n# Fatal JavaScript invalid size error 169220804\n#\n",
        Cause.NATIVE_CRASH,
        "invalid size error",
        None,
        5,
    ),
    "dmesg -T": End(
        "[Thu Mar  5 08:23:05 2026] Out of memory: Killed process 77 (openclaw-gatewa)\n",
        Cause.KERNEL_OOM,
        "the kernel killed it",
        None,
        9,
    ),
    "kernel's journal": End(
        "kernel: Out of memory: Killed process 77 (openclaw)\n",
        Cause.KERNEL_OOM,
        "the kernel killed it",
        None,
        9,
    ),
    "killed in silence": End("", Cause.UNKNOWN, "want of memory", None, 9),
    "a shell says Killed": End(
        "/start.sh: line 12:    23 Killed                  node dist/index.js gateway\n",
        Cause.UNKNOWN,
        "want of memory",
        137,
    ),
    "a shell says Aborted": End(
        f"{GC}FATAL ERROR: Reached heap limit {HEAP}Aborted (core dumped)\n",
        Cause.V8_HEAP,
        "Reached heap limit",
        134,
    ),
    "bad_alloc": End(
        "terminate called after throwing an instance of 'std::bad_alloc'\n"
        "  what():  std::bad_alloc\n",
        Cause.NATIVE_MEMORY,
        "std::bad_alloc",
        None,
        6,
    ),
    "no memory to spawn": End(
        f"{THROWN}Error: spawn ENOMEM\n{FRAME}\n", Cause.NATIVE_MEMORY, "ENOMEM"
    ),
    "string length": End(
        f"{THROWN}RangeError: Invalid string length\n{FRAME}\n",
        Cause.TOO_LARGE,
        "RangeError: Invalid string length",
    ),
    "string too long": End(
        f"{THROWN}Error: Cannot create a string longer than 0x1fffffe8 characters\n"
        + error("ERR_STRING_TOO_LONG"),
        Cause.TOO_LARGE,
        "Cannot create a string longer than",
    ),
    "string too long in an import": End(
        f"{START}Error: Cannot create a string longer than 0x1fffffe8 characters\n",
        Cause.MIGRATION,
        "longer than",
        78,
    ),
    "call stack": End(
        f"{THROWN}RangeError: Maximum call stack size exceeded\n{FRAME}\n",
        Cause.UNKNOWN,
        "RangeError: Maximum call stack size exceeded",
    ),
    # --- configuration
    "secret": End(
        "[secrets] [SECRETS_RELOADER_DEGRADED] SecretRefResolutionError: Environment variable "
        f'"SOME_API_KEY" is missing or empty.\n{START}Error: Startup failed: required secrets are '
        'unavailable. SecretRefResolutionError: Environment variable "SOME_API_KEY" is missing\n',
        Cause.CONFIG,
        "variable SOME_API_KEY is not set",
    ),
    "secret's provider": End(
        f"{START}Error: Startup failed: required secrets are unavailable. "
        'SecretProviderResolutionError: Secret provider "store" is not configured.\n',
        Cause.CONFIG,
        "required secrets are unavailable",
    ),
    "origins": End(
        f"{START}Error: non-loopback Control UI requires gateway.controlUi.allowedOrigins (set)\n",
        Cause.CONFIG,
        "allowedOrigins",
    ),
    "tailscale and bind": End(
        f"{START}Error: tailscale serve/funnel requires gateway bind=loopback (127.0.0.1)\n",
        Cause.CONFIG,
        "tailscale",
    ),
    "no tailscaled": End(
        f"{START}Command failed with exit code 1: /opt/bin/tailscale serve status --json\n\n"
        "getting serve config: Failed to connect to local Tailscale daemon\n",
        Cause.UNKNOWN,
        "Gateway failed to start",
    ),
    "tailscale not up, exit 0": End(
        "[tailscale] serve failed: unexpected state: NoState\n"
        f"[shutdown] completed cleanly in 49ms\n{START}unexpected state: NoState.\n",
        Cause.UNKNOWN,
        "NoState",
        0,
    ),
    "configuration that needs a module": End(
        "Config invalid\nFile: ~/.openclaw/openclaw.json\nProblem:\n"
        "  - <root>: read failed: Error: Cannot find module '@some/node-sdk'\n\n"
        "Run: openclaw doctor --fix\n",
        Cause.INSTALLATION,
        "Cannot find module",
    ),
    "bad value": End(
        "Invalid config at /home/u/.openclaw/openclaw.json:\\n- models.a.input: Invalid input\n"
        "Config invalid\nFile: ~/.openclaw/openclaw.json\nProblem:\n"
        "  - models.providers.some.models.0.input.2: Invalid input\nRun: openclaw doctor --fix\n",
        Cause.CONFIG,
        "problem at models",
    ),
    "no JSON5": End(
        "Config invalid\nFile: ~/.openclaw/openclaw.json\nProblem:\n"
        "  - <root>: JSON5 parse failed: JSON5: invalid character '}' at 41:3\n\n",
        Cause.CONFIG,
        "<root>",
    ),
    "no mode": End(
        "Gateway start blocked: set gateway.mode=local (current: unset) or pass --allow\n",
        Cause.CONFIG,
        "Gateway start blocked",
    ),
    "variable": End(
        "Failed to read config at /home/u/.openclaw/openclaw.json MissingEnvVarError: Missing env "
        'var "SOME_PAT" referenced at config path: agents.list\n',
        Cause.CONFIG,
        "variable SOME_PAT is not set",
    ),
    "not allowed to write": End(
        f"{START}Error: EACCES: permission denied, open '/home/u/.openclaw/openclaw.json.7.tmp'\n",
        Cause.PERMISSION,
        "EACCES",
    ),
    "read-only": End(
        f"{START}Error: EROFS: read-only file system, mkdir '/home/u/.openclaw/logs'\n",
        Cause.PERMISSION,
        "EROFS",
    ),
    # --- installation
    "module of dist": End(
        "[openclaw] Failed to start CLI: Error [ERR_MODULE_NOT_FOUND]: Cannot find module "
        "'/home/u/lib/node_modules/openclaw/dist/server-chat-DVX.js' imported from /home/u/x.js\n"
        "    at finalizeResolution (node:internal/modules/esm/resolve:274:11)\n",
        Cause.INSTALLATION,
        "Cannot find module",
    ),
    "old path in the unit": End(
        "node:internal/modules/cjs/loader:1228\n  throw err;\n  ^\n\n"
        "Error: Cannot find module '/home/u/.nvm/v22.22.0/lib/node_modules/openclaw/dist/index.js'"
        "\n    at Function._resolveFilename (node:internal/modules/cjs/loader:1225:15) {\n"
        "  code: 'MODULE_NOT_FOUND',\n  requireStack: []\n}\n\nNode.js v22.22.0\n",
        Cause.INSTALLATION,
        "Cannot find module",
    ),
    "half an update": End(
        'file:///usr/lib/node_modules/openclaw/dist/run-main.js:3\nimport { a } from "./x.js";\n'
        "         ^\nSyntaxError: The requested module './x.js' does not provide an export named "
        "'a'\n    at ModuleJob._instantiate (node:internal/modules/esm/module_job:180:21)\n",
        Cause.INSTALLATION,
        "does not provide an export named",
    ),
    "source cut off": End(
        "file:///usr/lib/node_modules/openclaw/dist/run-main.js:903\n\n\nSyntaxError: Unexpected "
        "end of input\n    at compileSourceTextModule (node:internal/modules/esm/utils:346:16)\n",
        Cause.INSTALLATION,
        "SyntaxError",
    ),
    "file of the package": End(
        f"{START}Error: ENOENT: no such file or directory, open "
        "'/usr/lib/node_modules/openclaw/dist/control-ui/index.html'\n",
        Cause.INSTALLATION,
        "ENOENT",
    ),
    "SQLite of node": End(
        "[openclaw] Could not start the CLI.\n[openclaw] Reason: SQLite support is unavailable or "
        "unsafe in this Node runtime. OpenClaw requires SQLite 3.51.3+.\n",
        Cause.INSTALLATION,
        "SQLite support",
    ),
    "ABI": End(
        "[openclaw] Failed to start CLI: Error: The module '/x/better_sqlite3.node'\nwas compiled "
        "against a different Node.js version using\nNODE_MODULE_VERSION 127. This version requires"
        f"\nNODE_MODULE_VERSION 137.\n{error('ERR_DLOPEN_FAILED')}",
        Cause.INSTALLATION,
        "compiled against a different Node.js",
    ),
    "GLIBC": End(
        "/usr/local/bin/node: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found "
        "(required by /usr/local/bin/node)\n",
        Cause.INSTALLATION,
        "GLIBC_2.38",
    ),
    "dyld": End(
        "dyld[123]: Library not loaded: @rpath/libnode.127.dylib\n",
        Cause.INSTALLATION,
        "Library not loaded",
        None,
        6,
    ),
    "no JSON": End(
        f"{THROWN}SyntaxError: Unexpected token 'x', \"xx\" is not valid JSON\n"
        "    at JSON.parse (<anonymous>)\n    at wrapSafe (node:internal/modules/cjs/loader:1:1)\n",
        Cause.UNKNOWN,
        "SyntaxError: Unexpected token",
    ),
    "musl": End(
        "Error loading shared library libstdc++.so.6: No such file or directory "
        "(needed by /usr/local/bin/node)\n",
        Cause.INSTALLATION,
        "shared library",
        127,
    ),
    "no node": End(
        "/usr/bin/env: 'node': No such file or directory\n", Cause.INSTALLATION, "node", 127
    ),
    "no node, dash": End("/bin/sh: 1: node: not found\n", Cause.INSTALLATION, "node", 127),
    "not executable": End("", Cause.INSTALLATION, "found no program", 126),
    "systemd found nothing": End("", Cause.INSTALLATION, "found no program", 203),
    "bad option": End(
        "/usr/bin/node: bad option: --max-old-space-size-percent=50\n",
        Cause.CONFIG,
        "bad option",
        9,
    ),
    "NODE_OPTIONS": End(
        "/usr/bin/node: --expose-gc is not allowed in NODE_OPTIONS\n",
        Cause.CONFIG,
        "not allowed in NODE_OPTIONS",
        9,
    ),
    "assertion of node": End(
        "node:internal/assert:11\n    throw new ERR_INTERNAL_ASSERTION(message);\n          ^\n\n"
        "Error [ERR_INTERNAL_ASSERTION]: This is caused by either a bug in Node.js\n"
        "  code: 'ERR_INTERNAL_ASSERTION'\n}\n\nNode.js v22.22.3\n",
        Cause.UNKNOWN,
        "Error: ERR_INTERNAL_ASSERTION",
    ),
    # --- state
    "schema": End(
        f"{START}OpenClaw agent database /x/openclaw-agent.sqlite uses schema version 14; run "
        "openclaw doctor --fix to migrate persisted media before using it.\n",
        Cause.MIGRATION,
        "uses schema version",
    ),
    "approvals": End(
        f"{START}Legacy exec approvals exist at /home/u/.openclaw/exec-approvals.json. Run it\n",
        Cause.MIGRATION,
        "exec approvals",
        78,
    ),
    "source changed": End(
        f"{START}Retained session migration source changed: /home/u/sessions.json. Resolve it\n",
        Cause.MIGRATION,
        "source changed",
        78,
    ),
    "whatever asks for doctor": End(
        f"{START}The frobnication ledger is stale. Stop the Gateway and run openclaw doctor --fix."
        "\n",
        Cause.MIGRATION,
        "doctor --fix",
        78,
    ),
    "locked": End(f"{START}Error: database is locked\n", Cause.LOCKED, "database is locked"),
    "locked later": End(
        f"{THROWN}Error: database is locked\n" + error("ERR_SQLITE_ERROR", "  errcode: 5,\n"),
        Cause.LOCKED,
        "database is locked",
        ready=True,
    ),
    "malformed": End(
        f"{THROWN}Error: database disk image is malformed\n"
        + error("ERR_SQLITE_ERROR", "  errcode: 11,\n"),
        Cause.DAMAGED,
        "malformed",
        ready=True,
    ),
    "no database": End(
        f"{START}Error: file is not a database\n", Cause.DAMAGED, "file is not a database"
    ),
    "corrupt, by its number": End(
        f"{THROWN}Error: x\n  code: 'ERR_SQLITE_ERROR',\n  errcode: 267,\n",
        Cause.DAMAGED,
        "SQLITE_CORRUPT",
    ),
    # --- resources
    "SQLite full": End(
        f"{THROWN}Error: database or disk is full\n  code: 'ERR_SQLITE_ERROR',\n  errcode: 13\n",
        Cause.DISK_FULL,
        "database or disk is full",
        ready=True,
    ),
    "disk full": End(
        f"{THROWN}Error: ENOSPC: no space left on device, write\n"
        + error("ENOSPC", "  errno: -28,\n"),
        Cause.DISK_FULL,
        "no space left on device",
        ready=True,
    ),
    "quota": End(f"{THROWN}Error: EDQUOT: disk quota exceeded, write\n", Cause.DISK_FULL, "EDQUOT"),
    "watches": End(
        f"{THROWN}Error: ENOSPC: System limit for number of file watchers reached, watch "
        f"'/home/u/x'\n{error('ENOSPC')}",
        Cause.WATCH_LIMIT,
        "file watchers",
        ready=True,
    ),
    "files": End(
        f"{REJECTED}Error: EMFILE: too many open files, watch '/home/u/MEMORY.md'\n{FRAME}\n",
        Cause.FILES_LIMIT,
        "EMFILE",
        ready=True,
    ),
    "busy": End(
        f"{THROWN}Error: EBUSY: resource busy or locked, open '/home/u/a.jsonl'\n{FRAME}\n",
        Cause.UNKNOWN,
        "Error: EBUSY",
        ready=True,
    ),
    # --- network and JavaScript
    "no error at all": End(
        f"{REJECTED}CIAO PROBING CANCELLED\n", Cause.UNKNOWN, "CIAO PROBING", ready=True
    ),
    "fetch": End(
        "[clawdbot] Unhandled promise rejection: TypeError: fetch failed\n"
        "    at node:internal/deps/undici/undici:15845:13\n",
        Cause.UNKNOWN,
        "TypeError: fetch failed",
        ready=True,
    ),
    "undefined": End(
        f"{REJECTED}TypeError: Cannot read properties of undefined (reading 'error')\n{FRAME}\n",
        Cause.UNKNOWN,
        "TypeError",
        ready=True,
    ),
    "since 2026.5.28": End(
        "[openclaw] OpenClaw hit an unexpected runtime error.\n[openclaw] Reason: write EPIPE\n"
        "[openclaw] Debug: set OPENCLAW_DEBUG=1 to include the stack trace.\n",
        Cause.UNKNOWN,
        "EPIPE",
        ready=True,
    ),
    "since 2026.5.28, disk full": End(
        "[openclaw] OpenClaw hit an unexpected runtime error.\n"
        "[openclaw] Reason: ENOSPC: no space left on device, write\n"
        "[openclaw] Debug: set OPENCLAW_DEBUG=1 to include the stack trace.\n"
        "[openclaw] Try: openclaw doctor\n[openclaw] Help: openclaw --help\n",
        Cause.DISK_FULL,
        "ENOSPC",
        ready=True,
    ),
    "pipe": End(f"{THROWN}Error: write EPIPE\n{FRAME}\n", Cause.UNKNOWN, "EPIPE", ready=True),
    "twin": End(
        f"{START}gateway already running (pid 4121); lock timeout after 5000ms\n"
        "Port 18789 is already in use.\n- pid 4121 u: openclaw-gateway (127.0.0.1:18789)\n",
        Cause.OTHER_INSTANCE,
        "pid 4121 lives there",
        other=4121,
    ),
    "twin under launchd": End(
        "[gateway] already running under launchd; existing gateway is healthy, exiting with 78\n",
        Cause.OTHER_INSTANCE,
        "already running",
        78,
    ),
    "twin in control": End(
        "[gateway] gateway already running under launchd; existing gateway is healthy, leaving\n",
        Cause.OTHER_INSTANCE,
        "already running",
        0,
    ),
    "port": End(
        "Error: listen EADDRINUSE: address already in use ::1:18789\n" + error("EADDRINUSE"),
        Cause.PORT_IN_USE,
        "EADDRINUSE",
    ),
    "address": End(
        f"{START}Error: failed to bind gateway socket on ws://100.64.0.7:18789: Error: listen "
        "EADDRNOTAVAIL: address not available 100.64.0.7:18789\n",
        Cause.ADDRESS,
        "EADDRNOTAVAIL",
    ),
    "SIGILL": End("", Cause.NATIVE_CRASH, "SIGILL", None, 4),
    "SIGSEGV": End("[gateway] ready\n", Cause.NATIVE_CRASH, "SIGSEGV", None, 11, ready=True),
    "a shell says 139": End(
        "Segmentation fault (core dumped)\n", Cause.NATIVE_CRASH, "SIGSEGV", 139
    ),
    "libuv": End(
        "node: ../deps/uv/src/unix/core.c:896: uv__io_stop: Assertion `x == w' failed.\n",
        Cause.NATIVE_CRASH,
        "SIGABRT",
        None,
        6,
    ),
    "restarts itself": End(
        "[gateway] received SIGUSR1; restarting\n"
        "[gateway] restart mode: full process restart (spawned pid 412)\n",
        Cause.PLANNED_RESTART,
        "full process restart",
        0,
    ),
    "restarts by its supervisor": End(
        "[gateway] restart mode: full process restart (supervisor restart)\n",
        Cause.PLANNED_RESTART,
        "full process restart",
        0,
    ),
    "exit 0 in silence": End("", Cause.ENDED, "nothing says", 0, ready=True),
    "exit 0 after a clean end": End(
        "[gateway] gmail watcher stopped\n[shutdown] completed cleanly in 120ms\n",
        Cause.ENDED,
        "nothing says",
        0,
        ready=True,
    ),
}


def _each_line(text: str, dress: str) -> str:
    return "".join(f"{dress}{line}\n" for line in text.splitlines())


def _as_json(text: str, key: str) -> str:
    return json.dumps({"time": "2026-11-28T17:41:43.461Z", "level": "error", key: text}) + "\n"


STYLES = {
    "plain": lambda text: text,
    "ISO": lambda text: _each_line(text, "2026-11-28T17:41:43.461+00:00 "),
    "time": lambda text: _each_line(text, "17:41:43 "),
    "time in grey": lambda text: _each_line(text, "\x1b[90m17:41:43\x1b[39m \x1b[31m"),
    "emoji": lambda text: _each_line(text, "\U0001f99e "),
    "old name": lambda text: text.replace("[openclaw]", "[moltbot]"),
    "json, message": lambda text: _as_json(text, "message"),
    "json, msg": lambda text: _as_json(text, "msg"),
    "syslog": lambda text: _each_line(text, "Nov 28 17:41:43 host openclaw[123]: "),
    "journal, ISO": lambda text: _each_line(text, "2026-11-28T17:41:43+0000 host node[123]: "),
    "compose": lambda text: _each_line(text, "openclaw-1  | "),
    "compose, time": lambda text: _each_line(text, "gateway_1 | 17:41:43 "),
    "terminal": lambda text: text.replace("\n", "\r\n"),
}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", ENDS)
def test_an_ending_has_its_class_in_every_dress(name, style):
    end = ENDS[name]
    death = classify(
        Clues(
            exit_code=end.code,
            signal=end.signal,
            stderr_tail=STYLES[style](end.text),
            was_ready=end.ready,
            other_pid=end.other,
        )
    )
    assert death.cause is end.cause, death
    assert end.names in "; ".join(death.evidence)


@pytest.mark.parametrize("name", ENDS)
def test_what_is_quoted_stood_there(name):
    end = ENDS[name]
    death = classify(
        Clues(exit_code=end.code, signal=end.signal, stderr_tail=end.text, was_ready=end.ready)
    )
    spoken = " ".join(end.text.split())
    for item in death.evidence:
        said = item.removeprefix("stderr: ")
        # Names of SQLite's numbers, and a shell's word with its meaning, are no quotations.
        if said != item and not re.search(r"SQLITE_|as a shell says|it asks for", said):
            assert all(part in spoken for part in said.split(": ")), item


PLAIN_WORDS = [name for name, end in ENDS.items() if end.code == 1 and end.text]


@pytest.mark.parametrize("name", PLAIN_WORDS)
def test_after_plain_words_nobody_guesses_at_the_kernel(name):
    end = ENDS[name]
    death = classify(Clues(exit_code=1, stderr_tail=end.text, was_ready=end.ready))
    assert "cgroup" not in "; ".join(death.evidence)


def test_two_errors_of_one_class_have_two_signatures():
    texts = ("call stack", "string length", "fetch", "undefined", "busy", "pipe")
    signatures = {
        classify(Clues(exit_code=1, stderr_tail=ENDS[name].text)).signature for name in texts
    }
    assert len(signatures) == len(texts)


@pytest.mark.parametrize(
    "text",
    [
        f"[telegram] FATAL ERROR: Reached heap limit {HEAP}",
        "[whatsapp] Error: ENOSPC: no space left on device\n",
        "[slack] Out of memory: Killed process 1\n",
        "[discord] they said Gateway failed to start: database is locked\n",
        json.dumps({"subsystem": "telegram", "message": f"FATAL ERROR: Reached heap limit {HEAP}"}),
        "[telegram] terminate called after throwing an instance of 'std::bad_alloc'\n",
    ],
)
def test_what_somebody_chats_is_no_last_word(text):
    death = classify(Clues(exit_code=1, stderr_tail=text, was_ready=True))
    assert death.cause is Cause.UNKNOWN
    assert "stderr: " not in "; ".join(death.evidence)


FAILED_STARTS = json.loads(
    (Path(__file__).parents[2] / "data" / "failed_starts.json").read_text("utf-8")
)


@pytest.mark.parametrize("start", FAILED_STARTS, ids=lambda start: start["text"][:60])
def test_what_the_releases_print_on_a_failed_start_has_its_class(start):
    """The texts stand in the packages that `releases` names; files and values are invented."""
    death = classify(Clues(exit_code=start["exit"], stderr_tail=start["text"]))
    assert death.cause == start["cause"], death
    assert start["releases"]
    assert any(item.startswith("stderr: ") for item in death.evidence)
