"""A heartbeat in the form of whoever waits for it."""

from __future__ import annotations

import pytest

from support.receivers import Web
from tailflip.alerts.heartbeat import Beat, BeatWord

UUID = "01234567-89ab-cdef-0123-456789abcdef"
WELL = Beat(BeatWord.WELL, "the gateway answers", 12)
FAIL = Beat(BeatWord.FAIL, "crash-loop, gateway-down")
STARTING = Beat(BeatWord.STARTING, "the gateway starts")
MAINTENANCE = Beat(BeatWord.MAINTENANCE, "maintenance", 9)
ALIVE = Beat(BeatWord.ALIVE, "alive")


@pytest.mark.parametrize(
    ("beat", "suffix", "body"),
    [
        (WELL, "", b"well: the gateway answers"),
        (ALIVE, "", b"alive"),
        (MAINTENANCE, "", b"maintenance"),
        (FAIL, "/fail", b"fail: crash-loop, gateway-down"),
        (STARTING, "/log", b"starting: the gateway starts"),
    ],
)
def test_healthchecks_has_a_path_for_each_word(send, beat, suffix, body):
    with Web() as web:
        assert send(f"http://127.0.0.1:{web.port}/ping/{UUID}/", beat=beat).delivered
    (request,) = web.requests
    assert (request.method, request.path) == ("POST", f"/ping/{UUID}{suffix}")
    assert request.body == body


@pytest.mark.parametrize(
    ("beat", "query"),
    [
        (WELL, "status=up&msg=well%3A+the+gateway+answers&ping=12"),
        (ALIVE, "status=up&msg=alive&ping="),
        (MAINTENANCE, "status=up&msg=maintenance&ping=9"),
        (FAIL, "status=down&msg=fail%3A+crash-loop%2C+gateway-down&ping="),
        (STARTING, "status=up&msg=starting%3A+the+gateway+starts&ping="),
    ],
)
def test_uptime_kuma_has_its_words_in_the_query(send, beat, query):
    """Its own page hands out an address with `?status=up&msg=OK&ping=`: these are replaced."""
    with Web() as web:
        address = f"http://127.0.0.1:{web.port}/api/push/s3cret?status=up&msg=OK&ping="
        assert send(address, beat=beat).delivered
    (request,) = web.requests
    assert (request.method, request.path) == ("GET", f"/api/push/s3cret?{query}")


@pytest.mark.parametrize(
    ("beat", "count"), [(WELL, 1), (ALIVE, 1), (MAINTENANCE, 1), (FAIL, 0), (STARTING, 0)]
)
def test_another_service_is_asked_only_while_all_is_well(send, beat, count):
    """It knows no bad news: any request would count as a good one."""
    with Web() as web:
        assert send(f"http://127.0.0.1:{web.port}/s3cret?a=b", beat=beat).delivered
    assert [each.path for each in web.requests] == ["/s3cret?a=b"] * count


def test_a_failure_is_told_without_the_address(send):
    with Web(404) as web:
        done = send(f"http://127.0.0.1:{web.port}/api/push/s3cret", beat=WELL)
    assert done.error == "http://127.0.0.1: answered 404 Not Found: look at the address"
    assert send("ntfy://s3cret", beat=WELL).error == (
        "ntfy://ntfy.sh: a heartbeat goes to an address of http or https"
    )
