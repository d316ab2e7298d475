"""Who made a start: a person, or a service manager by itself."""

from __future__ import annotations

import os

import pytest

from tailflip.base import platform_calls
from tailflip.base.moments import read_moment
from tailflip.base.platform_calls import Linux
from tailflip.flow.lives import Decision, DecisionKind, Moment, Waiting
from tailflip.supervise import by_hand
from tailflip.supervise.by_hand import is_by_hand

HELD = Decision(kind=DecisionKind.WAIT, reason="r", waiting=Waiting.CURE, at_ms=1)


@pytest.fixture
def under_systemd(monkeypatch, tmp_path, make_gateway):
    """A gateway that a unit of systemd starts; each start may be of another process."""
    unit = "/user.slice/user@7.service/app.slice/openclaw-gateway.service"
    (tmp_path / "self").mkdir()
    (tmp_path / "self/cgroup").write_text(f"0::{unit}\n")
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    boot = tmp_path / "sys/kernel/random/boot_id"
    boot.write_text("boot-1\n")
    monkeypatch.setattr(platform_calls, "here", Linux(tmp_path))
    (tmp_path / "bin").mkdir()
    tool = tmp_path / "bin" / "systemctl"
    gateway = make_gateway(more={"INVOCATION_ID": "a" * 32})
    pids = iter(range(1000, 2000))

    def start(says, decision=None):
        tool.write_text(f"#!/bin/sh\n{says}\n")
        tool.chmod(0o755)
        pid = next(pids)
        monkeypatch.setattr(by_hand.os, "getpid", lambda: pid)
        gateway.env = {**gateway.env, "SYSTEMD_EXEC_PID": str(pid)}
        return is_by_hand(gateway, decision or HELD.model_copy(update={"made": read_moment()}))

    start.boot = boot
    return start


def restarts(count):
    return f"echo NRestarts={count}"


def test_a_start_that_systemd_counts_as_its_own_restart_is_no_persons(under_systemd):
    assert [under_systemd(restarts(n)) for n in (1, 2, 3)] == [False, False, False]


def test_the_first_start_after_a_stop_is_a_persons(under_systemd):
    assert not under_systemd(restarts(7))
    assert under_systemd(restarts(0))
    assert under_systemd(restarts(0)), "and so is the next"


def test_a_pending_restart_that_is_cut_short_is_a_persons(under_systemd):
    """`systemctl restart` while systemd waits before its own: the count stays as it was."""
    assert not under_systemd(restarts(4))
    assert under_systemd(restarts(4))
    assert not under_systemd(restarts(5))


def test_the_first_start_of_a_boot_is_the_machines(under_systemd):
    made = Moment(at_ms=1, mono_ms=1, boot="boot-0")
    old = HELD.model_copy(update={"made": made})
    assert not under_systemd(restarts(0), old)
    assert under_systemd(restarts(0), old), "the second one is a person's"
    under_systemd.boot.write_text("boot-2\n")
    assert not under_systemd(restarts(0), old)


@pytest.mark.parametrize("says", ["exit 1", "echo NRestarts=", "echo", "echo NRestarts=x"])
def test_where_systemd_does_not_say_nobody_is_supposed(under_systemd, says):
    assert not under_systemd(says)


@pytest.mark.parametrize(
    ("terminal", "pid", "by_whom"), [(True, 77, True), (False, 77, False), (True, 1, False)]
)
def test_without_systemd_a_terminal_tells(make_gateway, monkeypatch, terminal, pid, by_whom):
    monkeypatch.setattr(by_hand, "find_unit", lambda *_: None)
    monkeypatch.setattr(os, "isatty", lambda _fd: terminal)
    monkeypatch.setattr(os, "getpid", lambda: pid)
    assert is_by_hand(make_gateway(), HELD) is by_whom


def test_a_parked_gate_was_started_once(make_gateway, monkeypatch):
    """It judges its start again after each change: those are no starts of a person."""
    monkeypatch.setattr(by_hand, "find_unit", lambda *_: None)
    monkeypatch.setattr(os, "isatty", lambda _fd: True)
    gateway = make_gateway()
    assert [is_by_hand(gateway, HELD) for _ in range(3)] == [True, False, False]
