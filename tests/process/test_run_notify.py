"""What a service manager hears while a gateway is guarded, on a real datagram socket."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import threading
import time

import pytest

from support.guarded_gateway import wait_until
from tailflip.base.moments import read_moment

FITS = 1_000_000


class Manager:
    """Hears everything, with the time at which it came."""

    def __init__(self, path: str) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(path)
        self.heard: list[tuple[float, str]] = []
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self) -> None:
        while message := self.sock.recv(65_536):
            self.heard.append((time.monotonic(), message.decode()))

    def lines(self) -> list[str]:
        return [line for _, message in self.heard for line in message.splitlines()]

    def times(self, line: str) -> list[float]:
        return [at for at, message in self.heard if line in message.splitlines()]

    def wait_for(self, line: str, times: int = 1) -> None:
        wait_until(lambda: len(self.times(line)) >= times, f"{times} x {line}", story=self.tell)

    def tell(self) -> str:
        return "\n".join(self.lines())

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"", self.sock.getsockname())
        self.thread.join(5)
        self.sock.close()


@pytest.fixture
def manager(tmp_path):
    made = Manager(str(tmp_path / "notify"))
    yield made
    made.close()


@pytest.fixture
def env(tmp_path):
    return {"NOTIFY_SOCKET": str(tmp_path / "notify")}


def test_a_maintenance_is_what_its_status_begins_with(place, manager, env):
    guarded = place.run(env=env)
    guarded.wait_ready()
    place.history.maintenances.begin(3_600_000, read_moment(), reason="new disk")
    guarded.send(signal.SIGCONT)

    def statuses():
        return [line for line in manager.lines() if line.startswith("STATUS=")]

    def tells():
        last = statuses()[-1]
        return last.startswith("STATUS=maintenance until ") and "(new disk); gateway pid" in last

    wait_until(tells, "status of a maintenance", story=manager.tell)
    place.history.maintenances.end(read_moment())
    guarded.send(signal.SIGCONT)
    wait_until(
        lambda: statuses()[-1].startswith("STATUS=gateway pid"), "its end", story=manager.tell
    )
    assert guarded.stop() == 0


def test_ready_comes_with_the_first_answer_and_not_before(place, manager, env):
    guarded = place.run("--silent-start-s", "1", env=env)
    guarded.hear("gateway started")
    manager.wait_for("EXTEND_TIMEOUT_USEC=30000000")
    started = time.monotonic()
    manager.wait_for("READY=1")
    assert manager.times("READY=1")[0] - started > 0.5
    assert any(line.startswith("STATUS=gateway pid ") for line in manager.lines())
    assert guarded.stop() == 0
    manager.wait_for("STOPPING=1")
    order = [line for line in manager.lines() if line in ("READY=1", "STOPPING=1")]
    assert order[0] == "READY=1"
    assert order[-1] == "STOPPING=1"


def test_the_watchdog_is_fed_by_the_loop_while_it_turns(place, manager, env):
    guarded = place.run(env={**env, "WATCHDOG_USEC": "400000"})
    guarded.wait_ready()
    manager.wait_for("WATCHDOG=1", 8)
    times = manager.times("WATCHDOG=1")
    assert max(b - a for a, b in itertools.pairwise(times)) < 0.4
    # A loop that stands still feeds nobody.
    os.kill(guarded.pid, signal.SIGSTOP)
    count = len(manager.times("WATCHDOG=1"))
    time.sleep(0.6)
    assert len(manager.times("WATCHDOG=1")) <= count + 1
    os.kill(guarded.pid, signal.SIGCONT)
    manager.wait_for("WATCHDOG=1", count + 3)
    assert guarded.stop() == 0


def test_the_watchdog_is_fed_and_time_asked_for_while_a_large_store_is_compacted(
    place, manager, env
):
    place.fill(60_000_000)
    settings = {"heal.admission": "false"}
    env = {**env, "WATCHDOG_USEC": "100000"}
    guarded = place.run("--oom-above", str(FITS * 20), settings=settings, env=env)
    guarded.wait_ready(2, 30)
    manager.wait_for("READY=1")
    assert any("compact" in line for line in manager.lines() if line.startswith("STATUS="))
    assert any(line.endswith(" %") for line in manager.lines() if line.startswith("STATUS="))
    times = manager.times("WATCHDOG=1")
    assert len(times) > 3
    assert max(b - a for a, b in itertools.pairwise(times)) < 0.4
    asked = manager.times("EXTEND_TIMEOUT_USEC=30000000")
    assert asked
    assert asked[0] < manager.times("READY=1")[0]
    assert guarded.stop() == 0


def test_time_is_asked_for_while_the_gateway_ends(place, manager, env):
    guarded = place.run("--term-takes-s", "0.5", env=env)
    guarded.wait_ready()
    count = len(manager.times("EXTEND_TIMEOUT_USEC=30000000"))
    assert guarded.stop() == 0
    manager.wait_for("EXTEND_TIMEOUT_USEC=30000000", count + 1)
    last = manager.times("EXTEND_TIMEOUT_USEC=30000000")[-1]
    assert last >= manager.times("STOPPING=1")[0]


def test_a_wait_says_what_it_waits_for(place, manager, env):
    place.put(b"garbage")
    guarded = place.run(env=env)
    guarded.hear("waiting=cure")
    wait_until(lambda: any("waiting: store is not" in x for x in manager.lines()), "status")
    assert not manager.times("READY=1")
    assert guarded.stop() == 0


def test_a_reload_is_told_and_ended(place, manager, env):
    guarded = place.run(env=env)
    guarded.wait_ready()
    manager.wait_for("READY=1")
    guarded.send(signal.SIGHUP)
    manager.wait_for("RELOADING=1")
    manager.wait_for("READY=1", 2)
    reloading = next(x for x in manager.lines() if x.startswith("MONOTONIC_USEC="))
    assert abs(int(reloading[15:]) / 1e6 - time.monotonic()) < 10
    assert guarded.stop() == 0


def test_a_restart_keeps_the_service_ready(place, manager, env):
    guarded = place.run("--die", "2", "--after-s", "0.5", "--deaths", "1", env=env)
    guarded.wait_ready(2)
    wait_until(
        lambda: any("finding out why" in line for line in manager.lines()), "status of the death"
    )
    assert not manager.times("STOPPING=1")
    assert guarded.stop() == 0
