"""Mail: threaded by the alert's name, by TLS where the address says so."""

from __future__ import annotations

import email
from dataclasses import replace
from email import policy

import pytest

from support.mail_server import MailServer
from support.messages import MESSAGE
from support.receivers import Deaf
from tailflip.alerts.sending import mail
from tailflip.alerts.sending.failure import Failed
from tailflip.alerts.sending.urls import take_apart
from tailflip.flow.alerts import MessageKind, Urgency

TO = "to=me@home.example"


def parse(sent):
    return email.message_from_bytes(sent.data, policy=policy.default)


def test_a_mail_by_plain_smtp(send):
    with MailServer() as server:
        assert send(
            f"mailto://127.0.0.1:{server.port}/a@home.example?{TO}&from=tf@srv.example"
        ).delivered
    (sent,) = server.mails
    assert (sent.sender, sent.receivers) == (
        "tf@srv.example",
        ["a@home.example", "me@home.example"],
    )
    assert (sent.login, sent.has_tls) == ("", False)
    read = parse(sent)
    assert read["Subject"] == MESSAGE.subject
    assert read["From"] == "tailflip <tf@srv.example>"
    assert read["To"] == "a@home.example, me@home.example"
    assert read.get_content().replace("\r\n", "\n") == MESSAGE.body + "\n"
    assert read["Date"].datetime.timestamp() == MESSAGE.made_ms / 1000
    assert read["Message-ID"] == "<tf-attic-12.345@srv.example>"
    assert read["References"] == "<tf-attic-12@srv.example>"
    assert read["In-Reply-To"] is None
    assert read["Auto-Submitted"] == "auto-generated"
    assert read["Importance"] == "high"


def test_all_mails_about_one_alert_are_one_thread(send):
    """Also where the first was never delivered; and a mail that comes twice has one name."""
    address = "mailto://127.0.0.1:{}/a@home.example?from=tf@srv.example"
    later = replace(MESSAGE, number=346, kind=MessageKind.RECOVERED)
    digest = replace(
        MESSAGE, number=347, kind=MessageKind.DIGEST, urgency=Urgency.NOTICE, alerts=()
    )
    with MailServer() as server:
        for message in (MESSAGE, MESSAGE, later, digest):
            assert send(address.format(server.port), message).delivered
    first, again, over, daily = map(parse, server.mails)
    assert first["Message-ID"] == again["Message-ID"] != over["Message-ID"]
    assert first["References"] == over["References"] == over["In-Reply-To"]
    assert over["Importance"] is None
    assert daily["References"] is None
    assert daily["Message-ID"] == "<tailflip.347@srv.example>"


@pytest.mark.parametrize("at_once", [False, True])
def test_login_and_mail_go_by_tls(send, trusted, at_once):
    mode = "&mode=ssl" if at_once else ""
    with MailServer(trusted, at_once) as server:
        address = f"mailtos://user:s3cret@localhost:{server.port}?{TO}{mode}"
        done = send(address)
    assert done.error == ""
    (sent,) = server.mails
    assert (sent.login, sent.has_tls) == ("user:s3cret", True)
    assert sent.sender == "user@localhost"


def test_a_certificate_that_is_not_trusted_gets_no_password(send, certificate):
    with MailServer(certificate) as server:
        done = send(f"mailtos://user:s3cret@localhost:{server.port}?{TO}")
    assert done.error.startswith("mailtos://localhost: its certificate is not trusted")
    assert server.mails == []


def test_a_server_without_starttls_gets_nothing(send):
    with MailServer() as server:
        done = send(f"mailtos://user:s3cret@localhost:{server.port}?{TO}")
    assert done.error == (
        "mailtos://localhost: the server has no STARTTLS, or no login that we know"
    )


def test_no_password_is_sent_in_the_clear_beyond_this_host(send):
    done = send(f"mailto://user:s3cret@mail.example?{TO}")
    assert done.error == (
        "mailto://mail.example: mailto:// would send the password in the clear; write mailtos://"
    )
    with MailServer() as server:
        assert send(f"mailto://user:s3cret@127.0.0.1:{server.port}?{TO}").delivered
    assert server.mails[0].login == "user:s3cret"


@pytest.mark.parametrize(
    ("refuse", "said", "is_final"),
    [
        ({"AUTH": "535 s3cret"}, "the server refused the login (535)", False),
        ({"MAIL": "550 s3cret"}, "the server refused the sender (550)", False),
        ({"RCPT": "550 s3cret"}, "the server refused every receiver (550)", True),
        ({"RCPT": "451 s3cret"}, "the server refused every receiver (451)", False),
        ({"DATA": "451 s3cret"}, "the server refused the message (451)", False),
        ({".": "552 s3cret"}, "the server refused the message (552)", True),
        ({".": "421 s3cret"}, "the server refused the message (421)", False),
    ],
)
def test_a_refusal_is_told_by_its_number(send, refuse, said, is_final):
    with MailServer(refuse=refuse) as server:
        done = send(f"mailto://user:s3cret@127.0.0.1:{server.port}?{TO}")
    assert (done.error, done.is_final) == (f"mailto://127.0.0.1: {said}", is_final)


def test_one_receiver_that_is_refused_does_not_bring_it_to_the_others_again(send):
    with MailServer() as server:
        done = send(f"mailto://127.0.0.1:{server.port}/unknown@x.example/a@x.example")
    assert done.delivered
    assert server.mails[0].receivers == ["a@x.example"]


def test_a_server_that_never_answers_is_given_up(send, monkeypatch):
    monkeypatch.setattr(mail, "_TIMEOUT_S", 0.2)
    with Deaf() as deaf:
        done = send(f"mailto://127.0.0.1:{deaf.port}?{TO}")
    assert "in time" in done.error


@pytest.mark.parametrize(
    ("address", "expected", "receivers"),
    [
        ("mailto://h.example", ("h.example", 25, "insecure", "tailflip@h.example"), ()),
        ("mailtos://u:p@h.example", ("h.example", 587, "starttls", "u@h.example"), ()),
        ("mailtos://u:p@h.example:465", ("h.example", 465, "ssl", "u@h.example"), ()),
        (
            "mailtos://u:p@h.example?smtp=smtp.h.example&to=a@b.c,d@e.f",
            ("smtp.h.example", 587, "starttls", "u@h.example"),
            ("a@b.c", "d@e.f"),
        ),
        ("mailto://h.example?from=x", ("h.example", 25, "insecure", "x@h.example"), ()),
        (
            "mailtos://u%40q.r:p@h.example/a@b.c",
            ("h.example", 587, "starttls", "u@q.r"),
            ("a@b.c",),
        ),
    ],
)
def test_the_route_that_an_address_means(address, expected, receivers):
    """As Apprise spells them; without a receiver, the sender writes to itself."""
    route = mail.plan_route(take_apart(address))
    assert (route.server, route.port, route.mode, route.sender) == expected
    assert route.receivers == (receivers or (route.sender,))


@pytest.mark.parametrize(
    "address",
    ["mailto://", "mailto://h?mode=none", "mailto://h?to=nobody", "mailto://h?to=a%0d%0ab@c.d"],
)
def test_an_address_without_a_way_is_refused(address):
    """A line break in an address would be a header of its own."""
    with pytest.raises(Failed):
        mail.plan_route(take_apart(address))
