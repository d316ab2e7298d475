"""A WebSocket server on loopback that speaks a gateway's RPC, well or badly, as a test wants.

with rpc_server() as server: ...; server.answers["tasks.list"] = lambda params: {"tasks": []}

The frames are those that a real 2026.9.6 sends and takes.
"""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from websockets.sync.server import ServerConnection

Params = dict[str, Any]
CHALLENGE = {"type": "event", "event": "connect.challenge", "payload": {"nonce": "n", "ts": 1}}
NOISE = {"type": "event", "event": "tick", "payload": {"ts": 2}, "seq": 1}


class Refuse(Exception):
    """Raised by an answer: the call is answered with an error."""

    def __init__(self, code: str, message: str, details: Params | None = None) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message}
        if details is not None:
            self.error["details"] = details


@dataclass
class RpcServer:
    """`secret` is asked for, None for nobody's; `grants` are the scopes it gives.

    `calls` are method and parameters in the order they came, `connects` the greetings.
    """

    port: int = 0
    secret: dict[str, str] | None = None
    grants: tuple[str, ...] = ("operator.read", "operator.admin")
    answers: dict[str, Callable[[Params], Params]] = field(default_factory=dict)
    lists_methods: bool = True
    calls: list[tuple[str, Params]] = field(default_factory=list)
    connects: list[Params] = field(default_factory=list)

    def talk(self, link: ServerConnection) -> None:
        """Greet whoever connects, and answer until he leaves."""
        link.send(json.dumps(CHALLENGE))
        for text in link:
            frame = json.loads(text)
            link.send(json.dumps(NOISE))
            try:
                told = {"ok": True, "payload": self._answer(frame["method"], frame["params"])}
            except Refuse as e:
                told = {"ok": False, "error": e.error}
            link.send(json.dumps({"type": "res", "id": frame["id"], **told}))

    def _answer(self, method: str, params: Params) -> Params:
        if method != "connect":
            self.calls.append((method, params))
            if method not in self.answers:
                raise Refuse("INVALID_REQUEST", f"unknown method: {method}")
            return self.answers[method](params)
        self.connects.append(params)
        if self.secret is not None and params.get("auth") != self.secret:
            details = {"code": "AUTH_TOKEN_MISMATCH"}
            raise Refuse("INVALID_REQUEST", f"unauthorized: not {params.get('auth')}", details)
        scopes = [each for each in params["scopes"] if each in self.grants]
        methods = {"features": {"methods": sorted(self.answers)}} if self.lists_methods else {}
        server = {"version": "2026.9.6", "connId": "c"}
        auth = {"role": "operator", "scopes": scopes}
        return {"type": "hello-ok", "protocol": 4, "server": server, "auth": auth, **methods}


@contextmanager
def rpc_server(**told: Any) -> Iterator[RpcServer]:
    """Serve until the block ends."""
    server = RpcServer(**told)
    with websocket_server(server.talk) as server.port:
        yield server


@contextmanager
def websocket_server(talk: Callable[[ServerConnection], None]) -> Iterator[int]:
    """Let `talk` have each connection; yields the port."""

    def handle(link: ServerConnection) -> None:
        with suppress(ConnectionClosed, OSError):
            talk(link)

    with serve(handle, "127.0.0.1", 0, compression=None, close_timeout=0.2) as server:
        thread = threading.Thread(target=server.serve_forever, name="rpc server", daemon=True)
        thread.start()
        try:
            yield server.socket.getsockname()[1]
        finally:
            server.shutdown()
            thread.join()
