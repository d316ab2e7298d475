"""`tailflip run` as PID 1, as in a container: nobody else reaps, and no signal has a default."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys

import psutil
import pytest

from support.guarded_gateway import wait_until


def can_unshare() -> bool:
    if shutil.which("unshare") is None:
        return False
    words = ["unshare", "--pid", "--fork", "--mount-proc", "true"]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not can_unshare(), reason="may not make a PID namespace")


@pytest.fixture
def start(place):
    started = []

    def begin(*options, settings=()):
        words = [sys.executable, "-m", "tailflip", "run", "--set", "restart.first_delay_s=0.05"]
        for setting in ("health.interval_s=0.1", *settings):
            words += ["--set", setting]
        words += ["--", *place.command(*options)]
        unshare = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]
        path = f"{place.env['PATH']}:/usr/bin:/bin:/sbin"
        process = subprocess.Popen(
            [*unshare, *words], env={**place.env, "PATH": path}, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        parent = psutil.Process(process.pid)
        [first] = wait_until(parent.children, "first process of the namespace")
        return process, first

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def is_answering(place):
    return any(life.ready_ms is not None and life.ended_ms is None for life in place.lives())


def test_a_thousand_orphans_are_reaped(place, start):
    process, first = start("--orphans", "1000")

    def count() -> int:
        return sum(1 for child in first.children() if child.status() == psutil.STATUS_ZOMBIE)

    wait_until(lambda: is_answering(place), "answer", 60)
    assert int(first.children()[0].pid)  # the gateway itself stays its child
    wait_until(lambda: len(first.children(recursive=True)) == 1 and not count(), "reaping", 30)
    first.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0


def test_sigterm_is_handed_on_and_the_exit_code_is_the_gateways(place, start):
    signals = place.root / "signals"
    process, first = start("--signals-file", str(signals))
    wait_until(lambda: is_answering(place), "answer", 30)
    first.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert signals.read_text().split() == ["SIGTERM"]


def test_a_gateway_that_must_be_killed_ends_us_with_that(place, start):
    process, first = start("--ignore-term", settings=("gateway.drain_s=1",))
    wait_until(lambda: is_answering(place), "answer", 30)
    first.send_signal(signal.SIGTERM)
    assert process.wait(20) == 128 + signal.SIGKILL


def test_a_refused_configuration_does_not_loop(place, start):
    """Exit code 78 made a container start again for ever; here it waits for a change."""
    process, _ = start("--die", "78", "--say", "Config invalid", "--deaths", "1")
    wait_until(lambda: len(place.deaths()) == 1, "death", 30)
    wait_until(lambda: place.history.decisions.read_last() is not None, "decision")
    assert len(place.lives()) == 1
    assert process.poll() is None
    place.configure(bind="loopback")
    wait_until(lambda: is_answering(place), "answer after the change", 30)
