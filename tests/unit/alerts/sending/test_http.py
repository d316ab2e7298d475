"""What is said of each way in which an HTTP receiver can fail; the address is in none of it."""

from __future__ import annotations

import socket

import pytest

from support.receivers import Deaf, Web
from tailflip.alerts.sending import http

HOOK = "http://127.0.0.1:{}/s3cret?key=s3cret"


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_answer_of_success_is_a_delivery(send, status):
    with Web(status) as web:
        done = send(HOOK.format(web.port))
    assert (done.delivered, done.error) == (True, "")
    assert len(web.requests) == 1


@pytest.mark.parametrize(
    ("status", "said", "is_final"),
    [
        (301, "answered 301: it has moved, and is not followed; set its new address", False),
        (307, "answered 307: it has moved, and is not followed; set its new address", False),
        (400, "answered 400 Bad Request", True),
        (401, "answered 401 Unauthorized: look at the login or token in the address", False),
        (404, "answered 404 Not Found: look at the address", False),
        (413, "answered 413 Request Entity Too Large", True),
        (429, "answered 429 Too Many Requests: it wants fewer messages", False),
        (500, "answered 500 Internal Server Error", False),
        (503, "answered 503 Service Unavailable", False),
        (599, "answered 599", False),
    ],
)
def test_an_answer_is_told_by_its_number(send, status, said, is_final):
    """Only what refuses this very message is final: an address, login or server can be mended."""
    with Web(status, location="http://127.0.0.1:1/s3cret") as web:
        done = send(HOOK.format(web.port))
    assert done.error == f"http://127.0.0.1: {said}"
    assert (done.delivered, done.is_final) == (False, is_final)
    assert len(web.requests) == 1, "nothing is sent on to where a redirect leads"


def test_a_receiver_that_never_answers_is_given_up(send, monkeypatch):
    monkeypatch.setattr(http, "TIMEOUT_S", 0.2)
    with Deaf() as deaf:
        done = send(HOOK.format(deaf.port))
    assert done.error == "http://127.0.0.1: no answer in time"
    assert not done.is_final


def test_a_port_without_a_receiver_refuses(send):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert send(HOOK.format(port)).error == "http://127.0.0.1: the connection was refused"


def test_a_name_that_is_not_found_is_told_without_the_address(send):
    """homebutler#176: the failure of a name server printed the bot's token."""
    done = send("https://none.invalid/s3cret")
    assert done.error == "https://none.invalid: the host's name was not found"
    assert not done.is_final


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:99999/s3cret",
        "http://[s3cret/x",
        "http://127.0.0.1:s3cret/",
        "http:///s3cret",
    ],
)
def test_an_address_that_cannot_be_read_is_told_by_its_scheme(send, url):
    done = send(url)
    assert not done.delivered
    assert done.error.startswith("http://")


def test_an_answer_that_is_no_http_is_told(send):
    with socket.create_server(("127.0.0.1", 0)) as server:
        import threading  # noqa: PLC0415

        def babble():
            link = server.accept()[0]
            link.recv(65_536)
            link.sendall(b"s3cret s3cret\r\n\r\n")
            link.close()

        threading.Thread(target=babble, daemon=True).start()
        done = send(HOOK.format(server.getsockname()[1]))
    assert done.error == "http://127.0.0.1: could not be sent (BadStatusLine)"


def test_tls_is_checked(send, certificate):
    with Web(certificate=certificate) as web:
        done = send(f"https://127.0.0.1:{web.port}/s3cret")
    assert done.error == (
        "https://127.0.0.1: its certificate is not trusted (self-signed); SSL_CERT_FILE names the "
        "authorities that are"
    )
    assert web.requests == []


def test_tls_with_a_trusted_certificate(send, trusted):
    with Web(certificate=trusted) as web:
        assert send(f"https://127.0.0.1:{web.port}/s3cret").delivered
    assert web.requests[0].path == "/s3cret"


def test_tls_with_a_port_that_speaks_none(send):
    with Web() as web:
        done = send(f"https://127.0.0.1:{web.port}/s3cret")
    assert done.error == "https://127.0.0.1: TLS failed: is it a port for TLS?"


def test_the_proxy_of_the_environment_is_taken(send, monkeypatch):
    with Web() as proxy:
        monkeypatch.setenv("http_proxy", f"http://user:s3cret@127.0.0.1:{proxy.port}")
        assert send("http://hooks.example/s3cret").delivered
        assert proxy.requests[0].path == "http://hooks.example/s3cret"
        assert proxy.requests[0].headers["proxy-authorization"].startswith("Basic ")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with Web() as web:
            assert send(HOOK.format(web.port)).delivered
        assert len(proxy.requests) == 1
        # It has no CONNECT.
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
        said = send("https://hooks.example/s3cret").error
    assert said == "https://hooks.example: the proxy refused to connect"
