"""Telegram: one message to one chat; the token, which is in the path, is never told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from support.messages import MESSAGE
from support.receivers import Web
from tailflip.alerts.sending import telegram
from tailflip.flow.alerts import MessageKind, Urgency

TOKEN = "123456:s3cret_AA-x"  # noqa: S105 - a canary


@pytest.mark.parametrize(
    "spelt", [TOKEN, TOKEN.replace(":", "%3A"), TOKEN.replace(":", "/"), f"bot{TOKEN}"]
)
def test_a_message_goes_to_a_chat(send, spelt):
    with Web() as web:
        done = send(f"tgram://{spelt}/-1001234?api=http://127.0.0.1:{web.port}")
    assert done.error == ""
    (request,) = web.requests
    assert (request.method, request.path) == ("POST", f"/bot{TOKEN}/sendMessage")
    assert request.json == {
        "chat_id": -1001234,
        "text": f"{MESSAGE.subject}\n\n{MESSAGE.body}",
        "link_preview_options": {"is_disabled": True},
        "disable_notification": False,
    }


@pytest.mark.parametrize(
    ("chat", "query", "chat_id", "topic"),
    [
        ("12", "", 12, None),
        ("@channel_1", "", "@channel_1", None),
        ("channel_1", "", "@channel_1", None),
        ("-12:7", "", -12, 7),
        ("12", "&topic=9", 12, 9),
        ("12", "&thread=9", 12, 9),
    ],
)
def test_chats_and_topics(send, chat, query, chat_id, topic):
    with Web() as web:
        assert send(f"tgram://{TOKEN}/{chat}/?api=http://127.0.0.1:{web.port}{query}").delivered
    said = web.requests[0].json
    assert (said["chat_id"], said.get("message_thread_id")) == (chat_id, topic)


@pytest.mark.parametrize(
    ("kind", "urgency", "is_quiet"),
    [
        (MessageKind.OPENED, Urgency.WARNING, False),
        (MessageKind.OPENED, Urgency.NOTICE, True),
        (MessageKind.RECOVERED, Urgency.CRITICAL, False),
        (MessageKind.DIGEST, Urgency.WARNING, True),
    ],
)
def test_what_can_wait_makes_no_sound(send, kind, urgency, is_quiet):
    with Web() as web:
        message = replace(MESSAGE, kind=kind, urgency=urgency)
        assert send(f"tgram://{TOKEN}/12?api=http://127.0.0.1:{web.port}", message).delivered
    assert web.requests[0].json["disable_notification"] is is_quiet


@pytest.mark.parametrize(
    "address",
    [
        f"tgram://{TOKEN}",
        f"tgram://{TOKEN}/12/13",
        f"tgram://{TOKEN}/a b",
        "tgram://s3cret/12",
        f"tgram://{TOKEN}/12?api=file:///s3cret",
        f"tgram://{TOKEN}/x%0a",
    ],
)
def test_an_address_that_names_no_chat_is_refused(send, address):
    done = send(address)
    assert done.error.startswith("tgram://api.telegram.org: ")
    assert not done.delivered


def test_a_refusal_names_no_token(send, monkeypatch):
    with Web(404) as web:
        done = send(f"tgram://{TOKEN}/12?api=http://127.0.0.1:{web.port}")
    assert done.error == "tgram://api.telegram.org: answered 404 Not Found: look at the address"
    asked = []
    monkeypatch.setattr(telegram, "ask", lambda url, body, headers: asked.append(url))
    assert send(f"tgram://{TOKEN}/12").delivered
    assert asked == [f"https://api.telegram.org/bot{TOKEN}/sendMessage"]
