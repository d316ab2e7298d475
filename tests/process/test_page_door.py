"""The page on demand: nothing serves until somebody asks, and nothing is left behind the guard."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress

import psutil
import pytest

from support.serving import OWN, Serving, free_port, make_environment
from support.several_gateways import Gateways
from tailflip.base import clock


@pytest.fixture
def root(tmp_path, monkeypatch):
    gateways = Gateways(tmp_path, monkeypatch)
    gateways.now_ms = clock.now_ms()
    gateways.fill()
    return tmp_path


@contextmanager
def guarding(root, verb, listen, **env):
    words = ["run", "--", "/bin/sleep", "300"] if verb == "run" else ["watch"]
    log = root / "log.txt"
    with log.open("w") as said:
        process = subprocess.Popen(
            [*OWN, *words], stderr=said, stdout=said,
            env=make_environment(
                root, TAILFLIP_SERVE_START="on-demand", TAILFLIP_SERVE_LISTEN=listen, **env
            ),
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while "shown on demand" not in log.read_text():
            assert time.monotonic() < deadline, log.read_text()
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        yield process, log
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(60)


def list_pages(process):
    with suppress(psutil.NoSuchProcess):
        children = psutil.Process(process.pid).children(recursive=True)
        return [each for each in children if "serve" in each.cmdline()]
    return []


@pytest.mark.parametrize("verb", ["run", "watch"])
def test_the_first_who_asks_starts_it_and_the_guards_end_ends_it(root, verb):
    port = free_port()
    with guarding(root, verb, f"127.0.0.1:{port}") as (process, _):
        assert list_pages(process) == []
        at = Serving(root, process, port)
        assert at.ask("/healthz", bearer=False)[0] in (200, 503)
        assert at.ask("/metrics")[0] == 200
        (page,) = list_pages(process)
        page.send_signal(signal.SIGTERM)  # as after its quiet time
        page.wait(30)
        assert at.ask("/metrics")[0] == 200, "it is started anew"
        (page,) = list_pages(process)
    psutil.wait_procs([page], timeout=30)
    assert not page.is_running()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_taken_port_is_told_once_and_the_gateway_is_guarded(root):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        process = subprocess.Popen(
            [*OWN, "run", "--", "/bin/sleep", "300"], stderr=subprocess.PIPE, text=True,
            env=make_environment(
                root, TAILFLIP_SERVE_START="on-demand", TAILFLIP_SERVE_LISTEN=listen
            ),
        )  # fmt: skip
        said = ""
        while not ("cannot be shown" in said and "gateway started" in said):
            line = process.stderr.readline()
            assert line, said
            said += line
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        assert process.returncode == 0


def test_a_unix_socket_is_taken_away_with_the_guard(root):
    path = root / "page.sock"
    with guarding(root, "run", f"unix:{path}"):
        assert path.is_socket()
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(30)
            link.connect(str(path))
            link.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert re.match(rb"HTTP/1.1 (200|503)", link.recv(100))
    assert not path.exists()


def test_the_guard_loads_nothing_of_what_serves():
    script = "import sys, tailflip.supervise.supervisor, tailflip.supervise.page_door;"
    script += "print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert loaded.isdisjoint({"http.server", "http.client", "jinja2", "prometheus_client", "ssl"})
    assert not [name for name in loaded if name.startswith("tailflip.report")]
