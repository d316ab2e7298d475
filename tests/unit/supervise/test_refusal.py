"""Why a gateway is not started: its stores, or another gateway; and what is put on record of it."""

from __future__ import annotations

import pytest

from tailflip.flow.lives import Waiting
from tailflip.flow.observed import Gateway
from tailflip.supervise.admission import Admission
from tailflip.supervise.context import GuardedGateway
from tailflip.supervise.refusal import explain_refusal

REFUSED = Admission(go=False, reason="too big", hint="compact it", waiting=Waiting.CURE)


@pytest.fixture
def gateway(make_gateway):
    return make_gateway()


@pytest.fixture
def other(monkeypatch):
    """Say who else is there; nobody if it is not called."""

    def put(found):
        monkeypatch.setattr(GuardedGateway, "find_other", lambda _self: found)

    put(None)
    return put


def codes(gateway):
    return [each.finding.code for each in gateway.history.findings.read()]


@pytest.mark.parametrize("admission", [None, Admission()], ids=["not looked", "go"])
def test_nothing_stands_against_a_start(gateway, other, admission):
    assert explain_refusal(gateway, admission) is None
    assert codes(gateway) == []


def test_stores_that_would_kill_it_wait_for_their_cure(gateway, other):
    other(Gateway(True, 7, None, "pid 7"))
    refusal = explain_refusal(gateway, REFUSED)
    assert (refusal.reason, refusal.hint) == ("too big", "compact it")
    assert (refusal.waiting, refusal.alert) == (Waiting.CURE, True)
    assert codes(gateway) == ["start-refused"]


def test_a_start_that_is_let_through_ends_the_finding(gateway, other):
    explain_refusal(gateway, REFUSED)
    explain_refusal(gateway, Admission())
    assert codes(gateway) == []


@pytest.mark.parametrize(
    ("found", "reason", "hint"),
    [
        (Gateway(True, 7, None, "pid 7"), "another gateway is there: pid 7", "tailflip watch"),
        (Gateway(None, None, None, "somebody has port 1"), "somebody has port 1", "another port"),
    ],
)
def test_another_gateway_is_waited_for_without_an_alert(gateway, other, found, reason, hint):
    other(found)
    refusal = explain_refusal(gateway, None)
    assert refusal.reason == reason
    assert hint in refusal.hint
    assert (refusal.waiting, refusal.alert) == (Waiting.OTHER_INSTANCE, False)
