"""Asks a living gateway through its own WebSocket RPC, which it has from 2026.8.1 on.

The one place that knows frames and methods. A connection is to one process: when that ends, so
does the connection, and no request reaches the next gateway.

    < {"type": "event", "event": "connect.challenge", "payload": {"nonce": ...}}
    > {"type": "req", "id": "1", "method": "connect", "params": {client, scopes, auth, ...}}
    < {"type": "res", "id": "1", "ok": true, "payload": {"type": "hello-ok", "protocol": 4, ...}}
    > {"type": "req", "id": "2", "method": "tasks.list", "params": {}}
    < {"type": "res", "id": "2", "ok": true, "payload": {"tasks": [...]}}
    < {"type": "res", "id": "3", "ok": false, "error": {"code": ..., "message": ...}}

Other events pass by unread. What the gateway says of an error may quote a session key, so its
code is told and its message is not.

Source: OpenClaw 2026.9.6, looked at with this client: a backend client on loopback needs no
device and no pairing, and leaves no row behind.
"""

from __future__ import annotations

import re
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from itertools import count
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json, to_json

from tailflip.base import clock
from tailflip.base.errors import NoPermission, TailflipError, TryLater, Unavailable
from tailflip.observe.gateway.dial import connect
from tailflip.observe.gateway.health import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from websockets.sync.client import ClientConnection

    from tailflip.observe.gateway.access import Access

PROTOCOL = 4
MOST_BYTES = 8 << 20  # of one message; the greeting has 15 KB, a list of 100 rows some 100 KB
TIMEOUT_S = 20.0  # the first list after a start was measured at 3.9 s
_CLOSE_S = 0.5
_TOO_LARGE = 1009  # the close code that a message beyond the limit is answered with
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_AUTH = re.compile(r"(?i)auth|pair|device|token|password|origin")
_SCOPE = re.compile(r"(?i)missing.scope")
_UNKNOWN_METHOD = re.compile(r"(?i)unknown method")


class Scope(StrEnum):
    """What a connection asks to be allowed."""

    READ = "operator.read"
    ADMIN = "operator.admin"


class Method(StrEnum):
    """The methods that tailflip calls."""

    HEALTH = "health"
    SESSIONS = "sessions.list"  # names no run of a cron job, whatever is asked
    JOBS = "cron.list"
    TASKS = "tasks.list"
    DELETE = "sessions.delete"

    @property
    def scope(self) -> Scope:
        """The scope that a caller needs."""
        return Scope.ADMIN if self is Method.DELETE else Scope.READ


class CallRefused(Unavailable):
    """The gateway answered a call with an error: nothing was changed. `code` is its word for it."""

    def __init__(self, message: str, code: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code = code


class Rpc:
    """One connection; made by `calling`. `version` is the gateway's own word for its release."""

    def __init__(self, link: ClientConnection, where: str, timeout_s: float) -> None:
        """Take a connection that was opened and not greeted yet."""
        self._link = link
        self._where = where
        self._timeout_s = timeout_s
        self._ids = count(1)
        self._scope = Scope.READ
        self._methods: frozenset[str] = frozenset()
        self.version = ""

    def call(
        self, method: Method, params: Mapping[str, Any] | None = None, *, timeout_s: float = 0
    ) -> Mapping[str, Any]:
        """Call a method and wait for its answer.

        Args:
            method: what is called.
            params: its arguments.
            timeout_s: of this call; 0 for that of the connection.

        Raises:
            CallRefused: the gateway answered with an error, and changed nothing.
            NoPermission: the connection did not ask for the scope, or was not given it.
            Unavailable: the gateway has no such method, or does not speak as it should.
            TryLater: no answer in time, or the connection ended: whether it was done is unknown.
        """
        if method.scope is Scope.ADMIN and self._scope is not Scope.ADMIN:
            raise NoPermission(f"{method} needs {method.scope}, which was not asked for")
        if self._methods and method not in self._methods:
            raise Unavailable(
                f"the gateway ({self.version}) has no {method}: {self._where}",
                hint="a newer tailflip may know what took its place",
            )
        return self._ask(method, params or {}, timeout_s or self._timeout_s)

    def greet(self, access: Access, scope: Scope) -> None:
        """Wait for the challenge, and connect; raises as `call`, and NoPermission for a secret."""
        until_s = clock.monotonic_s() + self._timeout_s
        while self._read("connect", until_s).get("event") != "connect.challenge":
            pass
        hello = self._ask(
            "connect",
            {
                "minProtocol": PROTOCOL,
                "maxProtocol": PROTOCOL,
                # The gateway knows a closed list of clients; this one is for programs.
                "client": {
                    "id": "gateway-client",
                    "version": "1",
                    "platform": "linux",
                    "mode": "backend",
                },
                "role": "operator",
                "scopes": sorted({Scope.READ, scope}),
                "caps": [],
                **({"auth": dict(access.secret)} if access.secret else {}),
            },
            self._timeout_s,
        )
        if hello.get("type") != "hello-ok" or hello.get("protocol") != PROTOCOL:
            raise self._odd("its greeting is none of protocol 4")
        given = _section(hello, "auth").get("scopes")
        if isinstance(given, list) and scope not in given:
            raise NoPermission(f"the gateway did not grant {scope}: {self._where}")
        methods = _section(hello, "features").get("methods")
        self._methods = frozenset(map(str, methods)) if isinstance(methods, list) else frozenset()
        self.version = _clean(_section(hello, "server").get("version"))
        self._scope = scope

    def _ask(self, method: str, params: Mapping[str, Any], timeout_s: float) -> Mapping[str, Any]:
        from websockets.exceptions import ConnectionClosed  # noqa: PLC0415 - as in `calling`

        until_s = clock.monotonic_s() + timeout_s
        own = str(next(self._ids))
        frame = {"type": "req", "id": own, "method": method, "params": params}
        try:
            self._link.send(to_json(frame).decode())
        except ConnectionClosed as e:
            raise self._ended(method) from e
        while True:
            told = self._read(method, until_s)
            if told.get("type") == "res" and told.get("id") == own:
                break
        if told.get("ok") is not True:
            raise self._refused(method, _section(told, "error"))
        return _section(told, "payload")

    def _read(self, method: str, until_s: float) -> Mapping[str, Any]:
        """Read the next frame; what comes meanwhile does not put the end off."""
        from websockets.exceptions import ConnectionClosed  # noqa: PLC0415 - as in `calling`

        left_s = until_s - clock.monotonic_s()
        if left_s <= 0:
            raise self._late(method)
        try:
            told = from_json(self._link.recv(timeout=left_s))
        except TimeoutError as e:
            raise self._late(method) from e
        except ConnectionClosed as e:
            if e.sent is not None and e.sent.code == _TOO_LARGE:
                raise self._odd(f"its answer to {method} is too large") from e
            raise self._ended(method) from e
        except ValueError as e:
            raise self._odd("what it says is not JSON") from e
        if not isinstance(told, dict):
            raise self._odd("what it says is no frame")
        return told

    def _refused(self, method: str, error: Mapping[str, Any]) -> TailflipError:
        """Tell an error by its code; a message of the gateway's is matched and not repeated."""
        details = _section(error, "details")
        code = _clean(details.get("code") or details.get("reason")) or _clean(error.get("code"))
        said = str(error.get("message", ""))
        what = f"the gateway refused {method} ({code or 'no code'}): {self._where}"
        if _SCOPE.search(f"{code} {said}"):
            return NoPermission(f"the gateway grants no scope for {method}: {self._where}")
        if method == "connect" and _AUTH.search(f"{code} {said}"):
            return NoPermission(
                what,
                hint="tailflip takes the token or password of openclaw.json and of the gateway's "
                "environment; it does not pair a device",
            )
        if method == "connect" and error.get("retryable") is True:
            return TryLater(f"the gateway takes no calls yet ({code or 'no code'}): {self._where}")
        if _UNKNOWN_METHOD.search(said):
            return Unavailable(f"the gateway ({self.version}) has no {method}: {self._where}")
        return CallRefused(what, code)

    def _late(self, method: str) -> TryLater:
        return TryLater(f"the gateway gave no answer to {method} in time: {self._where}")

    def _ended(self, method: str) -> TryLater:
        return TryLater(f"the gateway ended the connection at {method}: {self._where}")

    def _odd(self, why: str) -> Unavailable:
        return Unavailable(f"no gateway that tailflip understands: {self._where}: {why}")


@contextmanager
def calling(
    access: Access, scope: Scope = Scope.READ, *, timeout_s: float = TIMEOUT_S
) -> Iterator[Rpc]:
    """Connect to the gateway of this host, and end the connection with the block.

    Args:
        access: port and secret.
        scope: what is asked for; reading by default.
        timeout_s: bounds the greeting, and each call that says nothing else.

    Raises:
        Unavailable: nobody listens, or the library is not installed.
        NoPermission: the gateway does not accept the secret.
        TryLater: no answer in time.
    """
    try:
        # It costs memory, and few verbs ask a gateway.
        from websockets.exceptions import WebSocketException  # noqa: PLC0415
        from websockets.sync.client import connect as upgrade  # noqa: PLC0415
    except ImportError as e:
        raise Unavailable(
            "the gateway cannot be asked: the library `websockets` is not installed",
            hint='install it with tailflip: `pip install "tailflip[rpc]"`',
        ) from e
    where = f"port {access.port}"
    try:
        wire = connect(LOOPBACK, access.port, timeout_s)
    except ConnectionRefusedError as e:
        raise Unavailable(f"no gateway listens on {where}: connection refused") from e
    except OSError as e:
        raise TryLater(f"the gateway gave no answer in time: {where}") from e
    wire.settimeout(None)  # the library bounds each wait by itself
    scheme = "wss" if access.tls else "ws"
    ending = ExitStack()
    try:
        link = ending.enter_context(
            upgrade(
                f"{scheme}://{LOOPBACK}:{access.port}",
                sock=wire,
                ssl=access.make_tls(),
                proxy=None,
                compression=None,
                user_agent_header=None,
                open_timeout=timeout_s,
                close_timeout=_CLOSE_S,
                ping_interval=None,  # the gateway pings
                max_size=MOST_BYTES,
                max_queue=2,
            )
        )
    except (WebSocketException, OSError, EOFError) as e:
        wire.close()
        if isinstance(e, TimeoutError):
            raise TryLater(f"the gateway gave no answer in time: {where}") from e
        raise Unavailable(f"no gateway that tailflip understands: {where}: no WebSocket") from e
    with ending:
        rpc = Rpc(link, where, timeout_s)
        rpc.greet(access, scope)
        yield rpc


def _section(frame: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = frame.get(name)
    return value if isinstance(value, dict) else {}


def _clean(word: object) -> str:
    """Return a code or a version; whatever else the gateway says in its place is not told."""
    return word if isinstance(word, str) and _WORD.fullmatch(word) else ""
