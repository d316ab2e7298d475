"""A living gateway is asked once a scrape; how it answered of late is remembered."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import suppress

import pytest

from support.several_gateways import Gateways
from support.stores import NOW_MS
from tailflip.flow.observed import Gateway
from tailflip.report.metrics import answers as asked
from tailflip.report.metrics.answers import Answers
from tailflip.report.metrics.collectors import collect_answers
from tailflip.report.metrics.sources import Sources

LIVING = Gateway(True, 4121, NOW_MS - 60_000, "its process lives")


def write(status, said):
    head = f"HTTP/1.0 {status} X\r\nContent-Type: application/json\r\n\r\n"
    return head.encode() + json.dumps(said).encode()


GOOD = write(200, {"ok": True, "status": "live"})
STARTING = write(503, {"ok": False, "status": "starting"})


class Door:
    """A port that answers with these bytes, or takes questions and says nothing."""

    def __init__(self, answer):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port, self.answer, self.open = self.listener.getsockname()[1], answer, []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with suppress(OSError):
            while True:
                link, _ = self.listener.accept()
                self.open.append(link)
                if self.answer is not None:
                    link.recv(4_096)
                    link.sendall(self.answer)
                    link.shutdown(socket.SHUT_WR)

    def close(self):
        for each in (self.listener, *self.open):
            each.close()


@pytest.fixture
def make_door(request):
    def make(answer):
        door = Door(answer)
        request.addfinalizer(door.close)
        return door

    return make


def scrape(fleet, monkeypatch, port, gateway, answers):
    monkeypatch.setenv("OPENCLAW_GATEWAY_PORT", str(port))
    at = Sources(answers=answers)
    at.__dict__["gateway"] = gateway
    return {each.name.removeprefix("tailflip_gateway_"): each.value for each in collect_answers(at)}


@pytest.fixture
def fleet(in_memory, monkeypatch):
    made = Gateways(in_memory, monkeypatch)
    made.fill()
    return made


def test_an_answer_is_dated_and_timed(fleet, monkeypatch, make_door):
    told = scrape(fleet, monkeypatch, make_door(GOOD).port, LIVING, Answers())
    assert 0 < told.pop("answer_seconds") < 1
    assert told == {"missed_answers": 0, "last_answer_timestamp_seconds": NOW_MS / 1000}


def test_silence_is_counted_and_its_end_begins_anew(fleet, monkeypatch, make_door):
    monkeypatch.setattr(asked, "_PATIENCE_S", 0.1)
    answers, good, silent = Answers(), make_door(GOOD).port, make_door(None).port
    scrape(fleet, monkeypatch, good, LIVING, answers)
    for missed in (1, 2, 3):
        fleet.now_ms += 15_000
        told = scrape(fleet, monkeypatch, silent, LIVING, answers)
        assert told == {"missed_answers": missed, "last_answer_timestamp_seconds": NOW_MS / 1000}
    assert scrape(fleet, monkeypatch, good, LIVING, answers)["missed_answers"] == 0


def test_another_gateway_has_not_inherited_the_silence_of_the_last(fleet, monkeypatch, make_door):
    answers = Answers()
    scrape(fleet, monkeypatch, make_door(GOOD).port, LIVING, answers)
    young = Gateway(True, 4999, NOW_MS, "its process lives")
    assert scrape(fleet, monkeypatch, 1, young, answers) == {"missed_answers": 1}


def test_one_that_says_that_it_starts_is_not_silent(fleet, monkeypatch, make_door):
    told = scrape(fleet, monkeypatch, make_door(STARTING).port, LIVING, Answers())
    assert told == {"missed_answers": 0}


@pytest.mark.parametrize("gateway", [None, Gateway(False, None, None, "dead")], ids=str)
def test_who_does_not_live_is_not_asked(fleet, monkeypatch, make_door, gateway):
    door = make_door(GOOD)
    assert scrape(fleet, monkeypatch, door.port, gateway, Answers()) == {}
    assert door.open == []
