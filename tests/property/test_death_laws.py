"""Any clues give a verdict, quickly, and none of what people wrote comes out of it."""

from __future__ import annotations

import dataclasses
import time

from hypothesis import given
from hypothesis import strategies as st

from tailflip.diagnose.deaths import classify
from tailflip.flow.lives import Asked, Cause, Clues, Confidence

WORDS = st.sampled_from(
    [
        "FATAL ERROR: ",
        "Reached heap limit Allocation failed - JavaScript heap out of memory",
        "Config invalid",
        "  - gateway: ",
        "  code: '",
        "Gateway failed to start: ",
        "gateway already running",
        "Error: ",
        "TypeError",
        "listen EADDRINUSE",
        "uses newer schema version",
        "uses schema version 14; run openclaw doctor --fix",
        "Uncaught exception: ",
        "[openclaw] Reason: ",
        "[secrets] ",
        "17:41:43 ",
        "Nov 28 17:41:43 host openclaw[1]: ",
        '{"subsystem":"telegram","message":"',
        '"}',
        "ENOSPC: ",
        "Cannot find module '",
        "SyntaxError: ",
        "  errcode: 11",
        "listen EADDRNOTAVAIL",
        "Failed to read config at ",
        "node: ",
        "No such file or directory",
        "SK_LIVE_HUNTER2",
        "ERR_HUNTER2 ",
        "\x1b[31m",
        "[gateway] ",
        "2026-11-21T16:06:00.472+00:00 ",
        "\n",
        "\r",
        " ",
        "'",
        ":",
        "hunter2secret",
        "+4915112345678",
        "\u2028",
        "\ud800",
    ]
)
HOSTILE = (
    *("FATAL ERROR: ", "Gateway failed to start: ", "a ", "\x1b[", "- a.", "\n", "1: ", "{"),
    *("Error: ", "Uncaught ", "[a] ", "17:41:43 ", "database ", "ENOSPC ", "a | "),
)
TAILS = st.lists(WORDS | st.text(max_size=5), max_size=40).map("".join)
CLUES = st.builds(
    Clues,
    exit_code=st.none() | st.integers(0, 255),
    signal=st.none() | st.integers(1, 64),
    was_ready=st.booleans(),
    asked=st.sampled_from([None, *Asked]),
    handed_off=st.booleans(),
    stderr_tail=TAILS,
    oom_kills=st.none() | st.integers(0, 9),
    oomd=st.booleans(),
    heap_report=st.sampled_from([None, "OOMError", "Exception"]),
    other_pid=st.none() | st.just(4711),
)


@given(CLUES)
def test_any_clues_give_one_safe_verdict(clues):
    death = classify(clues)
    told = " ".join((death.signature, *death.evidence))
    assert death.evidence
    assert len(death.signature) <= 80
    assert "hunter2secret" not in told
    assert "4915112345678" not in told
    assert "SK_LIVE" not in told, "no text named it as a variable"
    assert "\x1b" not in told
    assert "\n" not in told
    assert classify(clues) == death


@given(CLUES, st.sampled_from([4, 7, 8, 11]))
def test_a_crash_is_never_called_a_stop(clues, signal):
    clues = dataclasses.replace(clues, signal=signal, asked=None)
    assert classify(clues).cause not in (Cause.ASKED_STOP, Cause.PLANNED_RESTART, Cause.PARKED)


@given(st.sampled_from(["", "17:41:43 [secrets] ", "openclaw-1 | "]), st.text(max_size=20))
def test_a_variable_is_named_only_where_a_text_names_one(dress, noise):
    said = 'Startup failed: required secrets are unavailable. Environment variable "SOME_KEY" is x'
    tail = f"{noise} OTHER_KEY\n{dress}Gateway failed to start: {said}: SECRET_VALUE\n"
    told = " ".join(classify(Clues(exit_code=1, stderr_tail=tail)).evidence)
    assert "SOME_KEY" in told
    assert "OTHER_KEY" not in told
    assert "SECRET_VALUE" not in told


@given(CLUES)
def test_a_stop_is_only_what_is_known_to_have_been_asked_for(clues):
    """Exit 0, a stray SIGTERM: the guard took them for a stop and went, and nobody was left."""
    seen = classify(dataclasses.replace(clues, asked=None))
    assert (seen.cause, seen.confidence) != (Cause.ASKED_STOP, Confidence.PROVEN)
    guarded = dataclasses.replace(clues, asked=None, guarded=True)
    assert classify(guarded).cause is not Cause.ASKED_STOP


def test_a_full_tail_of_hostile_text_is_judged_in_no_time():
    """The supervisor's one thread judges; 256 KiB of anything must not hold it up."""
    for part in HOSTILE:
        tail = (part * (262_144 // len(part)))[:262_144]
        started = time.perf_counter()
        classify(Clues(exit_code=1, stderr_tail=tail))
        classify(Clues(exit_code=1, stderr_tail=tail + "\n" + tail[:1000]))
        assert time.perf_counter() - started < 0.5, part
