"""Nobody is left behind: orphans are reaped, and what outlives its gateway is ended."""

from __future__ import annotations

import json
import os

import psutil

from support.guarded_gateway import is_there, wait_until
from tailflip.flow.lives import Cause


def zombies(pid: int) -> list[psutil.Process]:
    return [
        child for child in psutil.Process(pid).children() if child.status() == psutil.STATUS_ZOMBIE
    ]


def test_two_hundred_orphans_leave_no_zombie(place):
    guarded = place.run("--orphans", "200")
    life = guarded.wait_ready()
    [gateway] = [place.lives()[0].pid]

    def is_clean() -> bool:
        return psutil.Process(guarded.pid).children() == [psutil.Process(gateway)]

    wait_until(is_clean, "end of all orphans", story=guarded.said)
    assert zombies(guarded.pid) == []
    assert place.lives()[0].id == life.id
    assert guarded.stop() == 0


def test_what_outlives_its_gateway_is_ended_before_the_next_start(place):
    guarded = place.run("--children", "3", "--die", "2", "--after-s", "0.7", "--deaths", "1")
    guarded.wait_ready(1)
    gateway = place.pids()[0]
    family = psutil.Process(gateway)
    children = wait_until(lambda: family.children() if len(family.children()) == 3 else None, "3")
    guarded.wait_ready(2)
    assert not [child for child in children if is_there(child.pid)]
    now = [p.pid for p in psutil.Process(place.lives()[0].pid).children()]
    assert guarded.stop() == 0
    wait_until(lambda: not [pid for pid in now if is_there(pid)], "end of the children")


def test_what_ignores_sigterm_is_killed_before_the_next_start(place):
    guarded = place.run("--stubborn", "--die", "2", "--after-s", "0.5", "--deaths", "1")
    guarded.wait_ready(1)
    gateway = psutil.Process(place.pids()[0])
    [stubborn] = wait_until(gateway.children, "stubborn child")
    guarded.wait_ready(2)
    assert not is_there(stubborn.pid)
    assert zombies(guarded.pid) == []
    assert guarded.stop() == 0


def test_a_stop_leaves_nothing_of_the_gateway(place):
    guarded = place.run("--stubborn", "--children", "2")
    guarded.wait_ready()
    wait_until(lambda: len(place.family()) == 5, "five processes", story=guarded.said)
    assert guarded.stop() == 0
    assert place.family() == []


def test_the_gateway_leads_a_group_of_its_own(place):
    """Ctrl-C at a terminal goes to every process of the group: it must reach the gateway once."""
    told = place.root / "told"
    guarded = place.run("--tell", str(told))
    life = guarded.wait_ready()
    found = json.loads(told.read_text())
    assert found["pid"] == found["group"] == life.pid
    assert found["parent"] == guarded.pid
    assert os.getpgid(guarded.pid) != found["group"]
    assert guarded.stop() == 0


def test_the_gateway_is_started_as_ours_and_not_as_a_services(place):
    told = place.root / "told"
    ours = {
        "NOTIFY_SOCKET": "/nowhere",
        "WATCHDOG_USEC": "60000000",
        "INVOCATION_ID": "0123456789abcdef0123456789abcdef",
        "JOURNAL_STREAM": "8:1",
        "SYSTEMD_EXEC_PID": "1",
        "OPENCLAW_SYSTEMD_UNIT": "openclaw-gateway.service",
        "OWN": "kept",
    }
    guarded = place.run("--tell", str(told), env=ours)
    life = guarded.wait_ready()
    env = json.loads(told.read_text())["env"]
    assert env["OWN"] == "kept"
    assert env["TAILFLIP_LIFE"] == life.id
    assert env["OPENCLAW_NO_RESPAWN"] == "1"
    assert not set(env) & (set(ours) - {"OWN"})
    assert guarded.stop() == 0


def test_a_gateway_that_dies_at_once_again_and_again_leaves_no_process(place):
    settings = {"restart.loop_deaths": 10, "restart.first_delay_s": 0.01, "restart.factor": 1}
    guarded = place.run("--children", "2", "--die", "sigkill", "--deaths", "6", settings=settings)
    guarded.wait_ready(7)
    dead = [life.death for life in place.lives()[1:]]
    assert {death.cause for death in dead} == {Cause.UNKNOWN}
    # Ours, one gateway and its two children.
    wait_until(lambda: len(place.family()) == 4, "four processes", story=guarded.said)
    assert guarded.stop() == 0
    assert place.family() == []
