"""Kill the supervisor at every commit of its ledger: the next one goes on, and never doubles."""

from __future__ import annotations

import itertools
import signal
import subprocess

import pytest
from parallel import WORKERS, in_parallel

from support.guarded_gateway import FAKE, NEAR, SETTINGS, Place, wait_until
from tailflip.base import clock

FITS = 1_000_000
# The stores can have filled it, and the look before a start does not heal them first.
SMALL_HEAP = {"heal.admission": "false", "gateway.heap_limit": NEAR}


def drive(place, at, when, options):
    """Start a supervisor that kills itself at one commit of its ledger."""
    pairs = {**SETTINGS, **SMALL_HEAP, "restart.first_delay_s": "0"}
    program = (str(FAKE.with_name("dying_supervisor.py")), str(at), when)
    sets = (f"{key}={value}" for key, value in pairs.items())
    return place.start(*sets, "--", *place.command(*options), program=program)


@pytest.mark.crash
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_any_commit_the_next_one_goes_on(folder, when):
    """Through a death of memory, its cure, a second life and a stop: at every step on record."""

    def work(number, own):
        place = Place(own)
        try:
            at = next(
                at
                for at in itertools.count(1 + number, WORKERS)
                if not is_killed_and_goes_on(place, at, when)
            )
        finally:
            place.end()
        assert at > 10
        return []

    failed = in_parallel(folder, work)
    assert not failed, "\n".join(failed)


def is_killed_and_goes_on(place, at, when):
    """Kill it at one commit and hold the next one against all promises; False: no such commit."""
    options = ("--oom-above", str(FITS))
    for left in (place.home.root, place.state, place.root / "lives"):
        subprocess.run(["/bin/rm", "-rf", str(left)], check=True)
    place.state.mkdir()
    place.fill(3_000_000)  # what `NEAR` is for
    driven = drive(place, at, when, options)
    wait_until(
        lambda: (
            driven.process.poll() is not None
            or (len(place.lives()) == 2 and place.lives()[0].ready_ms)
        ),
        f"end at commit {at}, or second life",
        story=driven.said,
    )
    if driven.process.poll() is None:
        driven.send(signal.SIGTERM)
    if driven.wait() == 0:
        return False
    told = f"killed {when} commit {at} after:\n{driven.said()}"
    guarded = place.run(*options, settings=SMALL_HEAP)
    guarded.hear("gateway")  # its signal handlers are there
    began_ms = clock.now_ms()
    wait_until(lambda: place.lives() and place.lives()[0].ready_ms, "answer",
               story=lambda: told + guarded.said())  # fmt: skip
    wait_until(place.is_alone, "gateway that is alone", story=guarded.said)
    assert place.doubles() == "", told
    assert place.store.stat().st_size < FITS, told
    assert [x for x in place.lives() if x.ended_ms is None] == [place.lives()[0]], told
    assert len(place.pids()) <= 3, told + guarded.said()
    assert clock.now_ms() - began_ms < 10_000
    assert guarded.stop() == 0, guarded.said()
    assert place.living() == [], told
    assert not list(place.home.guards.glob("*.stderr")), told
    return True
