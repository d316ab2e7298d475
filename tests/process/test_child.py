"""Real processes in our hands: known by pid and start, ended once, and never somebody else's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from support.guarded_gateway import is_there, wait_until
from tailflip.base.errors import ConfigInvalid, NoPermission
from tailflip.observe.gateway.process import start_ticks
from tailflip.supervise.process.child import Child, Exit, kill_tree, start, take_over

ENV = {"PATH": "/usr/bin:/bin"}
SLEEP = ["/bin/sleep", "60"]


@pytest.fixture
def begin():
    """Start children that end with the test."""
    made: list[Child] = []

    def begin(command, env=ENV):
        made.append(start(command, env, 2))
        return made[-1]

    yield begin
    for child in made:
        child.send_group(signal.SIGKILL)
        wait_until(child.poll, "end")


@pytest.mark.parametrize(
    ("script", "ended"),
    [
        ("exit 0", Exit(0, None)),
        ("exit 78", Exit(78, None)),
        ("kill -9 $$", Exit(None, 9)),
        ("kill -SEGV $$", Exit(None, signal.SIGSEGV)),
        ("exit 137", Exit(137, None)),
    ],
)
def test_an_end_is_told_as_it_was(begin, script, ended):
    assert wait_until(begin(["/bin/sh", "-c", script]).poll, "end") == ended


def test_a_status_is_given_once(begin):
    child = begin(["/bin/true"])
    assert wait_until(child.poll, "end") == Exit(0, None)
    assert child.poll() == Exit(None, None)


def test_a_child_leads_a_group_of_its_own_and_has_a_start(begin):
    child = begin(SLEEP)
    assert os.getpgid(child.pid) == child.pid == child.group
    assert child.ticks == start_ticks(child.pid)
    assert child.poll() is None


def test_a_signal_reaches_the_group(begin):
    child = begin(["/bin/sh", "-c", "sleep 60 & sleep 60 & wait"])
    family = psutil.Process(child.pid)
    wait_until(lambda: len(family.children()) == 2, "both sleepers")
    sleepers = family.children()
    assert child.send_group(signal.SIGTERM)
    assert wait_until(child.poll, "end") == Exit(None, signal.SIGTERM)
    wait_until(lambda: not any(is_there(each.pid) for each in sleepers), "end of the group")


def test_a_pid_that_is_somebody_elses_by_now_gets_no_signal():
    process = subprocess.Popen(SLEEP)
    try:
        ticks = start_ticks(process.pid)
        Child(process.pid, ticks - 1, None).send(signal.SIGKILL)
        kill_tree([(process.pid, ticks - 1)])
        time.sleep(0.05)
        assert process.poll() is None
        Child(process.pid, ticks, None).send(signal.SIGTERM)
        assert process.wait(5) == -signal.SIGTERM
    finally:
        process.kill()
        process.wait()


def test_one_that_is_gone_gets_no_signal_and_has_no_group():
    process = subprocess.Popen(["/bin/true"], process_group=0)
    pid, ticks = process.pid, start_ticks(process.pid)
    process.wait()
    gone = Child(pid, ticks, pid)
    gone.send(signal.SIGTERM)
    assert not gone.send_group(signal.SIGTERM)
    assert not Child(pid, ticks, None).send_group(signal.SIGTERM)
    assert gone.poll() == Exit(None, None)
    kill_tree([(pid, ticks)])


@pytest.mark.parametrize(
    ("command", "error"), [(["/nonexistent"], ConfigInvalid), (["/etc/passwd"], NoPermission)]
)
def test_what_cannot_be_started_is_said(command, error):
    with pytest.raises(error, match=command[0]):
        start(command, ENV, 2)


def test_the_environment_is_the_one_that_was_given(tmp_path):
    path = tmp_path / "env"
    child = start(["/bin/sh", "-c", f"/usr/bin/env > {path}"], {"ONLY": "this"}, 2)
    wait_until(child.poll, "end")
    assert "ONLY=this" in path.read_text()
    assert "HOME=" not in path.read_text()


def test_one_that_was_taken_over_shows_its_end_though_it_is_not_ours(tmp_path):
    """Its parent is another process: there is neither a signal nor a status for us."""
    code = (
        "import subprocess, sys; p = subprocess.Popen(['/bin/sleep', '60'], process_group=0); "
        "print(p.pid, flush=True); sys.stdin.read(); p.wait()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    pid = int(parent.stdout.readline())
    child = take_over(pid)
    assert (child.group, child.poll()) == (pid, None)
    told = threading.Event()
    child.call_when_dead(told.set)
    assert not told.wait(0.05)
    os.kill(pid, signal.SIGKILL)
    assert told.wait(5)
    assert wait_until(child.poll, "end") == Exit(None, None)
    parent.communicate()


def test_a_process_of_our_own_group_is_not_signalled_as_a_group():
    process = subprocess.Popen(SLEEP)  # in the test's own group
    try:
        child = take_over(process.pid)
        assert child.group is None
        assert not child.send_group(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()


def test_the_end_of_one_that_is_gone_already_is_not_waited_for():
    process = subprocess.Popen(["/bin/true"])
    process.wait()
    told = threading.Event()
    Child(process.pid, 1, None).call_when_dead(told.set)  # no error, and the loop looks itself


# --- orphans -----------------------------------------------------------------------------

REAPER = """
import os, subprocess, sys, time
from tailflip.base import platform_calls
from tailflip.supervise.process.reaper import reap_orphans
assert platform_calls.here.become_subreaper()
held = subprocess.Popen(["/bin/true"])
living = subprocess.Popen(["/bin/sleep", "60"])
middle = subprocess.Popen(["/bin/sh", "-c", "for n in 1 2 3 4 5; do /bin/true & done; exit 0"])
middle.wait()
reaped, until = 0, time.monotonic() + 10
while reaped < 5 and time.monotonic() < until:
    reaped += reap_orphans(but={held.pid, living.pid})
print(reaped, held.wait(), living.poll())
living.kill(); living.wait()
"""


def test_orphans_are_reaped_and_those_that_others_wait_for_are_not():
    found = subprocess.run(
        [sys.executable, "-c", REAPER], capture_output=True, check=True, timeout=20
    )
    reaped, held, living = found.stdout.split()
    assert (int(reaped), held, living) == (5, b"0", b"None")


def test_kill_tree_ends_what_is_alive(begin):
    child = begin(["/bin/sh", "-c", "trap '' TERM; while :; do sleep 1; done"])
    kill_tree([(child.pid, child.ticks), (2**22 + 1, None)])
    assert wait_until(child.poll, "end") == Exit(None, signal.SIGKILL)
    assert not is_there(child.pid)
