"""Who holds a port is told by name, and nobody is made up."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from tailflip.observe.gateway.listener import find_listener


def test_the_process_that_listens_is_found():
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = find_listener(server.getsockname()[1])
    assert found is not None
    assert found.pid == os.getpid()
    assert found.is_gateway is False
    assert f"pid {os.getpid()} (" in str(found)


def test_nobody_listens_on_a_port_that_is_only_bound():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        assert find_listener(server.getsockname()[1]) is None


@pytest.mark.parametrize(("word", "is_gateway"), [("openclaw-gateway", True), ("other", False)])
def test_a_gateway_is_known_by_its_words(word, is_gateway):
    code = (
        "import socket, sys; s = socket.create_server(('127.0.0.1', 0));"
        "print(s.getsockname()[1], flush=True); sys.stdin.read()"
    )
    argv = [sys.executable, "-c", code, word]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        found = find_listener(int(child.stdout.readline()))
        child.stdin.close()
    assert found is not None
    assert (found.pid, found.is_gateway) == (child.pid, is_gateway)
