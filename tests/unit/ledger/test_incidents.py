"""Deaths of one signature are one incident, until a life was good."""

from __future__ import annotations

import pytest

from support.ledger_rows import make_death
from support.stores import NOW_MS
from tailflip.base.errors import Usage


def test_deaths_of_one_signature_are_one_incident_until_it_is_closed(history):
    first = history.incidents.open(make_death(), NOW_MS)
    assert history.incidents.open(make_death(), NOW_MS + 1) == first
    other = history.incidents.open(make_death("hang"), NOW_MS + 2)
    assert other.id != first.id
    assert history.incidents.read() == (other, first)
    closed = history.incidents.close_all(NOW_MS + 3)
    assert {each.id for each in closed} == {first.id, other.id}
    assert history.incidents.read(1)[0].closed_ms == NOW_MS + 3
    again = history.incidents.open(make_death(), NOW_MS + 4)
    assert again.id not in {first.id, other.id}
    assert history.incidents.find(again.id) == again


def test_an_incident_keeps_when_it_was_first_seen(history):
    incident = history.incidents.open(make_death(), NOW_MS)
    assert history.incidents.ack(incident.id, NOW_MS + 5).acked_ms == NOW_MS + 5
    assert history.incidents.ack(incident.id, NOW_MS + 9).acked_ms == NOW_MS + 5
    assert history.incidents.find(incident.id).acked_ms == NOW_MS + 5


@pytest.mark.parametrize("name", ["99", "x", "", " 1", "1.0", "\uff11"])
def test_an_incident_that_is_not_there_is_bad_arguments(history, name):
    history.incidents.open(make_death(), NOW_MS)
    with pytest.raises(Usage, match="no such incident"):
        history.incidents.ack(name, NOW_MS)
