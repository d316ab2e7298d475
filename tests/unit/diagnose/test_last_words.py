"""Of a dying gateway's stderr only known texts are repeated, each where it tells something."""

from __future__ import annotations

import pytest

from tailflip.diagnose.last_words import read_last_words
from tailflip.flow.lives import Cause

HEAP = "Allocation failed - JavaScript heap out of memory"
STACK = "\n 1: 0xb8d0a0 node::OOMErrorHandler [node]\n-----\n"
HEAPS = [
    (f"FATAL ERROR: Reached heap limit {HEAP}", f"FATAL ERROR: Reached heap limit {HEAP}"),
    (f"FATAL ERROR: Somebody's secret {HEAP}", None),
    (f"FATAL ERROR: some words {HEAP}", f"FATAL ERROR: ... {HEAP}"),
    (
        "FATAL ERROR: x JavaScript heap out of memory",
        "FATAL ERROR: ... JavaScript heap out of memory",
    ),
    ("# Fatal process out of memory: Zone", "Fatal process out of memory: Zone"),
    ("# Fatal process out of memory: mine", "Fatal process out of memory"),
    ("[slack] FATAL ERROR: Reached heap limit " + HEAP, None),
]
KILLED = [
    ("kernel: Memory cgroup out of memory: Killed process 7 (node)", Cause.CGROUP_OOM),
    ("kernel: Out of memory: Killed process 7 (node)", Cause.KERNEL_OOM),
    ("Killed /user.slice due to memory pressure for /user.slice being 60%", Cause.OOMD),
    ("gateway.service: Failed with result 'oom-kill'.", Cause.KERNEL_OOM),
]


@pytest.mark.parametrize(("tail", "told"), HEAPS)
def test_what_v8_says_is_told_and_nothing_that_it_does_not_say(tail, told):
    words = read_last_words(tail + STACK)
    if told is None and "slack" not in tail:
        assert "secret" not in repr(words)
    else:
        assert words.heap == told


def test_a_heap_report_that_much_follows_was_a_childs():
    report = f"FATAL ERROR: Reached heap limit {HEAP}{STACK}"
    assert read_last_words(report).after_heap == 0
    assert read_last_words(f"{report}one\ntwo\n[slack] three").after_heap == 3


@pytest.mark.parametrize(("tail", "cause"), KILLED)
def test_who_killed_it(tail, cause):
    assert read_last_words(tail).killed[0] is cause
    assert read_last_words(f"[slack] {tail}").killed is None


@pytest.mark.parametrize(
    ("tail", "killed"),
    [
        ("sh: line 12: 23 Killed node openclaw.mjs", True),
        ("Killed", True),
        ("[slack] Killed", False),
        ("Killedby nobody", False),
        ("somebody was Killed here", False),
    ],
)
def test_a_shell_tells_of_a_kill(tail, killed):
    assert read_last_words(tail).shell_killed is killed


def test_native_memory_and_other_ends_of_v8():
    alloc = "terminate called after throwing an instance of 'std::bad_alloc'"
    assert read_last_words(alloc).native_memory == "std::bad_alloc"
    assert read_last_words("x: Cannot allocate memory").native_memory == "Cannot allocate memory"
    assert read_last_words("# Fatal error in , line 0").fatal == "# Fatal error in"
    fatal = "FATAL ERROR: v8::ToLocalChecked Empty MaybeLocal"
    assert read_last_words(fatal).fatal == "FATAL ERROR: v8::ToLocalChecked"


@pytest.mark.parametrize(
    ("tail", "signal"),
    [
        ("[gateway] signal SIGTERM received", "SIGTERM"),
        ("[gateway] received SIGUSR1; restarting", "SIGUSR1"),
        ("[gateway] received SIGINT; shutting down", "SIGINT"),
        ("[gateway] he asked about signal SIGTERM received", None),
    ],
)
def test_the_signal_that_it_received(tail, signal):
    assert read_last_words(tail).stop_signal == signal


def test_a_restart_and_a_stop_that_took_too_long():
    words = read_last_words("restart mode: full process restart\nshutdown timed out; exiting")
    assert (words.restarts, words.timed_out, words.lines) == (True, True, 2)


def test_nothing_said_is_nothing_known():
    words = read_last_words("")
    assert words.lines == 0
    assert not any(
        (words.heap, words.fatal, words.killed, words.failure, words.error, words.stop_signal)
    )
