"""gate and preflight beside a living gateway: no second one, and no storm of starts."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from support.guarded_gateway import wait_until
from tailflip.config.load import Config
from tailflip.supervise import gate as module
from tailflip.supervise.context import GuardedGateway
from tailflip.supervise.gate import find_owner


@pytest.fixture
def living(place):
    """A gateway that somebody else started."""
    guarded = place.start(*place.command()[1:][1:], program=[place.command()[1]])
    wait_until(place.listener, "gateway that listens", story=guarded.said)
    return guarded


def gate(place, *flags):
    return place.start("gate", *flags, "--", *place.command())


def test_a_start_beside_a_living_gateway_is_refused_with_its_pid(place, living):
    """19 starts and more, each half a minute of full CPU: the manager's storm went on."""
    began = time.monotonic()
    guarded = gate(place)
    assert guarded.wait(60) == 75
    # The manager that starts it again at once does so twice a minute at most.
    assert time.monotonic() - began >= module.HAND_OFF_S
    assert f"error: another gateway, pid {living.pid}, works on " in guarded.said()
    start = place.history.starts.read_last()
    assert (start.go, start.other_pid) == (False, living.pid)
    assert place.lives() == ()
    assert place.doubles() == ""


def test_one_that_hands_over_is_waited_for(place, living):
    guarded = gate(place)
    guarded.hear("waiting for another one to end")
    living.send(signal.SIGTERM)
    assert wait_until(lambda: place.listener() == guarded.pid, "gateway", story=guarded.said)
    assert place.doubles() == ""


def test_a_parked_gate_starts_it_when_the_other_one_is_gone(place, living):
    guarded = gate(place, "--park")
    guarded.hear("parked until the other gateway is gone")
    assert place.history.starts.read_last().pid == guarded.pid
    living.die()
    assert wait_until(lambda: place.listener() == guarded.pid, "gateway", story=guarded.said)


def test_a_lock_of_a_dead_process_and_a_port_of_nobody_known_hold_nothing(place, living):
    living.die()  # its lock stays behind
    guarded = gate(place)
    assert wait_until(lambda: place.listener() == guarded.pid, "gateway", story=guarded.said)
    assert "waiting for another one" not in guarded.said()


def test_a_gateway_that_run_guards_is_not_started_by_a_gate_as_well(place):
    guarded = place.run("--die", "78", "--say", "Config invalid")
    guarded.hear("waiting before the next start")
    second = place.start("preflight", "--", *place.command())
    assert second.wait(60) == 75
    assert f"by `tailflip run`, pid {guarded.pid}" in second.said()
    assert guarded.stop() == 0


def test_a_gate_that_run_starts_is_its_own(place):
    command = [*place.command()]
    guarded = place.run(command=[os.sys.executable, "-m", "tailflip", "gate", "--", *command])
    guarded.wait_ready()
    assert guarded.stop() == 0


@pytest.mark.parametrize(
    ("words", "env"), [(["--force"], {}), ([], {"OPENCLAW_ALLOW_MULTI_GATEWAY": "1"})]
)
def test_who_means_to_take_over_or_to_live_beside_is_let(place, living, words, env):
    program = place.install("2026.4.14")
    command = [program, "gateway", "run", *words]
    gateway = GuardedGateway.prepare(command, place.env | env, Config())
    assert find_owner(gateway) is None
    assert find_owner(GuardedGateway.prepare(command[:3], place.env, Config())).pid == living.pid


def test_a_verb_that_starts_no_gateway_is_refused_by_gate_and_run(place):
    program = place.install("2026.4.14")
    for verb in ("gate", "run"):
        guarded = place.start(verb, "--", program, "gateway", "start")
        assert guarded.wait() == 64
        assert "`openclaw gateway start` starts no gateway that stays" in guarded.said()
        assert f"tailflip {verb} -- openclaw gateway run" in guarded.said()
    assert place.lives() == ()


def test_check_tells_of_the_loop_that_the_guard_saw(place):
    said = "[gateway] restart mode: full process restart (supervisor restart)"
    guarded = place.run("--die", "0", "--say", said)
    guarded.hear("restarts itself again and again, 3 times in a row", deadline_s=60)
    wait_until(place.history.findings.read, "finding")
    assert guarded.stop() == 0
    with (place.root / "out").open("wb") as out:
        assert place.start("check", "--json", stdout=out).wait(30) == 1
    found = json.loads((place.root / "out").read_text())["findings"]
    assert "restart-loop" in [each["code"] for each in found]
