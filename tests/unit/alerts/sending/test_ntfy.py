"""ntfy: title, priority, tags; every spelling of an address that Apprise reads."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from support.messages import MESSAGE
from support.receivers import Web
from tailflip.alerts.sending import ntfy
from tailflip.alerts.sending.failure import Failed
from tailflip.alerts.sending.urls import take_apart
from tailflip.flow.alerts import MessageKind, Urgency


def test_a_message_is_published_with_title_priority_and_tag(send):
    with Web() as web:
        assert send(f"ntfy://127.0.0.1:{web.port}/s3cret").delivered
    (request,) = web.requests
    assert (request.method, request.path) == ("POST", "/")
    assert request.json == {
        "topic": "s3cret",
        "title": MESSAGE.subject,
        "message": MESSAGE.body,
        "priority": 5,
        "tags": ["rotating_light"],
    }
    assert request.headers["idempotency-key"] == "tailflip-tf-attic-12-345"
    assert "authorization" not in request.headers


@pytest.mark.parametrize(
    ("kind", "urgency", "priority", "tag"),
    [
        (MessageKind.OPENED, Urgency.WARNING, 4, "warning"),
        (MessageKind.OPENED, Urgency.NOTICE, 3, "information_source"),
        (MessageKind.REMINDER, Urgency.CRITICAL, 5, "rotating_light"),
        (MessageKind.ESCALATED, Urgency.CRITICAL, 5, "rotating_light"),
        (MessageKind.RECOVERED, Urgency.CRITICAL, 3, "white_check_mark"),
        (MessageKind.WAS, Urgency.CRITICAL, 3, "white_check_mark"),
        (MessageKind.DIGEST, Urgency.NOTICE, 2, "newspaper"),
        (MessageKind.TEST, Urgency.NOTICE, 3, "wave"),
    ],
)
def test_only_what_is_wrong_wakes_somebody(send, kind, urgency, priority, tag):
    with Web() as web:
        message = replace(MESSAGE, kind=kind, urgency=urgency)
        assert send(f"ntfy://127.0.0.1:{web.port}/t", message).delivered
    assert (web.requests[0].json["priority"], web.requests[0].json["tags"]) == (priority, [tag])


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("ntfy://tk_s3cret@127.0.0.1:{}/t", "Bearer tk_s3cret"),
        ("ntfy://s3cret@127.0.0.1:{}/t?auth=token", "Bearer s3cret"),
        ("ntfy://127.0.0.1:{}/t?token=s3cret", "Bearer s3cret"),
        ("ntfy://user:s3cr%40et@127.0.0.1:{}/t", "Basic user:s3cr@et"),
        ("ntfy://user@127.0.0.1:{}/t", "Basic user:"),
    ],
)
def test_a_login_or_a_token_is_a_header(send, address, expected):
    with Web() as web:
        assert send(address.format(web.port)).delivered
    kind, _, value = web.requests[0].headers["authorization"].partition(" ")
    found = base64.b64decode(value).decode() if kind == "Basic" else value
    assert f"{kind} {found}" == expected


@pytest.mark.parametrize(
    ("address", "where"),
    [
        ("ntfy://s3cret", "https://ntfy.sh/"),
        ("ntfys://s3cret", "https://ntfy.sh/"),
        ("ntfy://ntfy.sh/s3cret", "https://ntfy.sh/"),
        ("https://ntfy.sh/s3cret", "https://ntfy.sh/"),
        ("ntfy://host/s3cret", "http://host/"),
        ("ntfys://host:8443/s3cret/", "https://host:8443/"),
        ("ntfys://[::1]:8443/s3cret", "https://[::1]:8443/"),
    ],
)
def test_where_it_goes(monkeypatch, address, where):
    """`ntfy://topic` has the topic where others have the host: it goes to ntfy.sh."""
    asked = []
    monkeypatch.setattr(ntfy, "ask", lambda url, body, headers: asked.append((url, body)))
    ntfy.send_ntfy(address, MESSAGE, {})
    assert asked[0][0] == where
    assert b'"topic": "s3cret"' in asked[0][1]


def test_a_topic_is_not_told_as_the_host(send, monkeypatch):
    def fail(*_):
        raise Failed("no")

    monkeypatch.setattr(ntfy, "ask", fail)
    assert send("ntfy://s3cret").error == "ntfy://ntfy.sh: no"
    assert ntfy.find_host(take_apart("ntfy://host/s3cret")) == "host"


@pytest.mark.parametrize(
    "address", ["ntfy://host/one/s3cret", "https://ntfy.sh/", "https://ntfy.sh"]
)
def test_a_destination_is_one_topic(send, address):
    assert "topic" in send(address).error
