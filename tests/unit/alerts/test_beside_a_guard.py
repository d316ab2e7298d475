"""The record of the real supervisor, in virtual time, and what a person hears of it.

Whoever guards starts a pass when something happened, when one is due, and every five minutes.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, repeat
from unittest import mock

import pytest

from support.alert_scenes import SETTINGS, Receivers
from support.simulated_guard import End, Over, VirtualLoop, make_guarded, simulated
from tailflip.alerts.turn import DUE_FACT, take_turn
from tailflip.base.state_dir import Home
from tailflip.flow.lives import Asked, Clues
from tailflip.supervise.states import Event

HEAP = Clues(signal=6, guarded=True, stderr_tail="FATAL ERROR: Reached heap limit")
CRASH = Clues(exit_code=1, guarded=True, stderr_tail="Error: something else")
STOP = Clues(exit_code=0, asked=Asked.OPERATOR)
MINUTE, HOUR, DAY = 60, 3_600, 86_400
FOREVER = End(10**9, STOP)


@contextmanager
def hold(*_):
    yield True


def count(history):
    return history._read("SELECT count(*), count(ended_ms), count(incident) FROM lives", ())


class Watch:
    """Makes the passes that a guard would start."""

    def __init__(self, world, settings):
        self.world, self.settings, self.receivers = world, settings, Receivers()
        self.next_ms, self.passes = 0, 0

    def look(self, history, *, now):
        at_ms = self.world.sky.wall()
        if now or at_ms >= self.next_ms:
            self.receivers.now_ms = at_ms
            take_turn(history, self.settings, self.receivers.send)
            self.passes += 1
            due_ms = history.facts.get(DUE_FACT) or at_ms + 300_000
            self.next_ms = max(at_ms + 1_000, min(due_ms, at_ms + 300_000))


def tell(script, until_s, settings=SETTINGS):
    """Guard by a script until time is over; returns what was told."""
    with simulated(script, until_s) as world, mock.patch.object(Home, "tell", hold):
        made = make_guarded(world)
        watch = Watch(world, settings)
        history = made.gateway.history

        def step(loop):
            watch.look(history, now=False)
            left_s = max(0.001, (watch.next_ms - world.sky.wall()) / 1000)
            loop.at("alerts", left_s, lambda: None)
            VirtualLoop.step(loop)

        try:
            made.handle(Event.BEGUN)
            while made.exit_code is None:
                before = count(history)
                step(made.loop)
                watch.look(history, now=count(history) != before)
        except Over:
            pass
        return watch.receivers


def test_a_crash_loop_that_a_trial_ends():
    heard = tell(chain([End(22, HEAP)] * 5, repeat(FOREVER)), 6 * HOUR)
    assert heard.list_told() == [
        ("opened", "claw (state): crash loop, and 1 more"),  # a safe start, which was in vain
        ("recovered", "claw (state): over: crash loop, and 1 more"),
    ]
    assert {m.alerts for _, _, m in heard.got} == {("tf-claw-1", "tf-claw-2")}


@pytest.mark.parametrize("clues", [HEAP, CRASH])
def test_a_death_that_is_healed_wakes_nobody(clues):
    heard = tell(chain([End(5 * HOUR, clues, cured=True)], repeat(FOREVER)), DAY)
    assert heard.got == []


@pytest.mark.parametrize("clues", [HEAP, CRASH])
def test_a_slow_loop_of_three_days_wakes_nobody_and_is_in_each_digest(clues):
    settings = replace(SETTINGS, digest="08:00")
    heard = tell(repeat(End(6 * HOUR, clues)), 3 * DAY, settings)
    assert heard.list_kinds() == ["digest"] * 3
    bodies = [m.body for _, _, m in heard.got]
    assert all("deaths of the gateway, started again" in body for body in bodies)


def test_a_loop_without_end_is_told_and_told_again_but_no_storm():
    heard = tell(repeat(End(22, HEAP)), 2 * DAY)
    kinds = heard.list_kinds()
    assert kinds[0] == "opened"
    assert kinds[1:] == ["reminder"] * (len(kinds) - 1)
    assert len(kinds) <= 6


def test_a_stop_that_a_person_asked_for_wakes_nobody():
    heard = tell(iter([End(HOUR, STOP)]), DAY)
    assert heard.got == []
