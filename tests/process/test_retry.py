"""`tailflip retry`, and a person's own start: after a repair nobody waits for an hour."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest

from support.guarded_gateway import wait_until
from tailflip.flow.lives import BreakerState

LATER = {
    "restart.trial_first_s": 600,
    "restart.trial_cap_s": 3600,
    "restart.safe_start": "false",
}
SLOW = {"restart.first_delay_s": 300, "restart.cap_s": 300}


def ask(place, *words):
    done = subprocess.run(
        [sys.executable, "-m", "tailflip", *(words or ("retry",))],
        env=place.env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


def open_breaker(place, deaths=3):
    """A gateway that died three times and would live now, and `run` that waits all the same."""
    guarded = place.run("--die", "2", "--deaths", str(deaths), settings=LATER)
    guarded.hear("crash loop")
    guarded.hear("waiting before the next start")
    wait_until(
        lambda: place.history.decisions.read_breaker().state is BreakerState.OPEN, "open breaker"
    )
    guarded.wait_watching(place.config)
    return guarded


def test_run_that_waits_in_its_breaker_makes_a_trial_at_once(place):
    """The cause was repaired outside, and the next trial was an hour away."""
    guarded = open_breaker(place)
    code, out, err = ask(place, "status")
    assert code == 1, (out, err)
    assert "tailflip retry" in " ".join(out.split())
    code, out, err = ask(place)
    assert code == 0, err
    assert f"asked pid {guarded.pid} to start the gateway now" in out
    assert "it waited: " in out
    guarded.wait_ready(4, deadline_s=10)
    assert place.history.decisions.read_breaker().state is BreakerState.HALF_OPEN
    assert guarded.stop() == 0


def test_a_trial_that_fails_is_one_trial(place):
    guarded = open_breaker(place, deaths=4)
    assert ask(place)[0] == 0
    guarded.hear("waiting before the next start", 2)
    guarded.wait_watching(place.config)
    assert len(place.pids()) == 4
    assert not place.history.starts.is_trial_asked()
    assert ask(place)[0] == 0
    guarded.wait_ready(5, deadline_s=10)
    assert guarded.stop() == 0


def test_a_delay_before_a_start_is_cut_short(place):
    guarded = place.run("--die", "2", "--deaths", "1", settings=SLOW)
    guarded.hear("the gateway will be started")
    guarded.wait_watching(place.config)
    assert "tailflip retry" in " ".join(ask(place, "status")[1].split())
    assert ask(place)[0] == 0
    guarded.wait_ready(2, deadline_s=10)
    assert guarded.stop() == 0


def test_a_wait_for_a_configuration_ends_too(place):
    options = ("--die", "78", "--say", "Config invalid", "--deaths", "1")
    guarded = place.run(*options, settings=LATER)
    guarded.hear("waiting=config-change")
    guarded.wait_watching(place.config)
    assert ask(place)[0] == 0
    guarded.wait_ready(2, deadline_s=10)
    assert guarded.stop() == 0


def test_a_living_gateway_is_left_alone(place):
    guarded = place.run()
    guarded.wait_ready()
    code, out, _ = ask(place, "retry", "--json")
    assert code == 0
    told = json.loads(out)
    assert (told["asked"], told["pid"]) == (False, place.pids()[0])
    assert not place.history.starts.is_trial_asked()
    assert place.living() == place.pids()
    assert guarded.stop() == 0


def hold(place):
    """A configuration that was refused: the next start through a gate is held."""
    guarded = place.run("--die", "78", "--say", "Config invalid")
    guarded.hear("waiting=config-change")
    assert guarded.stop() == 0


def test_the_next_start_through_a_gate_honours_it_once(place):
    hold(place)
    words = ("gate", "--", *place.command("--die", "78", "--say", "Config invalid"))
    held = place.start(*words)
    assert held.wait() == 78
    assert "`tailflip retry`" in held.said()
    code, out, _ = ask(place)
    assert code == 0
    assert "the next start is a trial" in out
    assert "it waited: " in out
    tried = place.start(*words)
    assert tried.wait() == 78
    assert "trying now" in tried.said()
    assert len(place.pids()) == 2
    assert not place.history.starts.is_trial_asked(), "the trial was one"


def test_a_gate_that_is_parked_honours_it_at_once(place):
    hold(place)
    gate = place.start("gate", "--park", "--", *place.command())
    gate.hear("parked until something changes")
    code, out, _ = ask(place)
    assert code == 0
    assert f"asked pid {gate.pid}" in out
    wait_until(place.listener, "gateway that listens", story=gate.said)


@pytest.mark.parametrize("verb", ["run", "gate"])
def test_a_start_at_a_terminal_is_a_trial_at_once(place, verb):
    """A person started `run` again after a repair, and was told of a wait that was resumed."""
    hold(place)
    ours, theirs = pty.openpty()
    try:
        words = place.command()
        if verb == "run":
            guarded = place.run(command=words, settings=LATER, stdin=theirs)
        else:
            guarded = place.start("gate", "--", *words, stdin=theirs)
        guarded.hear("a person asked for this start")
        wait_until(place.listener, "gateway that listens", story=guarded.said)
    finally:
        os.close(ours)
        os.close(theirs)
