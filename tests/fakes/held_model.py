"""An OpenAI-compatible model on loopback that holds its answer back until it is let go.

with held_model() as model: ...; model.wait_for_call(); ...; model.release()

So a test decides how long the real gateway's run is in flight.
"""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LONGEST_S = 600


@dataclass
class Model:
    """`status` other than 200 answers an error, as a provider out of order does.

    `calls` counts them; `on_call` is done at each before it is held.
    """

    port: int = 0
    status: int = 200
    calls: int = 0
    on_call: Callable[[], object] = int
    _open: threading.Event = field(default_factory=threading.Event)
    _calls: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def hold(self) -> None:
        """Let every further call wait."""
        self._open.clear()

    def release(self) -> None:
        """Answer all that wait, and whoever comes."""
        self._open.set()

    def wait_for_call(self, timeout_s: float = 240) -> None:
        """Return when one more call has come in."""
        assert self._calls.acquire(timeout=timeout_s), "the gateway did not call its model"

    def forget_calls(self) -> None:
        """Take all calls so far as seen."""
        while self._calls.acquire(blocking=False):
            pass

    def take_call(self) -> None:
        """Note a call, and hold it."""
        self.calls += 1
        self.on_call()
        self._calls.release()
        self._open.wait(_LONGEST_S)


def _events(name: str) -> bytes:
    head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": name}
    said = {"role": "assistant", "content": "ok"}
    usage = {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11}
    chunks = (
        {"choices": [{"index": 0, "delta": said, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {"choices": [], "usage": usage},
    )
    lines = [f"data: {json.dumps(head | chunk)}\n\n" for chunk in chunks]
    return "".join([*lines, "data: [DONE]\n\n"]).encode()


@contextmanager
def held_model() -> Iterator[Model]:
    """Serve until the block ends."""
    model = Model()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
            model.take_call()
            body = _events(str(asked.get("model", "echo-1")))
            if model.status != 200:
                body = b'{"error": {"message": "out of order"}}'
            try:
                self.send_response(model.status)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except OSError:
                pass  # the gateway was killed while it waited

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    model.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, name="held model", daemon=True)
    thread.start()
    try:
        yield model
    finally:
        model.release()
        server.shutdown()
        server.server_close()
        thread.join()
