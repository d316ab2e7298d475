"""A gate that is killed while it judges a death: the next one makes up for what is missing."""

from __future__ import annotations

import itertools
import signal
import subprocess

import pytest

from support.guarded_gateway import FAKE, NEAR, wait_until
from tailflip.flow.lives import Cause

STORE, FITS = 3_000_000, 1_000_000
OPTIONS = ("--oom-above", str(FITS), "--report")


def drive(place, at, when):
    """Start a gate that kills itself at one commit of its ledger."""
    program = (str(FAKE.with_name("dying_gate.py")), str(at), when)
    return place.start("--", *place.command(*OPTIONS), program=program)


def begin_anew(place):
    """A gateway that died of its memory under a gate, and nobody looked since."""
    left = [place.home.root, place.state, place.deaths_file, place.root / "tmp"]
    subprocess.run(["/bin/rm", "-rf", *map(str, left)], check=True)
    (place.root / "tmp").mkdir()
    place.state.mkdir()
    place.fill(STORE)
    assert place.start("gate", "--", *place.command(*OPTIONS)).wait() == -signal.SIGABRT


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_any_commit_the_next_one_judges_cures_and_decides_once(place, when):
    """A verdict was on record, its decision was not; the death then counted for nothing."""
    place.env["TAILFLIP_GATEWAY_HEAP_LIMIT"] = NEAR
    for at in itertools.count(1):
        begin_anew(place)
        driven = drive(place, at, when)
        wait_until(
            lambda: driven.process.poll() is not None or place.listener(),  # noqa: B023
            f"end at commit {at}, or gateway",
            story=driven.said,
        )
        if driven.process.poll() is None:
            break
        assert driven.wait() == -signal.SIGKILL, driven.said()
        told = f"killed {when} commit {at} after:\n{driven.said()}"
        following = place.start("gate", "--", *place.command(*OPTIONS))
        assert wait_until(place.listener, "gateway", story=following.said) == following.pid, told
        assert place.store.stat().st_size < FITS, told
        (dead,) = place.history.lives.read(incident="1")
        told += following.said()
        assert (dead.death.cause, dead.cured) == (Cause.V8_HEAP, True), told
        decisions = place.history.decisions.read_since(0)
        assert [(each.life_id, each.decision.kind) for each in decisions] == [(dead.id, "start")]
        assert place.history.decisions.read_breaker().row == 1, told
        assert len(place.history.incidents.read()) == 1, told
        following.stop()
    assert at > 8
