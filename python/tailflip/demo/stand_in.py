"""The demo's gateway where Node is not installed: it acts V8's death, and does not die of it.

Called with a store, a port, and the size of store that it bears. Over that it prints what V8 prints
when its heap is full, and aborts; else it answers /healthz.
"""

from __future__ import annotations

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

DEATH = """\
<--- Last few GCs --->

[1:0x1]     4100 ms: Mark-Compact 382.1 (402.0) -> 381.9 (401.8) MB, allocation failure
FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory
"""


class _Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"ok": True, "status": "live"}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: the demo shows the supervisor's lines."""


def main() -> None:
    """Die as V8 does, or answer until SIGTERM."""
    store, port, most_bytes = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    if store.stat().st_size > most_bytes:
        sys.stderr.write(DEATH)
        sys.stderr.flush()
        os.abort()
    HTTPServer(("127.0.0.1", port), _Health).serve_forever()


if __name__ == "__main__":
    main()
