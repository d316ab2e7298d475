"""A `tailflip serve` of its own, asked over real sockets."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OWN = [sys.executable, "-m", "tailflip"]


class Serving:
    """The process, with its port and token."""

    def __init__(self, root: Path, process: subprocess.Popen[str], port: int) -> None:
        self.root, self.process, self.port = root, process, port

    @property
    def token(self) -> str:
        return (self.root / "own" / "serve.token").read_text().strip()

    def ask(self, path: str = "/", method: str = "GET", *, bearer: bool = True, **headers: str):
        """Ask once; returns the status, the headers and the body."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if bearer:
            named["Authorization"] = f"Bearer {self.token}"
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            link.request(method, path, headers=named)
            answer = link.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            link.close()

    def read_memory(self) -> dict[str, float]:
        """The memory of the process in MiB, as Linux keeps it."""
        text = (f"/proc/{self.process.pid}/status",)
        with open(*text) as file:  # noqa: PTH123
            found = re.findall(r"(VmRSS|RssAnon|RssFile):\s+(\d+) kB", file.read())
        return {name: int(number) / 1024 for name, number in found}


def make_environment(root: Path, **more: str) -> dict[str, str]:
    """An environment in which everything lies below one folder."""
    names = ("PATH", "PYTHONPATH", "LANG")
    return {
        **{name: os.environ[name] for name in names if name in os.environ},
        "HOME": str(root),
        "OPENCLAW_STATE_DIR": str(root / "openclaw"),
        "TAILFLIP_STATE_DIR": str(root / "own"),
        "OPENCLAW_GATEWAY_PORT": "1",
        **more,
    }


@contextmanager
def serving(root: Path, *options: str, **env: str) -> Iterator[Serving]:
    """Run it on a free port, and end it."""
    process = subprocess.Popen(
        [*OWN, "serve", *(options or ("--listen", "127.0.0.1:0"))],
        env=make_environment(root, **env), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if "serving the page" in line:
                break
        found = re.search(r"http://[0-9.]+:(\d+)", line)
        assert found is not None, line
        yield Serving(root, process, int(found[1]))
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
