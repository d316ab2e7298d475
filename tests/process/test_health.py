"""Real sockets: closed, silent, slow, torn, web pages, and the answers of each version."""

from __future__ import annotations

import json
import queue
import shutil
import socket
import ssl
import subprocess
import threading
import time
from contextlib import contextmanager

import pytest

from tailflip.observe.gateway.health import (
    HEALTH,
    READY,
    STARTUP,
    Probe,
    Prober,
    parse_answer,
    probe,
)

DEADLINE_S = 20


@contextmanager
def serve(handle, tls=None):
    """A server that gives each connection to `handle`; yields its port and the requests seen."""
    seen = queue.Queue()
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def run():
            while True:
                try:
                    link, _ = server.accept()
                except OSError:
                    return
                try:
                    if tls:
                        link = tls.wrap_socket(link, server_side=True)
                    seen.put(link.recv(65_536))
                    handle(link, stop)
                except OSError:
                    pass  # the client gave up first, which is what some tests want
                finally:
                    link.close()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1], seen
        finally:
            stop.set()
            server.shutdown(socket.SHUT_RDWR)
            thread.join(DEADLINE_S)
            assert not thread.is_alive()


def answer(status, body, content_type="application/json; charset=utf-8", length=True):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\n"
    return (
        head.encode() + (b"Content-Length: %d\r\n" % len(data) if length else b"") + b"\r\n" + data
    )


def says(data):
    return lambda link, stop: link.sendall(data)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_a_closed_port_refuses():
    found = probe(free_port(), HEALTH, 5)
    assert (found.kind, found.path) == ("refused", HEALTH)
    assert found.latency_s < 1


LIVE = {"ok": True, "status": "live"}
TABLE = [
    (HEALTH, 200, LIVE, "ok", "live"),
    (STARTUP, 200, {"ok": True, "status": "started", "version": "2026.9.6"}, "ok", "started 2026"),
    (STARTUP, 200, {"ok": True, "status": "started"}, "ok", "started"),
    (STARTUP, 503, {"ok": False, "status": "starting"}, "starting", "starting"),
    (
        STARTUP,
        503,
        {"ok": False, "status": "starting", "pendingReason": "startup-sidecars"},
        "starting",
        "startup-sidecars",
    ),
    (STARTUP, 503, {"ok": False, "status": "draining"}, "unready", "draining"),
    (READY, 200, {"ready": True}, "ok", "ready"),
    (READY, 503, {"ready": False}, "unready", "not ready"),
    (READY, 503, {"ready": False, "failing": ["telegram", "x"]}, "unready", "telegram, x"),
    (HEALTH, 200, {"hello": 1}, "other", "not of a health endpoint"),
    (HEALTH, 200, [1], "other", "not of a health endpoint"),
    (HEALTH, 404, LIVE, "other", "HTTP 404"),
    (HEALTH, 500, LIVE, "other", "HTTP 500"),
]


@pytest.mark.parametrize(("path", "status", "body", "kind", "detail"), TABLE)
def test_what_the_endpoints_say(path, status, body, kind, detail):
    with serve(says(answer(status, body))) as (port, seen):
        found = probe(port, path, 5)
    assert found.kind == kind
    assert detail in found.detail
    assert seen.get_nowait().startswith(
        f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n".encode()
    )


def test_a_web_page_is_not_health():
    """Every version answers an unknown path with 200 and its control page."""
    with serve(says(answer(200, b"<html>ok</html>", "text/html"))) as (port, _):
        assert probe(port, STARTUP, 5).kind == "other"


def test_an_answer_ends_with_its_length_though_the_connection_stays_open():
    def keep(link, stop):
        link.sendall(answer(200, LIVE))
        stop.wait(DEADLINE_S)

    with serve(keep) as (port, _):
        found = probe(port, HEALTH, 10)
    assert found.kind == "ok"
    assert found.latency_s < 5


def test_an_answer_without_length_ends_with_the_connection():
    with serve(says(answer(200, LIVE, length=False))) as (port, _):
        assert probe(port, HEALTH, 5).kind == "ok"


def test_an_accepted_connection_without_an_answer_times_out():
    with serve(lambda link, stop: stop.wait(DEADLINE_S)) as (port, _):
        found = probe(port, HEALTH, 0.2)
    assert found.kind == "timeout"
    assert 0.2 <= found.latency_s < 2


def test_a_full_backlog_times_out():
    """A stuck event loop accepts nothing: the kernel completes connections, then drops them."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        port = server.getsockname()[1]
        held = []
        try:
            for _ in range(4):
                link = socket.socket()
                link.setblocking(False)
                link.connect_ex(("127.0.0.1", port))
                held.append(link)
            assert probe(port, HEALTH, 0.3).kind == "timeout"
        finally:
            for link in held:
                link.close()


def test_an_answer_that_drips_cannot_outlast_the_timeout():
    """Each byte came in time, so that a timeout of each read alone would wait for ever."""

    def drip(link, stop):
        while not stop.wait(0.02):
            link.sendall(b"X")

    with serve(drip) as (port, _):
        found = probe(port, HEALTH, 0.4)
    assert found.kind == "timeout"
    assert found.latency_s < 3


def test_a_flood_is_cut_off():
    def flood(link, stop):
        while not stop.is_set():
            link.sendall(b"X" * 65_536)

    with serve(flood) as (port, _):
        assert probe(port, HEALTH, 10).kind == "other"


@pytest.mark.parametrize("data", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1\r\n\r\n", b"\x15\x03\x01\x00"])
def test_what_is_not_http_is_other(data):
    with serve(says(data)) as (port, _):
        assert probe(port, HEALTH, 5).kind == "other"


@pytest.mark.parametrize("body", [b"{", b"", b"[" * 50_000])
def test_json_that_is_none_is_other(body):
    assert parse_answer(answer(200, body)).kind == "other"


def test_details_cannot_reach_the_terminal():
    data = {"ready": False, "failing": ["a\x1b[31mred\r\n" + "x" * 500]}
    detail = parse_answer(answer(503, data)).detail
    assert detail.isprintable()
    assert len(detail) <= 120


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_tls_is_spoken_when_the_gateway_speaks_it(tmp_path):
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x"]
    files = ["-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "cert")]
    subprocess.run([*request, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    with serve(says(answer(200, LIVE)), tls=context) as (port, _):
        assert probe(port, HEALTH, 5, tls=True).kind == "ok"
        assert probe(port, HEALTH, 5).kind == "other"


def test_the_loop_does_not_wait_for_an_answer():
    answers = queue.Queue()
    go = threading.Event()

    def slow(link, stop):
        go.wait(DEADLINE_S)
        link.sendall(answer(200, LIVE))

    with serve(slow) as (port, _):
        prober = Prober(Probe(port), answers.put, timeout_s=10)
        began = time.monotonic()
        assert prober.ask(HEALTH)
        assert not prober.ask(HEALTH)  # one question at a time
        assert time.monotonic() - began < 1
        assert answers.empty()
        go.set()
        first = answers.get(timeout=DEADLINE_S)
        assert (first.kind, first.path) == ("ok", HEALTH)
        assert prober.ask(READY)
        assert answers.get(timeout=DEADLINE_S).path == READY


def test_after_close_no_answer_comes_and_nothing_is_asked():
    answers = queue.Queue()
    asked = threading.Event()

    def silent(link, stop):
        asked.set()
        stop.wait(DEADLINE_S)

    with serve(silent) as (port, _):
        prober = Prober(Probe(port), answers.put, timeout_s=0.3)
        assert prober.ask(HEALTH)
        assert asked.wait(DEADLINE_S)
        prober.close()
        deadline = time.monotonic() + DEADLINE_S
        while any(t.name == "tailflip-probe" for t in threading.enumerate()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert answers.empty()
    assert not prober.ask(HEALTH)
