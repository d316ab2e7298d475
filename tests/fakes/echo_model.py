"""An OpenAI-compatible model on loopback that answers `ok`, so that real agent turns end well.

with serving() as port: ...
"""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_USAGE = {"prompt_tokens": 8000, "completion_tokens": 5, "total_tokens": 8005}
_SAYS = {"role": "assistant", "content": "ok"}


def _choose(kind: str, content: dict[str, str], reason: str | None) -> list[dict[str, Any]]:
    return [{"index": 0, kind: content, "finish_reason": reason}]


class Answers(BaseHTTPRequestHandler):
    """Answers `ok` to every request."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def answer(self, request: bytes) -> None:
        """Answer one request by its body."""
        asked = json.loads(request or b"{}")
        answer = {"id": "c1", "created": 1, "model": asked.get("model", "echo-1")}
        if asked.get("stream"):
            kind = "text/event-stream"
            chunks = (
                {"choices": _choose("delta", _SAYS, None)},
                {"choices": _choose("delta", {}, "stop")},
                {"choices": [], "usage": _USAGE},
            )
            answer["object"] = "chat.completion.chunk"
            events = [f"data: {json.dumps(answer | chunk)}\n\n" for chunk in chunks]
            body = "".join([*events, "data: [DONE]\n\n"]).encode()
        else:
            kind = "application/json"
            answer |= {"choices": _choose("message", _SAYS, "stop"), "usage": _USAGE}
            body = json.dumps(answer | {"object": "chat.completion"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[int]:
    """Serve until the block ends; yields the port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="echo model", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
