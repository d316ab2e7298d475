"""A question to a closed port: it connects to nobody, and never stands on the port itself.

A gateway on a port of the kernel's own range died of EADDRINUSE: our question, sent while it
was down, had been given that very port, and was talking to itself.
"""

from __future__ import annotations

import errno
import shutil
import socket
import subprocess
import sys

import pytest

from tailflip.base import platform_calls
from tailflip.base.platform_calls import Linux
from tailflip.observe.gateway import dial
from tailflip.observe.gateway.dial import connect, is_listening
from tailflip.observe.gateway.health import HEALTH, Probe

QUESTIONS = 100_000
LOOPBACK = {"v4": "127.0.0.1", "v6": "::1"}
# In a network of its own with few ports to choose from, the gateway's among those that the kernel
# takes first (for connect(2), those as even or odd as the lowest). A gateway that does not allow
# reuse tries all the time to take its port.
ASK = """
import socket, subprocess, sys, threading
from pathlib import Path
from tailflip.observe.gateway.dial import is_listening
from tailflip.observe.gateway.health import HEALTH, Probe
host, port, many = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
Path("/proc/sys/net/ipv4/ip_local_port_range").write_text(f"{port - 2} {port + 3}")
taken, binds, stop = [], 0, threading.Event()
def gateway():
    global binds
    while not stop.is_set():
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as own:
            binds += 1
            try:
                own.bind((host, port))
            except OSError as error:
                taken.append(error.errno)
thread = threading.Thread(target=gateway)
thread.start()
answered = 0
for number in range(many):
    if number % 2:
        answered += is_listening(host, port, 1) is not False
    else:
        answered += Probe(port, host).ask(HEALTH, 1).kind != "refused"
stop.set()
thread.join()
print(answered, binds > 0, *taken)
"""
# A question that takes the port takes it for one bind in a few. One bind in some hundred thousand
# failed now and then on a busy machine; a stranger that binds other ports alone saw none in 1.6
# million, so who had the port is not known.
MOST_TAKEN = 2


def needs_network_of_its_own():
    tool = shutil.which("unshare")
    if tool is None or shutil.which("ip") is None:
        pytest.skip("no unshare or ip here")
    argv = [tool, "--net", "--map-root-user"]
    ask = "echo '47111 47117' > /proc/sys/net/ipv4/ip_local_port_range && ip link set lo up"
    if subprocess.run([*argv, "sh", "-c", ask], capture_output=True, check=False).returncode:
        pytest.skip("no network of its own may be made here")
    return argv


@pytest.mark.parametrize("version", ["v4", "v6"])
def test_a_hundred_thousand_questions_take_no_port(version):
    """None is answered, and a gateway can bind its port at every moment."""
    argv = needs_network_of_its_own()
    many = QUESTIONS if version == "v4" else QUESTIONS // 10
    done = subprocess.run(
        [*argv, sys.executable, "-c", ASK, LOOPBACK[version], "47114", str(many)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    answered, has_bound, *errors = done.stdout.split()
    assert (answered, has_bound) == ("0", "True"), done.stderr
    assert len(errors) <= MOST_TAKEN, errors


def test_a_socket_that_met_itself_is_refused_and_gives_its_port_back(monkeypatch):
    """The kernel may still do it, where its range was not what we took it for."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
    monkeypatch.setattr(dial, "_take_source", lambda link, _port: link.bind(("127.0.0.1", port)))
    with pytest.raises(ConnectionRefusedError):
        connect("127.0.0.1", port, 1)
    assert Probe(port).ask(HEALTH, 1).kind == "refused"
    with socket.socket() as gateway:
        gateway.bind(("127.0.0.1", port))  # no TIME_WAIT is left either


def test_a_listener_that_allows_reuse_may_take_the_port_that_a_question_has():
    """As node's do: a question of ours to another port keeps none from starting."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = server.getsockname()[1]
        assert target in platform_calls.here.read_own_ports()[0]
        link = connect("127.0.0.1", target, 1)
        source = link.getsockname()[1]
        assert source != target
        with socket.socket() as node:
            node.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            node.bind(("0.0.0.0", source))  # noqa: S104 - as a gateway that binds to all
            node.listen()
        link.close()


@pytest.fixture
def kernel(monkeypatch, tmp_path):
    """A kernel that says what a test wants."""
    folder = tmp_path / "sys" / "net" / "ipv4"
    folder.mkdir(parents=True)
    monkeypatch.setattr(platform_calls, "here", Linux(tmp_path))

    def say(ports, reserved=""):
        (folder / "ip_local_port_range").write_text(ports)
        (folder / "ip_local_reserved_ports").write_text(reserved)

    return say


def test_the_kernels_own_choice_is_left_where_it_can_not_be_the_port(kernel):
    kernel("60000\t60010\n")
    with socket.socket() as link:
        dial._take_source(link, 18_789)
        assert link.getsockname()[1] == 0


def test_reserved_ports_are_nobodys_to_take(kernel):
    kernel("47111\t47114\n", "47111-47112,47114\n")
    for _ in range(40):
        with socket.socket() as link:
            dial._take_source(link, 47_114)
            assert link.getsockname()[1] == 47_113


def test_a_range_of_one_port_is_left_for_others(kernel):
    kernel("47114\t47114\n")
    with socket.socket() as link:
        dial._take_source(link, 47_114)
        assert link.getsockname()[1] not in (0, 47_114)


def test_what_nobody_answers_is_neither_yes_nor_no(monkeypatch):
    def fail(*_args):
        raise OSError(errno.EADDRNOTAVAIL, "none")

    monkeypatch.setattr(dial, "_take_source", fail)
    assert is_listening("127.0.0.1", 9, 1) is None
