"""Standard error is a pipe that nobody reads: the gateway is guarded all the same."""

from __future__ import annotations

import os
import signal

import pytest

from support.guarded_gateway import wait_until


@pytest.fixture
def deaf():
    """A pipe that is full and stays so."""
    out, into = os.pipe()
    os.set_blocking(into, False)
    try:
        while True:
            os.write(into, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(into, True)
    yield into
    os.close(out)
    os.close(into)


def test_a_death_is_followed_by_a_start_and_a_stop_is_obeyed(place, deaf):
    """The gateway died and was never started again; SIGTERM was not obeyed either."""
    guarded = place.run("--die", "1", "--deaths", "1", "--flood", "3000000", stderr=deaf)
    guarded.wait_ready(2)
    [dead] = place.deaths()
    assert dead.evidence
    guarded.send(signal.SIGTERM)
    assert guarded.wait() == 0
    assert not place.living()


def test_a_gate_that_refuses_or_waits_is_not_held_up(place, deaf):
    place.put(b"\x7fELF\x02\x01\x01 garbage")
    words = ("--set", "heal.salvage=false", "--set", "heal.enabled=false")
    guarded = place.start("gate", "--park", *words, "--", *place.command(), stderr=deaf)
    wait_until(place.history.starts.read_last, "refusal")
    place.store.write_bytes(b"{}")
    assert wait_until(lambda: place.listener() == guarded.pid, "gateway that listens")
