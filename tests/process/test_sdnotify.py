"""What a service manager hears of us, on a real socket; and that a deaf one costs nothing."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from tailflip.base.sdnotify import VARIABLES, Notifier


def _descriptors() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


class Manager:
    """The other end: a bound datagram socket."""

    def __init__(self, address: str | bytes, name: str) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(address)
        self.sock.settimeout(5)
        self.env = {"NOTIFY_SOCKET": name}

    def hear(self) -> str:
        return self.sock.recv(65_536).decode()

    def hears_nothing(self) -> bool:
        self.sock.setblocking(False)
        try:
            self.sock.recv(65_536)
        except BlockingIOError:
            return True
        finally:
            self.sock.settimeout(5)
        return False


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    if request.param == "path":
        path = str(tmp_path / "notify")
        made = Manager(path, path)
    else:
        name = f"tailflip-test-{os.getpid()}-{time.monotonic_ns()}"
        made = Manager(b"\0" + name.encode(), f"@{name}")
    with made.sock:
        yield made


@pytest.mark.parametrize(
    ("say", "heard"),
    [
        (lambda n: n.ready("guards /srv/oc"), "READY=1\nSTATUS=guards /srv/oc"),
        (lambda n: n.ready(), "READY=1"),
        (lambda n: n.status("compacting"), "STATUS=compacting"),
        (lambda n: n.watchdog(), "WATCHDOG=1"),
        (lambda n: n.stopping("asked to stop"), "STOPPING=1\nSTATUS=asked to stop"),
        (lambda n: n.reloading(1_234_567), "RELOADING=1\nMONOTONIC_USEC=1234567"),
        (lambda n: n.extend_timeout(1.5), "EXTEND_TIMEOUT_USEC=1500000"),
        (lambda n: n.extend_timeout(1e-9), "EXTEND_TIMEOUT_USEC=1"),
    ],
)
def test_each_message_arrives_as_one_datagram(manager, say, heard):
    assert say(Notifier.from_env(manager.env))
    assert manager.hear() == heard
    assert manager.hears_nothing()


def test_the_same_status_is_sent_once_and_a_new_one_again(manager):
    notifier = Notifier.from_env(manager.env)
    notifier.ready("well")
    assert manager.hear() == "READY=1\nSTATUS=well"
    assert notifier.status("well")
    assert manager.hears_nothing()
    notifier.status("ill")
    assert manager.hear() == "STATUS=ill"
    notifier.status("well")
    assert manager.hear() == "STATUS=well"


def test_an_empty_status_says_nothing(manager):
    assert not Notifier.from_env(manager.env).status("")
    assert manager.hears_nothing()


def test_a_status_that_was_not_heard_is_sent_again(tmp_path):
    path = str(tmp_path / "notify")
    notifier = Notifier.from_env({"NOTIFY_SOCKET": path})
    assert not notifier.status("well")
    late = Manager(path, path)
    with late.sock:
        assert notifier.status("well")
        assert late.hear() == "STATUS=well"


def test_a_status_cannot_smuggle_a_second_message(manager):
    """A status may quote a path, and a path may hold a line break and READY=1."""
    Notifier.from_env(manager.env).status("bad\nREADY=1\rMAINPID=1\x00\x85\u2028end")
    assert manager.hear() == "STATUS=bad READY=1 MAINPID=1   end"


@pytest.mark.parametrize("text", ["ü" * 100_000, "\udcff" * 5000, "x" * 1001])
def test_a_status_of_any_kind_is_text_that_fits_a_page(manager, text):
    Notifier.from_env(manager.env).status(text)
    heard = manager.hear()
    assert heard.startswith("STATUS=")
    assert 900 < len(heard.encode()) <= 1010


def test_nobody_there_is_no_matter():
    silent = Notifier.from_env({})
    assert not silent.ready("x")
    assert not silent.watchdog()
    assert silent.watchdog_s is None


@pytest.mark.parametrize(
    "address",
    [
        "",
        "@",
        "relative",
        "vsock:2:1",
        "/no/such/socket",
        "/" + "x" * 300,
        "@" + "x" * 300,
        "/a\0b",
    ],
)
def test_an_address_that_leads_nowhere_is_no_matter(address):
    notifier = Notifier.from_env({"NOTIFY_SOCKET": address})
    assert not notifier.ready("x")
    assert not notifier.extend_timeout(30)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_a_senseless_extension_is_not_asked_for(manager, seconds):
    assert not Notifier.from_env(manager.env).extend_timeout(seconds)
    assert manager.hears_nothing()


def test_a_manager_that_does_not_read_never_stops_us(manager):
    """The queue is full after some messages; a blocking send would stop the loop for ever."""
    notifier = Notifier.from_env(manager.env)
    began = time.monotonic()
    handed_over = sum(notifier.watchdog() for _ in range(5000))
    assert 0 < handed_over < 5000
    assert time.monotonic() - began < 5
    manager.hear()
    assert notifier.watchdog()


def test_a_manager_that_goes_and_comes_back_hears_us_again(tmp_path):
    path = str(tmp_path / "notify")
    first = Manager(path, path)
    notifier = Notifier.from_env(first.env)
    with first.sock:
        assert notifier.watchdog()
    Path(path).unlink()
    assert not notifier.watchdog()
    second = Manager(path, path)
    with second.sock:
        assert notifier.watchdog()
        assert second.hear() == "WATCHDOG=1"


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "x"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "\u0663"}, None),
        ({"WATCHDOG_USEC": "9" * 5000}, None),
    ],
)
def test_keep_alive_is_due_twice_in_the_managers_time(env, expected):
    assert Notifier.from_env(env).watchdog_s == expected


def test_no_descriptor_is_left_for_a_child(manager):
    notifier = Notifier.from_env(manager.env)
    before = _descriptors()
    notifier.ready("x")
    assert _descriptors() == before


def test_variables_name_all_that_a_child_must_not_see():
    assert {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} == set(VARIABLES)
