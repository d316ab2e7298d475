"""Asks the gateway on its port whether it is well, and measures how late it answers.

The gateway answers from one event loop, so a late answer is a busy loop: 4 to 7 s in a sweep are
normal, and the port is closed for up to 43 s during a start. Source: OpenClaw 2026.3.28,
2026.4.14 and 2026.9.6, `server-http-probes` and `readiness`:

    /healthz           200 {"ok": true, "status": "live"}       2026.3.1 and later; pure liveness
    /readyz            200 or 503 {"ready": bool, "failing": [names]}
    /startupz          200 {"ok": true, "status": "started"}    2026.8.1 and later
                       503 {"ok": false, "status": "starting" or "draining"}
    any other path     200 with a web page, or 404 where that is not installed
"""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from tailflip.base import clock
from tailflip.flow.late import dataclass
from tailflip.observe.gateway.dial import connect

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

LOOPBACK = "127.0.0.1"
HEALTH, STARTUP, READY = "/healthz", "/startupz", "/readyz"

Kind = Literal["refused", "timeout", "ok", "starting", "unready", "other"]

_MAX_ANSWER_BYTES = 64 << 10
_MAX_DETAIL_CHARS = 120
_ANSWERED = frozenset({200, 503})
_SERVER_ERROR = 500


@dataclass(frozen=True)
class Answer:
    """The answer to one question.

    refused: no process listens. timeout: no whole answer in time. ok: live, started or ready.
    starting: the gateway says so. unready: the gateway says that it does not serve (`detail`
    has what fails, or draining). other: the answer is not of such an endpoint.
    `detail` is printable and short; it is the gateway's text, not ours. `serves`: a web server
    answered, and not with an error of its own.
    """

    kind: Kind
    latency_s: float
    detail: str
    path: str = ""
    serves: bool = False


@dataclass(frozen=True)
class Probe:
    """The address to ask. `tls` speaks TLS without checking the certificate: it is our own host."""

    port: int
    host: str = LOOPBACK
    tls: bool = False

    def ask(self, path: str, timeout_s: float) -> Answer:
        """Ask once; `timeout_s` bounds the whole question, even if the answer ends slowly."""
        began_s = clock.monotonic_s()
        answer = self._ask(path, began_s + timeout_s)
        return replace(answer, latency_s=clock.monotonic_s() - began_s, path=path)

    def _ask(self, path: str, until_s: float) -> Answer:
        try:
            link = connect(self.host, self.port, _left_s(until_s))
            if self.tls:
                link = _wrap(link, until_s)
            with link:
                # HTTP/1.0, so that the answer is not chunked and the connection ends with it.
                request = f"GET {path} HTTP/1.0\r\nHost: {self.host}:{self.port}\r\n"
                link.settimeout(_left_s(until_s))
                link.sendall(f"{request}Accept: application/json\r\n\r\n".encode("ascii"))
                return parse_answer(_receive(link, until_s))
        except ConnectionRefusedError:
            return Answer("refused", 0.0, "connection refused")
        except TimeoutError:
            return Answer("timeout", 0.0, "no answer")
        except OSError as error:
            return Answer("other", 0.0, _clean(error.strerror or type(error).__name__))


def probe(
    port: int, path: str, timeout_s: float, *, host: str = LOOPBACK, tls: bool = False
) -> Answer:
    """Ask the gateway once and wait for its answer; a failed connection is an `Answer` too."""
    return Probe(port, host, tls).ask(path, timeout_s)


class Prober:
    """Asks without making its caller wait: in one thread, which lives as long as one question.

    `on_answer` is called in that thread, so it should put the answer on a queue and return.
    """

    def __init__(
        self, where: Probe, on_answer: Callable[[Answer], None], *, timeout_s: float
    ) -> None:
        self._where = where
        self._on_answer = on_answer
        self._timeout_s = timeout_s
        self._busy = threading.Lock()
        self._closed = False

    def ask(self, path: str) -> bool:
        """Send a question; False while the last one is unanswered, or if no thread could start."""
        if self._closed or not self._busy.acquire(blocking=False):
            return False
        try:
            threading.Thread(
                target=self._run, args=(path,), name="tailflip-probe", daemon=True
            ).start()
        except RuntimeError:  # the host gives no more threads: the next turn asks again
            self._busy.release()
            return False
        return True

    def close(self) -> None:
        """Stop asking; an answer that comes later is dropped."""
        self._closed = True

    def _run(self, path: str) -> None:
        try:
            answer = self._where.ask(path, self._timeout_s)
        finally:
            self._busy.release()
        if not self._closed:
            self._on_answer(answer)


def parse_answer(data: bytes) -> Answer:
    """Judge the bytes of an answer; JSON in another form than the endpoints' is `other`."""
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(None, 2)
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdigit():  # noqa: PLR2004
        return Answer("other", 0.0, "no HTTP answer" if data else "closed without an answer")
    status = int(words[1])
    said = _parse_json(lines, body) if status in _ANSWERED else None
    if said is None:
        judged = Answer("other", 0.0, f"HTTP {status}, not of a health endpoint")
    else:
        judged = _judge(said, status)
    return replace(judged, serves=status < _SERVER_ERROR)


def _judge(said: dict[str, Any], status: int) -> Answer:
    if "ready" in said:
        failing = said.get("failing")
        names = [str(name) for name in failing] if isinstance(failing, list) else []
        if said["ready"] is True:
            return Answer("ok", 0.0, "ready")
        return Answer("unready", 0.0, _clean(", ".join(names) or "not ready"))
    state = str(said.get("status", f"HTTP {status}"))
    if said.get("ok") is True:
        version = f" {said['version']}" if isinstance(said.get("version"), str) else ""
        return Answer("ok", 0.0, _clean(state + version))
    if said.get("ok") is not False:
        return Answer("other", 0.0, f"HTTP {status}, not of a health endpoint")
    reason = said.get("pendingReason")
    detail = _clean(f"{state}: {reason}" if isinstance(reason, str) else state)
    return Answer("starting" if state == "starting" else "unready", 0.0, detail)


def _parse_json(lines: list[str], body: bytes) -> dict[str, Any] | None:
    """Parse a JSON object, if the answer's headers say that it is JSON; a web page is not."""
    types = [line.partition(":")[2] for line in lines if line.lower().startswith("content-type:")]
    if not any("application/json" in kind.lower() for kind in types):
        return None
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _receive(link: socket.socket, until_s: float) -> bytes:
    """Read until the answer is whole, the peer ends it, or it is too long."""
    data = b""
    while len(data) < _MAX_ANSWER_BYTES and not _is_whole(data):
        link.settimeout(_left_s(until_s))
        try:
            part = link.recv(16_384)
        except ConnectionResetError:
            break  # the bytes before still count
        if not part:
            break
        data += part
    return data


def _is_whole(data: bytes) -> bool:
    head, end, body = data.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n") if end else ():
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length" and value.strip().isdigit():
            return len(body) >= int(value)
    return False


def _left_s(until_s: float) -> float:
    """Compute how long a call may still take; a socket takes 0 for "do not block"."""
    left_s = until_s - clock.monotonic_s()
    if left_s <= 0:
        raise TimeoutError
    return left_s


def _wrap(plain: socket.socket, until_s: float) -> socket.socket:
    """Start TLS on a plain socket, which is used up, and closed if that fails."""
    import ssl  # noqa: PLC0415 - costs memory; few gateways speak TLS on loopback

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        plain.settimeout(_left_s(until_s))
        return context.wrap_socket(plain)
    except OSError:
        plain.close()
        raise


def _clean(text: str) -> str:
    return "".join(c for c in text if c.isprintable())[:_MAX_DETAIL_CHARS]
