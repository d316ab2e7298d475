"""A process is its pid and its start; a pid that was used again is somebody else."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tailflip.base import clock, platform_calls
from tailflip.observe.gateway.process import is_alive, start_ticks, started_ms

linux = pytest.mark.skipif(sys.platform != "linux", reason="start ticks are read from /proc")


def test_we_live():
    assert is_alive(os.getpid(), None)
    assert is_alive(os.getpid(), start_ticks(os.getpid()))
    assert 0 <= clock.now_ms() - started_ms(os.getpid()) < 86_400_000


@linux
def test_another_start_time_is_another_process():
    assert not is_alive(os.getpid(), start_ticks(os.getpid()) + 1)


@linux
def test_a_process_that_we_may_not_signal_is_alive():
    """The gateway takes it for dead; we would then remove what a living run needs."""
    assert is_alive(1, None)
    assert start_ticks(1) is not None


def test_a_zombie_is_dead_and_so_is_what_was_reaped():
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(child.pid, None)
    child.wait()
    assert not is_alive(child.pid, None)
    assert start_ticks(child.pid) is None
    assert started_ms(child.pid) is None


@pytest.mark.parametrize("pid", [0, -1, 2**31, 2**70])
def test_what_is_no_pid_is_dead(pid):
    assert not is_alive(pid, None)


@linux
def test_a_boot_has_one_id():
    boot_id = platform_calls.here.boot_id()
    assert boot_id == platform_calls.here.boot_id()
    assert len(boot_id) == 36
