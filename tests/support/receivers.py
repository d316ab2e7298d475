"""Receivers of messages on loopback: by HTTP, and one that never answers; and a certificate."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pathlib import Path

HAS_OPENSSL = shutil.which("openssl") is not None


@dataclass(frozen=True)
class Request:
    """One request, as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Web:
    """An HTTP server that answers each request with `status`; `answers` go first."""

    status: int = 200
    answers: list[int] = field(default_factory=list)
    location: str = ""
    requests: list[Request] = field(default_factory=list)
    certificate: Path | None = None

    def __enter__(self) -> Self:
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                headers = {name.lower(): text for name, text in self.headers.items()}
                body = self.rfile.read(length)
                web.requests.append(Request(self.command, self.path, headers, body))
                self.send_response(web.answers.pop(0) if web.answers else web.status)
                if web.location:
                    self.send_header("Location", web.location)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            do_GET = do_POST  # noqa: N815 - as the server calls it

            def log_message(self, *_args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.handle_error = lambda *_: None  # a caller that goes away is no news
        if self.certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])


class Deaf:
    """A server that accepts connections and never says a word."""

    def __enter__(self) -> Self:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._held: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                self._held.append(self._socket.accept()[0])

    @property
    def callers(self) -> int:
        return len(self._held)

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        for each in self._held:
            each.close()


def make_certificate(folder: Path) -> Path:
    """Make a certificate for this host with its key in one file; it is its own authority."""
    path = folder / "own.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    request = ["openssl", "req", "-x509", "-newkey", "ec"]
    request += ["-pkeyopt", "ec_paramgen_curve:prime256v1"]
    key, cert = folder / "key", folder / "cert"
    subprocess.run(
        [*request, "-nodes", "-days", "2", "-keyout", key, "-out", cert, *subject],
        check=True,
        capture_output=True,
        timeout=60,
    )
    path.write_bytes(key.read_bytes() + cert.read_bytes())
    return path
