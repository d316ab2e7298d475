"""The client against a real WebSocket server of its own: well behaved, hostile, silent."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time

import pytest
from websockets.exceptions import ConnectionClosed

from fakes.rpc_server import CHALLENGE, Refuse, rpc_server, websocket_server
from tailflip.base.errors import NoPermission, TailflipError, TryLater, Unavailable
from tailflip.observe.gateway.access import Access
from tailflip.reconcile.write import rpc as module
from tailflip.reconcile.write.rpc import CallRefused, Method, Scope, calling

SECRET = "CANARY-9f8e7d6c5b4a"  # noqa: S105 - guards a server of this test
KEY = "agent:main:whatsapp:direct:+4915112345678"


def ask(port: int, method: Method = Method.TASKS, *, timeout_s: float = 5.0, **more):
    with calling(Access(port, **more), method.scope, timeout_s=timeout_s) as rpc:
        return rpc.call(method, {})


def fail(port: int, kind: type[TailflipError], *, timeout_s: float = 5.0, **more) -> TailflipError:
    began = time.monotonic()
    with pytest.raises(kind) as caught:
        ask(port, timeout_s=timeout_s, **more)
    assert time.monotonic() - began < timeout_s + 5
    told = f"{caught.value.message} {caught.value.hint}"
    assert SECRET not in told
    assert KEY not in told
    return caught.value


def test_a_call_is_answered_and_other_frames_pass_by():
    with rpc_server(answers={"tasks.list": lambda params: {"tasks": [params]}}) as server:
        with calling(Access(server.port)) as rpc:
            assert rpc.version == "2026.9.6"
            for number in range(3):
                assert rpc.call(Method.TASKS, {"n": number}) == {"tasks": [{"n": number}]}
        assert server.calls == [("tasks.list", {"n": n}) for n in range(3)]


def test_reading_is_all_that_is_asked_for_and_no_secret_goes_where_none_is_wanted():
    with rpc_server(answers={"health": lambda _: {}}) as server:
        ask(server.port, Method.HEALTH)
        (greeting,) = server.connects
    assert greeting["scopes"] == ["operator.read"]
    assert "auth" not in greeting
    assert "device" not in greeting


def test_administration_is_refused_here_where_it_was_not_asked_for():
    with rpc_server(answers={"sessions.delete": lambda _: {}}) as server:
        with (
            calling(Access(server.port)) as rpc,
            pytest.raises(NoPermission, match="not asked for"),
        ):
            rpc.call(Method.DELETE, {})
        assert server.calls == []
        with calling(Access(server.port), Scope.ADMIN) as rpc:
            rpc.call(Method.DELETE, {"key": KEY})
        assert server.calls == [("sessions.delete", {"key": KEY})]
        assert server.connects[1]["scopes"] == ["operator.admin", "operator.read"]


def test_a_scope_that_is_not_granted_ends_the_connection():
    with rpc_server(grants=("operator.read",), answers={"sessions.delete": dict}) as server:
        with pytest.raises(NoPermission, match=r"did not grant operator\.admin"):
            ask(server.port, Method.DELETE)
        assert server.calls == []


def test_the_right_secret_opens_and_a_wrong_one_is_told_without_it():
    right = {"token": SECRET}
    with rpc_server(secret=right, answers={"tasks.list": lambda _: {"tasks": []}}) as server:
        assert ask(server.port, secret=right) == {"tasks": []}
        error = fail(server.port, NoPermission, secret={"token": f"{SECRET}-wrong"})
        assert "AUTH_TOKEN_MISMATCH" in error.message
        assert SECRET not in repr(Access(server.port, secret=right))


def test_a_port_where_nobody_listens_is_refused():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert "connection refused" in fail(port, Unavailable).message


@pytest.mark.parametrize("lists_methods", [True, False])
def test_a_method_that_the_gateway_has_not_is_told_as_such(lists_methods):
    with rpc_server(lists_methods=lists_methods, answers={"health": dict}) as server:
        error = fail(server.port, Unavailable)
    assert "has no tasks.list" in error.message
    assert "2026.9.6" in error.message


def test_an_error_is_told_by_its_code_and_never_in_the_gateway_s_words():
    def refuse(_):
        raise Refuse("UNAVAILABLE", f"session {KEY} changed", {"reason": "session-changed"})

    with rpc_server(answers={"tasks.list": refuse}) as server:
        error = fail(server.port, CallRefused)
    assert error.code == "session-changed"
    assert "session-changed" in error.message


def test_a_code_that_is_no_word_is_not_told():
    def refuse(_):
        raise Refuse(KEY, f"no {SECRET}", {"code": SECRET + "\x1b[31m" * 20})

    with rpc_server(answers={"tasks.list": refuse}) as server:
        error = fail(server.port, CallRefused)
    assert error.code == ""


def test_a_scope_that_is_missing_for_one_call_is_no_secret_s_fault():
    def refuse(_):
        raise Refuse("INVALID_REQUEST", "missing scope: operator.admin", {"code": "MISSING_SCOPE"})

    with rpc_server(answers={"tasks.list": refuse}) as server:
        assert "grants no scope" in fail(server.port, NoPermission).message


def test_a_gateway_that_is_still_starting_may_be_asked_again():
    def talk(link):
        link.send(json.dumps(CHALLENGE))
        own = json.loads(link.recv())["id"]
        error = {"code": "UNAVAILABLE", "message": "gateway starting", "retryable": True}
        error["details"] = {"reason": "startup-sidecars"}
        link.send(json.dumps({"type": "res", "id": own, "ok": False, "error": error}))
        link.recv()

    with websocket_server(talk) as port:
        assert "takes no calls yet (startup-sidecars)" in fail(port, TryLater).message


# What a hostile or broken peer does once the WebSocket is open.
def _never_speaks(link):
    link.recv()


def _never_answers(link):
    link.send(json.dumps(CHALLENGE))
    while True:
        link.recv()


def _talks_of_other_things(link):
    link.send(json.dumps(CHALLENGE))
    while True:
        link.send(json.dumps({"type": "event", "event": "tick"}))
        time.sleep(0.01)


def _answers_others(link):
    link.send(json.dumps(CHALLENGE))
    link.recv()
    for number in ("0", "99", 1, None):
        link.send(json.dumps({"type": "res", "id": number, "ok": True, "payload": {}}))
    link.recv()


def _leaves(link):
    link.send(json.dumps(CHALLENGE))
    link.recv()
    link.close()


def _is_killed(link):
    link.send(json.dumps(CHALLENGE))
    link.recv()
    link.socket.shutdown(socket.SHUT_RDWR)


def _says_too_much(link):
    link.send(json.dumps(CHALLENGE))
    link.recv()
    part = "x" * (1 << 20)
    link.send([part] * (module.MOST_BYTES // len(part) + 1))


def _says(data):
    def talk(link):
        link.send(data)
        link.recv()

    return talk


@pytest.mark.parametrize(
    ("talk", "kind", "words"),
    [
        (_never_speaks, TryLater, "no answer to connect in time"),
        (_never_answers, TryLater, "no answer to connect in time"),
        (_talks_of_other_things, TryLater, "no answer to connect in time"),
        (_answers_others, TryLater, "no answer to connect in time"),
        (_leaves, TryLater, "ended the connection at connect"),
        (_is_killed, TryLater, "ended the connection at connect"),
        (_says_too_much, Unavailable, "too large"),
        (_says("{broken"), Unavailable, "not JSON"),
        (_says(b"\xff\x00\xfe"), Unavailable, "not JSON"),
        (_says("[" * 100_000), Unavailable, "not JSON"),
        (_says("[1, 2]"), Unavailable, "no frame"),
        (_says("null"), Unavailable, "no frame"),
    ],
)
def test_a_hostile_peer_costs_bounded_time_and_is_told(talk, kind, words):
    with websocket_server(talk) as port:
        assert words in fail(port, kind, timeout_s=1.0).message


@pytest.mark.parametrize(
    "hello",
    [{}, {"type": "hello-ok", "protocol": 3}, {"type": "hello-ok"}, {"type": "bye", "protocol": 4}],
)
def test_another_protocol_is_not_guessed_at(hello):
    def talk(link):
        link.send(json.dumps(CHALLENGE))
        own = json.loads(link.recv())["id"]
        link.send(json.dumps({"type": "res", "id": own, "ok": True, "payload": hello}))
        link.recv()

    with websocket_server(talk) as port:
        assert "protocol 4" in fail(port, Unavailable).message


@pytest.mark.parametrize(
    "said",
    [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", b"SSH-2.0-x\r\n", b"\0" * 70_000],
)
def test_a_port_that_speaks_something_else_is_told(said):
    def serve(listener):
        with listener.accept()[0] as link:
            link.recv(4096)
            link.sendall(said)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        error = fail(listener.getsockname()[1], Unavailable)
        thread.join()
    assert "no WebSocket" in error.message


def test_a_port_that_is_silent_is_given_up_in_time():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fail(listener.getsockname()[1], TryLater, timeout_s=0.5)


def test_what_became_of_a_call_is_unknown_when_the_gateway_goes_away_in_the_middle():
    gone = threading.Event()

    def die(_):
        gone.set()
        raise ConnectionClosed(None, None)

    with rpc_server(answers={"tasks.list": die}) as server:
        error = fail(server.port, TryLater)
    assert gone.is_set()
    assert error.retry


def test_without_the_library_the_hint_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "websockets.sync.client", None)
    error = fail(1, Unavailable)
    assert "tailflip[rpc]" in error.hint


def test_no_front_door_loads_the_library():
    """`watch` and `reconcile` load it when a gateway is to be asked, and nobody else does."""
    script = (
        "import sys, tailflip.cli.front, tailflip.supervise.gate, tailflip.supervise.supervisor, "
        "tailflip.supervise.watch, tailflip.reconcile.kinds; print(*sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(ran.stdout.split())
    assert "tailflip.reconcile.kinds" in loaded
    assert not {each for each in loaded if each.startswith("websockets")}
    assert "tailflip.reconcile.write.rpc" not in loaded
