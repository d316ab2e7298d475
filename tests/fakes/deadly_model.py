"""An OpenAI-compatible model on loopback that a gateway does not survive asking about one thing.

with deadly_model(word, kill) as model: ...

A request that holds the word calls `kill` and gets no answer, while `model.is_deadly`; every other
one is answered `ok`.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING

from fakes.echo_model import Answers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass
class DeadlyModel:
    """`deaths` counts the requests that were answered with death, `answers` the others."""

    port: int = 0
    is_deadly: bool = True
    deaths: int = 0
    answers: int = 0


@contextmanager
def deadly_model(word: str, kill: Callable[[], object]) -> Iterator[DeadlyModel]:
    """Serve until the block ends."""
    model = DeadlyModel()

    class Handler(Answers):
        def answer(self, request: bytes) -> None:
            if model.is_deadly and word.encode() in request:
                model.deaths += 1
                self.close_connection = True
                kill()
                return
            model.answers += 1
            super().answer(request)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    model.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, name="deadly model", daemon=True)
    thread.start()
    try:
        yield model
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
