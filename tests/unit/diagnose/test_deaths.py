"""One verdict per end of a gateway, from texts that real gateways printed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tailflip.diagnose.causes import choose_step
from tailflip.diagnose.deaths import classify
from tailflip.flow.lives import Asked, Cause, Clues, Confidence, StoreNeed

PROVEN, LIKELY, GUESS = Confidence.PROVEN, Confidence.LIKELY, Confidence.GUESS
ABRT, KILL, SEGV, TERM = 6, 9, 11, 15
NEED = StoreNeed(4_000_000_000, 2_000_000_000, measured=True, was_compacted=False)

STAMP = "2026-11-21T16:06:08.220+00:00 "
CHAT = "[telegram] message from +4915112345678: token sk-live-SECRET, see you at eight\n"
HEAP = """
<--- Last few GCs --->

[1418:0x28573000]    18406 ms: Mark-Compact 2295.0 (2381.9) -> 2287.4 (2390.5) MB, 110.87 / 0.00

FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory
----- Native stack trace -----

 1: 0x931db0  [/usr/bin/node]
 2: 0x75968e node::OOMErrorHandler(char const*, v8::OOMDetails const&) [/usr/bin/node]
10: 0x1addd09  [/usr/bin/node]
"""
INEFFECTIVE = HEAP.replace("Reached heap limit", "Ineffective mark-compacts near heap limit")
BAD_KEY = """Config invalid
File: /srv/openclaw.json
Problem:
  - gateway: Unrecognized key: "bogus"
  - channels.whatsapp.accounts.4915112345678: Invalid input, got sk-live-SECRET

Run: openclaw doctor --fix
"""
NO_MODE = (
    STAMP + "Gateway start blocked: existing config is missing gateway.mode. Treat this as "
    "suspicious or clobbered config.\n" + STAMP + "Config write audit: /srv/logs/audit.jsonl\n"
)
NO_AUTH = (
    STAMP + "[gateway] auth mode=none explicitly configured\n"
    "Refusing to bind gateway to lan without auth.\nSet gateway.auth.token/password\n"
)
PORT_3_28 = (
    STAMP + "Gateway failed to start: another gateway instance is already listening on "
    "ws://127.0.0.1:28999\nIf the gateway is supervised, stop it with: openclaw gateway stop\n"
    + STAMP
    + "Port 28999 is already in use.\n"
    + STAMP
    + "- pid 30114 root: python3\n"
)
PORT_4_14 = PORT_3_28.replace(
    "ws://127.0.0.1:28999", "ws://127.0.0.1:28999 | listen EADDRINUSE: address already in use"
)
TWIN = "Gateway failed to start: gateway already running (pid 4711); lock timeout after 5000ms\n"
TWIN_WAITS = "[gateway] gateway already running under systemd; waiting 5000ms before retrying\n"
LOCK = "Gateway failed to start: GatewayLockError: failed to acquire gateway lock at /tmp/x.lock\n"
LEGACY = (
    "Gateway failed to start: Legacy session store requires migration: /srv/sessions.json.\n"
    'Run "openclaw doctor --fix" against the same state/config before starting OpenClaw.\n'
)
NEWER = "OpenClaw state database /srv/openclaw.sqlite uses newer schema version 23\n"
TYPE_ERROR = """[openclaw] Uncaught exception: TypeError: sk-live-SECRET is not a function
    at x (file:///srv/dist/a.js:1:2)
"""
NO_MODULE = """node:internal/modules/cjs/loader:1568
  throw err;
  ^

Error: Cannot find module '/srv/SECRET.mjs'
    at Module._load (node:internal/modules/cjs/loader:1341:5) {
  code: 'MODULE_NOT_FOUND',
  requireStack: []
}

Node.js v24.21.0
"""
PAIRING = "Error: pairing required\n  code: 'SECRETQX7'\n"
WORKER = """Error [ERR_WORKER_OUT_OF_MEMORY]: Worker terminated due to reaching memory limit
    at [kOnExit] (node:internal/worker:398:26) {
  code: 'ERR_WORKER_OUT_OF_MEMORY'
}
"""
NOISE = "".join(f"[ws] client {n} connected\n" for n in range(100))
TIMED_OUT = "[gateway] signal SIGTERM received\n[gateway] shutdown timed out; exiting without\n"

TABLE = {
    # the heap
    "one process": (Clues(signal=ABRT, stderr_tail=HEAP), Cause.V8_HEAP, PROVEN),
    "shell": (Clues(exit_code=134, stderr_tail=HEAP), Cause.V8_HEAP, PROVEN),
    "wrapper": (Clues(exit_code=1, stderr_tail=CHAT + HEAP), Cause.V8_HEAP, PROVEN),
    "4.14": (Clues(exit_code=1, stderr_tail=INEFFECTIVE), Cause.V8_HEAP, PROVEN),
    "before it answered": (
        Clues(exit_code=1, was_ready=False, uptime_s=3, stderr_tail=HEAP),
        Cause.V8_HEAP,
        PROVEN,
    ),
    "sigtrap": (Clues(signal=5, stderr_tail=HEAP), Cause.V8_HEAP, PROVEN),
    "children wrote on": (
        Clues(exit_code=1, stderr_tail=HEAP + CHAT * 5),
        Cause.V8_HEAP,
        LIKELY,
    ),
    "bad reload, then the heap": (
        Clues(exit_code=1, was_ready=True, stderr_tail=BAD_KEY + HEAP),
        Cause.V8_HEAP,
        PROVEN,
    ),
    "in colour": (
        Clues(exit_code=1, stderr_tail="\x1b[31m" + STAMP + "\x1b[1m" + TWIN),
        Cause.OTHER_INSTANCE,
        PROVEN,
    ),
    "heap, and twenty lines of children": (
        Clues(exit_code=1, stderr_tail=HEAP + CHAT * 20),
        Cause.V8_HEAP,
        LIKELY,
    ),
    "heap, and one line more": (
        Clues(exit_code=1, stderr_tail=HEAP + CHAT * 21),
        Cause.UNKNOWN,
        GUESS,
    ),
    "journal only": (Clues(stderr_tail=HEAP), Cause.V8_HEAP, LIKELY),
    "child's heap, much later exit 1": (
        Clues(exit_code=1, stderr_tail=HEAP + NOISE),
        Cause.UNKNOWN,
        GUESS,
    ),
    "child's heap, then stopped": (
        Clues(exit_code=0, stderr_tail=HEAP),
        Cause.ENDED,
        LIKELY,
    ),
    "child's heap, then port in use": (
        Clues(exit_code=1, stderr_tail=HEAP + PORT_3_28),
        Cause.PORT_IN_USE,
        PROVEN,
    ),
    "somebody chats of it": (
        Clues(exit_code=1, stderr_tail="[chat] FATAL ERROR: JavaScript heap out of memory\n"),
        Cause.UNKNOWN,
        GUESS,
    ),
    "report": (Clues(exit_code=1, heap_report="OOMError"), Cause.V8_HEAP, PROVEN),
    "other report": (Clues(exit_code=1, heap_report="Exception"), Cause.UNKNOWN, GUESS),
    "worker thread": (Clues(exit_code=1, stderr_tail=WORKER), Cause.V8_HEAP, LIKELY),
    "abort, no stderr": (Clues(signal=ABRT), Cause.V8_HEAP, GUESS),
    # the kernel
    "cgroup": (Clues(signal=KILL, oom_kills=1), Cause.CGROUP_OOM, PROVEN),
    "cgroup, container": (Clues(exit_code=137, oom_kills=1), Cause.CGROUP_OOM, PROVEN),
    "cgroup, wrapper": (
        Clues(exit_code=1, oom_kills=1, stderr_tail=CHAT),
        Cause.CGROUP_OOM,
        LIKELY,
    ),
    "cgroup, but it spoke": (
        Clues(exit_code=1, oom_kills=1, stderr_tail=TYPE_ERROR),
        Cause.UNKNOWN,
        GUESS,
    ),
    "cgroup, but it refused": (
        Clues(exit_code=1, oom_kills=1, stderr_tail=BAD_KEY),
        Cause.CONFIG,
        PROVEN,
    ),
    "cgroup took a child": (Clues(exit_code=0, oom_kills=3), Cause.ENDED, LIKELY),
    "cgroup took a child, 78": (
        Clues(exit_code=78, oom_kills=3, stderr_tail=LEGACY),
        Cause.MIGRATION,
        PROVEN,
    ),
    "killed, not counted": (Clues(signal=KILL, oom_kills=0), Cause.UNKNOWN, GUESS),
    "killed, no counter": (Clues(signal=KILL), Cause.UNKNOWN, GUESS),
    "oomd": (Clues(signal=KILL, oomd=True), Cause.OOMD, PROVEN),
    "oomd, wrapper": (Clues(exit_code=1, oomd=True), Cause.OOMD, LIKELY),
    "kernel's log": (
        Clues(signal=KILL, stderr_tail="kernel: Out of memory: Killed process 4711 (openclaw)\n"),
        Cause.KERNEL_OOM,
        PROVEN,
    ),
    "unit's log": (
        Clues(
            signal=KILL,
            stderr_tail="x.service: A process of this unit has been killed by the OOM killer.\n",
        ),
        Cause.KERNEL_OOM,
        PROVEN,
    ),
    # refusals
    "bad key": (Clues(exit_code=1, stderr_tail=BAD_KEY), Cause.CONFIG, PROVEN),
    "no mode": (Clues(exit_code=78, stderr_tail=NO_MODE), Cause.CONFIG, PROVEN),
    "no auth": (Clues(exit_code=78, stderr_tail=NO_AUTH), Cause.CONFIG, PROVEN),
    "many problems": (
        Clues(exit_code=1, stderr_tail="Config invalid\n" + "  - a.b: bad\n" * 50),
        Cause.CONFIG,
        PROVEN,
    ),
    "78 without a word": (Clues(exit_code=78), Cause.CONFIG, GUESS),
    "78 beside another": (Clues(exit_code=78, other_pid=9), Cause.OTHER_INSTANCE, LIKELY),
    "bad reload, then killed": (
        Clues(exit_code=1, was_ready=True, stderr_tail=BAD_KEY + NOISE[:600]),
        Cause.UNKNOWN,
        GUESS,
    ),
    "bad reload, then the cgroup": (
        Clues(exit_code=1, was_ready=True, oom_kills=1, stderr_tail=BAD_KEY),
        Cause.CGROUP_OOM,
        LIKELY,
    ),
    "refused in a restart in-process": (
        Clues(exit_code=1, was_ready=True, stderr_tail=BAD_KEY),
        Cause.CONFIG,
        LIKELY,
    ),
    "bad reload, then stopped": (
        Clues(exit_code=0, was_ready=True, stderr_tail=BAD_KEY),
        Cause.ENDED,
        LIKELY,
    ),
    "legacy store": (Clues(exit_code=78, stderr_tail=LEGACY), Cause.MIGRATION, PROVEN),
    "newer schema": (Clues(exit_code=78, stderr_tail=NEWER), Cause.NEWER_SCHEMA, PROVEN),
    "newer schema, wrapper": (Clues(exit_code=1, stderr_tail=NEWER), Cause.NEWER_SCHEMA, PROVEN),
    "twin 3.28": (Clues(exit_code=1, stderr_tail=TWIN), Cause.OTHER_INSTANCE, PROVEN),
    "twin 4.14": (Clues(exit_code=0, stderr_tail=TWIN), Cause.OTHER_INSTANCE, PROVEN),
    "twin by port": (
        Clues(exit_code=0, stderr_tail=PORT_4_14, other_pid=4711),
        Cause.OTHER_INSTANCE,
        PROVEN,
    ),
    "twin by port, its answers taken for ours": (
        Clues(exit_code=0, was_ready=True, stderr_tail=PORT_4_14, other_pid=4711),
        Cause.OTHER_INSTANCE,
        LIKELY,
    ),
    "waited for a twin, then crashed": (
        Clues(signal=SEGV, stderr_tail=TWIN_WAITS),
        Cause.NATIVE_CRASH,
        PROVEN,
    ),
    "waited for a twin, then exit 1": (
        Clues(exit_code=1, stderr_tail=TWIN_WAITS),
        Cause.UNKNOWN,
        GUESS,
    ),
    "port 3.28": (Clues(exit_code=1, stderr_tail=PORT_3_28), Cause.PORT_IN_USE, PROVEN),
    "port 4.14": (Clues(exit_code=0, stderr_tail=PORT_4_14), Cause.PORT_IN_USE, PROVEN),
    "lock": (Clues(exit_code=1, stderr_tail=LOCK), Cause.LOCKED, PROVEN),
    "database lock": (
        Clues(exit_code=1, stderr_tail="Gateway failed to start: Error: database is locked\n"),
        Cause.LOCKED,
        PROVEN,
    ),
    # codes that mean one thing
    "update": (Clues(exit_code=75), Cause.UPDATE, LIKELY),
    "parked": (Clues(exit_code=79), Cause.PARKED, LIKELY),
    # crashes
    "segv": (Clues(signal=SEGV, stderr_tail=CHAT), Cause.NATIVE_CRASH, PROVEN),
    "segv, shell": (Clues(exit_code=139), Cause.NATIVE_CRASH, LIKELY),
    "abort, no heap": (Clues(signal=ABRT, stderr_tail=CHAT), Cause.NATIVE_CRASH, PROVEN),
    "v8 check": (
        Clues(exit_code=1, stderr_tail="FATAL ERROR: v8::ToLocalChecked Empty MaybeLocal\n"),
        Cause.NATIVE_CRASH,
        LIKELY,
    ),
    # asked
    "hang": (Clues(signal=KILL, asked=Asked.HANG), Cause.HANG, PROVEN),
    "hang of the heap": (
        Clues(signal=KILL, asked=Asked.HANG, stderr_tail=HEAP),
        Cause.V8_HEAP,
        PROVEN,
    ),
    "restart by us": (
        Clues(exit_code=0, asked=Asked.MEMORY),
        Cause.PLANNED_RESTART,
        PROVEN,
    ),
    "operator": (Clues(exit_code=0, asked=Asked.OPERATOR), Cause.ASKED_STOP, PROVEN),
    "operator, while it dies": (
        Clues(signal=ABRT, asked=Asked.OPERATOR, stderr_tail=HEAP),
        Cause.ASKED_STOP,
        PROVEN,
    ),
    "hand-off": (Clues(exit_code=0, handed_off=True), Cause.PLANNED_RESTART, PROVEN),
    "hand-off, then a crash": (
        Clues(signal=SEGV, handed_off=True, stderr_tail=CHAT),
        Cause.NATIVE_CRASH,
        PROVEN,
    ),
    "said that it restarts": (
        Clues(exit_code=0, stderr_tail="restart mode: full process restart (supervisor restart)"),
        Cause.PLANNED_RESTART,
        LIKELY,
    ),
    "exit 0": (Clues(exit_code=0), Cause.ENDED, LIKELY),
    "sigterm": (Clues(signal=TERM), Cause.ENDED, LIKELY),
    "143": (Clues(exit_code=143), Cause.ENDED, LIKELY),
    "it says who stopped it": (
        Clues(exit_code=0, stderr_tail=STAMP + "[gateway] signal SIGTERM received; shutting down"),
        Cause.ASKED_STOP,
        LIKELY,
    ),
    "stopped too slowly": (Clues(exit_code=1, stderr_tail=TIMED_OUT), Cause.ASKED_STOP, LIKELY),
    "restarted too slowly": (
        Clues(exit_code=1, stderr_tail=TIMED_OUT.replace("TERM", "USR1")),
        Cause.PLANNED_RESTART,
        LIKELY,
    ),
    # what its stores needed speaks for an end that nothing else explains
    "stores over": (Clues(need=NEED), Cause.V8_HEAP, LIKELY),
    "stores over, exit 1": (Clues(exit_code=1, need=NEED), Cause.V8_HEAP, LIKELY),
    "stores over, not measured": (Clues(need=replace(NEED, measured=False)), Cause.V8_HEAP, GUESS),
    "stores over, an error": (
        Clues(exit_code=1, stderr_tail=TYPE_ERROR, need=NEED),
        Cause.UNKNOWN,
        GUESS,
    ),
    "stores over, asked": (Clues(asked=Asked.OPERATOR, need=NEED), Cause.ASKED_STOP, PROVEN),
    # nothing to go by
    "nothing": (Clues(), Cause.UNKNOWN, GUESS),
    "exit 1": (Clues(exit_code=1), Cause.UNKNOWN, GUESS),
    "exit 1, chat": (Clues(exit_code=1, stderr_tail=CHAT), Cause.UNKNOWN, GUESS),
    "type error": (Clues(exit_code=1, stderr_tail=TYPE_ERROR), Cause.UNKNOWN, GUESS),
    "odd signal": (Clues(signal=250), Cause.UNKNOWN, GUESS),
}


@pytest.mark.parametrize("name", TABLE)
def test_every_end_has_its_cause_and_its_confidence(name):
    clues, cause, confidence = TABLE[name]
    death = classify(clues)
    assert (death.cause, death.confidence) == (cause, confidence), death
    assert death.evidence
    assert all(death.evidence)


@pytest.mark.parametrize("name", TABLE)
def test_no_verdict_repeats_what_people_wrote(name):
    told = str(classify(TABLE[name][0]))
    assert "SECRET" not in told
    assert "+49" not in told
    assert "4915112345678" not in told


def test_the_evidence_names_the_proof():
    death = classify(
        Clues(
            exit_code=1,
            stderr_tail=HEAP,
            peak_rss_bytes=2_800_000_000,
            heap_limit_bytes=2_348_810_240,
        )
    )
    assert death.evidence == (
        "exit 1",
        "stderr: FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
        "peak memory 2.8 GB, heap limit 2.3 GB",
    )


@pytest.mark.parametrize(
    ("clues", "evidence"),
    [
        (Clues(signal=KILL), "no cgroup counter was seen"),
        (Clues(signal=KILL, oom_kills=0), "did not grow"),
        (Clues(exit_code=1), "no stderr was seen"),
        (Clues(exit_code=1, stderr_tail=CHAT), "no known text on stderr"),
        (Clues(exit_code=1, stderr_tail=TYPE_ERROR), "stderr: TypeError"),
        (Clues(exit_code=1, stderr_tail=NO_MODULE), "stderr: Cannot find module"),
        (Clues(exit_code=78), "no known text"),
        (Clues(exit_code=1, stderr_tail=BAD_KEY), "problem at gateway.bogus"),
        (Clues(exit_code=1, stderr_tail=BAD_KEY), "channels.whatsapp.accounts.#"),
        (Clues(exit_code=0, stderr_tail=PORT_4_14, other_pid=4711), "pid 4711 lives there"),
        (Clues(exit_code=139), "exit 139 (SIGSEGV)"),
    ],
)
def test_what_was_seen_and_what_is_missing_is_said(clues, evidence):
    assert evidence in "; ".join(classify(clues).evidence)


def test_an_error_of_its_own_needs_no_cgroup_to_explain_it():
    told = "; ".join(classify(Clues(exit_code=1, stderr_tail=TYPE_ERROR)).evidence)
    assert "cgroup" not in told


def test_a_pairing_code_is_not_taken_for_an_error_code():
    assert classify(Clues(exit_code=1, stderr_tail=PAIRING)).signature == "unknown exit 1: Error"


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (HEAP, INEFFECTIVE, True),
        (TWIN, TWIN.replace("4711", "99"), True),
        (PORT_3_28, PORT_3_28.replace("28999", "18789"), True),
        (TYPE_ERROR, TYPE_ERROR.replace("SECRET", "OTHER"), True),
        (TYPE_ERROR, NO_MODULE, False),
        (BAD_KEY, NO_MODE, False),
        (HEAP, TYPE_ERROR, False),
    ],
)
def test_a_signature_keeps_the_kind_and_drops_what_varies(first, second, same):
    signatures = {
        classify(Clues(exit_code=1, stderr_tail=text)).signature for text in (first, second)
    }
    assert (len(signatures) == 1) is same


def test_the_wrapper_changes_no_signature():
    """A service unit starts one process, a terminal two: the loop is the same loop."""
    one = classify(Clues(signal=ABRT, stderr_tail=HEAP))
    two = classify(Clues(exit_code=1, stderr_tail=HEAP))
    assert one.signature == two.signature == "v8-heap-oom"


def test_a_damaged_database_explains_what_the_gateway_says_nothing_of():
    clues = Clues(exit_code=78, damaged=("/s/state/openclaw.sqlite: file is not a database",))
    death = classify(clues)
    assert (death.cause, death.confidence) == (Cause.DAMAGED, LIKELY)
    assert clues.damaged[0] in death.evidence
    text = "Gateway failed to start: Invalid config at /s/openclaw.json:\n"
    assert classify(replace(clues, stderr_tail=text)).cause is Cause.CONFIG
    assert classify(replace(clues, exit_code=1, was_ready=True)).cause is not Cause.DAMAGED


@pytest.mark.parametrize(
    ("said", "step"),
    [
        ("Legacy session store requires migration: /s/sessions.json.", "--session-sqlite import"),
        ("Retained session migration source changed: /s/sessions.json.", "`tailflip check` names"),
        ("Legacy workspace setup state requires migration.", "`openclaw doctor --fix`"),
        ("OpenClaw state database /s/x uses newer schema version 23.", "or a newer one"),
        (
            "Doctor cannot repair this state: shared state database is unreadable at /s/x.",
            "`openclaw doctor --fix` repairs no damaged database",
        ),
    ],
)
def test_each_kind_of_exit_78_has_its_next_step(said, step):
    death = classify(Clues(exit_code=78, stderr_tail=f"Gateway failed to start: {said}\n"))
    assert death.cause is not Cause.CONFIG
    assert step in choose_step(death.cause, death.hint)
