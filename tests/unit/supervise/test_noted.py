"""Findings of whoever guards are put on record, and end when they are over."""

from __future__ import annotations

import pytest

from tailflip.diagnose.findings.inputs import Inputs
from tailflip.flow.conditions import GatewayLoop, RefusedStart
from tailflip.flow.lives import Cause, Loop
from tailflip.supervise.noted import note, note_good_life

REFUSED = Inputs(refused_starts=(RefusedStart("/state", "too big", "compact it"),))


@pytest.fixture
def gateway(make_gateway):
    return make_gateway()


def on_record(gateway):
    return [each.finding for each in gateway.history.findings.read()]


def test_what_is_found_is_returned_and_on_record(gateway):
    found = note(gateway, REFUSED)
    assert [each.code for each in found] == ["start-refused"]
    assert tuple(on_record(gateway)) == found


def test_it_ends_once_it_was_looked_for_and_not_found(gateway):
    note(gateway, REFUSED)
    assert note(gateway, Inputs()) == ()
    assert len(on_record(gateway)) == 1, "nobody looked"
    assert note(gateway, Inputs(refused_starts=())) == ()
    assert on_record(gateway) == []


def test_a_good_life_ends_a_loop_of_deaths_and_not_what_only_a_look_can_end(gateway):
    loop = Loop(Cause.HANG, "hang", 4, 60.0, 0, 180_000)
    note(gateway, Inputs(crash_loops=(GatewayLoop("/state", loop, ("SIGKILL",)),)))
    note(gateway, REFUSED)
    assert len(on_record(gateway)) == 2
    note_good_life(gateway)
    assert [each.code for each in on_record(gateway)] == ["start-refused"]
