"""`tailflip serve` and `tailflip page`: a process of its own, asked as people and programs do."""

from __future__ import annotations

import json
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from support.serving import OWN, free_port, make_environment, serving
from support.several_gateways import Gateways
from support.shown_month import record_month
from tailflip.base import clock

MOST_MIB = 40  # see docs/page.md


@pytest.fixture
def root(tmp_path, monkeypatch):
    now_ms = clock.now_ms()
    gateways = Gateways(tmp_path, monkeypatch)
    gateways.now_ms = now_ms
    record_month(gateways.fill(), now_ms)
    return tmp_path


def test_it_answers_those_who_may_ask_and_no_others(root):
    with serving(root) as at:
        assert at.ask("/metrics")[0] == 200
        assert at.ask("/")[0] == 200
        assert json.loads(at.ask("/status.json")[2])["state"] == "down"
        assert at.ask("/healthz", bearer=False)[0] == 503
        assert at.ask("/", bearer=False)[0] == 401
        assert at.ask("/metrics", bearer=False)[0] == 401
        assert at.ask("/", Host="evil.example")[0] == 421
        assert at.ask("/", Sec_Fetch_Site="cross-site")[0] == 403
        for method in ("POST", "PUT", "DELETE"):
            assert at.ask("/", method)[0] == 405
        status, headers, body = at.ask("/", "HEAD")
        assert (status, body) == (200, b"")
        assert int(headers["Content-Length"]) > 1_000
        for status, headers, _ in (at.ask("/"), at.ask("/nothing"), at.ask("/", bearer=False)):
            policy = headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'; style-src 'sha256-"), status
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Referrer-Policy"] == "no-referrer"
            assert headers["Cache-Control"] == "no-store"
            assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        at.process.send_signal(signal.SIGTERM)
        assert at.process.wait(10) == 0, "an end as wished"


def test_a_link_opens_the_page_in_one_browser(root):
    with serving(root) as at:
        done = subprocess.run(
            [*OWN, "page"],
            env=make_environment(root, TAILFLIP_SERVE_LISTEN=f"127.0.0.1:{at.port}"),
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stderr == ""
        link = done.stdout.strip()
        assert at.token not in link
        path = link.removeprefix(f"http://127.0.0.1:{at.port}")
        status, headers, _ = at.ask(path, bearer=False)
        assert (status, headers["Location"]) == (303, "/")
        cookie = headers["Set-Cookie"].partition(";")[0]
        assert at.ask("/", bearer=False, Cookie=cookie)[0] == 200
        assert at.ask(path, bearer=False)[0] == 403, "it is good once"


def test_a_link_without_a_server_says_how_one_is_started(root):
    env = make_environment(root, TAILFLIP_SERVE_LISTEN=f"127.0.0.1:{free_port()}")
    done = subprocess.run([*OWN, "page"], env=env, capture_output=True, text=True, check=True)
    assert "start `tailflip serve`" in done.stderr
    assert done.stdout.startswith("http://127.0.0.1:")


def test_the_token_is_its_owners_alone_and_in_no_line(root):
    with serving(root) as at:
        assert stat.S_IMODE((root / "own" / "serve.token").stat().st_mode) == 0o600
        at.ask("/nothing")
        at.process.send_signal(signal.SIGTERM)
        said = at.process.communicate(timeout=10)[1]
    assert at.token not in said


@pytest.mark.skipif(sys.platform != "linux", reason="Linux keeps the books")
def test_it_is_small_with_a_month_of_data_and_many_askers(root):
    with serving(root) as at:
        took = []
        for n in range(30):
            for path in ("/", "/metrics", "/incidents/1"):
                began = time.monotonic()
                assert at.ask(path)[0] == 200
                took.append(time.monotonic() - began)
            if n == 10:  # all that it loads when it is asked first is there
                early = at.read_memory()["VmRSS"]
        late = at.read_memory()["VmRSS"]
    assert late < MOST_MIB
    assert late - early < 1, "it does not grow"
    assert sorted(took)[len(took) // 2] < 0.2


def test_a_thousand_slow_connections_keep_nobody_waiting(root):
    with serving(root) as at, ExitStack() as stack:
        for _ in range(1_000):
            link = stack.enter_context(socket.create_connection(("127.0.0.1", at.port)))
            with suppress(OSError):
                link.send(b"GET /metrics HTTP/1.1\r\nA: ")
        began = time.monotonic()
        assert at.ask("/metrics")[0] == 200
        assert time.monotonic() - began < 5
        assert at.read_memory()["VmRSS"] < MOST_MIB + 2
        assert len(list(Path(f"/proc/{at.process.pid}/fd").iterdir())) < 90


def test_a_unix_socket_needs_no_token(root):
    path = root / "s.sock"
    process = subprocess.Popen(
        [*OWN, "serve", "--listen", f"unix:{path}"],
        env=make_environment(root), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert "serving the page" in process.stderr.readline()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    answers = []
    for host in ("localhost", "evil.example"):
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(str(path))
            link.sendall(f"GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            answers.append(link.recv(100).split(b" ")[1])
    assert answers == [b"200", b"421"]
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=10)[1].count("\n") == 1
    assert process.returncode == 0
    assert not (root / "own" / "serve.token").exists()


def test_it_takes_a_socket_and_ends_when_nobody_asks_any_more(root):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port, fd = listener.getsockname()[1], listener.fileno()
        process = subprocess.Popen(
            [*OWN, "serve", "--fd", str(fd), "--end-after", "1s"],
            env=make_environment(root), stderr=subprocess.PIPE, text=True, pass_fds=[fd],
        )  # fmt: skip
        with socket.create_connection(("127.0.0.1", port)) as link:
            link.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert link.recv(100).startswith(b"HTTP/1.1 503")
        assert process.wait(15) == 0
        said = process.communicate()[1]
    assert "nobody asked for a while" in said


def test_beyond_this_host_it_listens_only_where_a_setting_says_so(root):
    def start(*options, **env):
        return subprocess.run(
            [*OWN, "serve", *options], env=make_environment(root, **env),
            capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip

    refused = start("--listen", "0.0.0.0:0")
    assert refused.returncode == 78
    assert "beyond" in refused.stderr
    assert start("--listen", "nowhere").returncode == 64
    with serving(root, "--listen", "0.0.0.0:0", TAILFLIP_SERVE_BEYOND_LOOPBACK="true") as at:
        assert at.ask("/metrics", bearer=False)[0] == 401
        assert at.ask("/metrics")[0] == 200
    assert start("--fd", "999").returncode == 64
    assert start("--frob").returncode == 64
    assert start("--help").returncode == 0


def test_a_port_that_is_taken_is_told(root):
    with serving(root) as at:
        done = subprocess.run(
            [*OWN, "serve", "--listen", f"127.0.0.1:{at.port}"], env=make_environment(root),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 75
        assert "cannot listen on 127.0.0.1" in done.stderr


def test_what_it_loads_is_what_it_needs(root):
    """Typer, mail and OpenSSL stay out: each costs what the page may weigh."""
    script = (
        "import sys; from tailflip.base.own_hashes import leave_openssl_out; leave_openssl_out();"
        "import tailflip.cli.serve, hashlib, hmac;"
        "assert hashlib.sha256(b'').hexdigest().startswith('e3b0c442');"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=make_environment(root),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    loaded = set(done.stdout.split())
    assert done.stderr == ""
    heavy = ("typer", "rich", "click", "http.server", "http.client", "ssl", "email", "asyncio",
             "jinja2", "prometheus_client", "html", "_ssl", "tailflip.supervise.supervisor",
             "tailflip.stores.salvage", "tailflip.reconcile.write.rows")  # fmt: skip
    assert loaded.isdisjoint(heavy), loaded & set(heavy)
    assert re.search(r"\btailflip\.report\.page\.routes\b", done.stdout)
