"""Ends that nobody saw: real dead processes, the locks and reports they left, systemd's word."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tailflip.base import clock, platform_calls
from tailflip.flow.lives import Life
from tailflip.observe.gateway import past
from tailflip.observe.gateway.past import find_past_clues
from tailflip.observe.gateway.process import start_ticks
from tailflip.observe.host.systemd import ServiceEnd, Unit
from tailflip.observe.installation import locate

NODES = [
    str(Path.home() / ".cache/tailflip-gateway/node-24/node_modules/.bin/node"),
    shutil.which("node"),
]


@pytest.fixture
def env(tmp_path, monkeypatch):
    for name in ("state", "tmp", "cwd"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    return {
        "OPENCLAW_STATE_DIR": str(tmp_path / "state"),
        "TMPDIR": str(tmp_path / "tmp"),
        "PATH": os.environ["PATH"],
    }


@pytest.fixture
def no_systemd(monkeypatch):
    monkeypatch.setattr(past, "find_unit", lambda env, service: None)


def tell(monkeypatch, end):
    """Let systemd say this of the last run."""
    monkeypatch.setattr(past, "find_unit", lambda env, service: Unit("gw.service", True, None))
    monkeypatch.setattr(past, "read_service_end", lambda unit, env, since_ms: end)


def killed_process():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    ticks = start_ticks(child.pid)
    child.kill()
    child.communicate()
    return child.pid, ticks


def leave_lock(env, pid, ticks, age_s=0):
    config = str(Path(env["OPENCLAW_STATE_DIR"]) / "openclaw.json")
    folder = Path(env["TMPDIR"]) / f"openclaw-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    path = folder / f"gateway.{hashlib.sha256(config.encode()).hexdigest()[:8]}.lock"
    path.write_text(json.dumps({"pid": pid, "startTime": ticks, "configPath": config}))
    os.utime(path, (time.time() - age_s, time.time() - age_s))
    return path


def life(pid=None, ticks=None, *, age_s=60, **fields):
    started_ms = clock.now_ms() - age_s * 1000
    made = {"id": "L1", "guard": "/x", "mode": "gate", "started_ms": started_ms}
    return Life(
        **{
            **made,
            "pid": pid,
            "pid_ticks": ticks,
            "boot_id": platform_calls.here.boot_id(),
            **fields,
        }
    )


def look(env, last=None, service=None):
    return find_past_clues(locate(env), env, last, clock.now_ms(), service)


def test_nothing_is_known_of_a_first_start(env, no_systemd):
    assert look(env) is None


def test_a_life_that_took_its_lock_away_ended_well(env, no_systemd):
    assert look(env, life(*killed_process(), ready_ms=5)) is None


def test_a_lock_of_the_dead_is_an_end_by_force(env, no_systemd):
    """Without anything else the clues stay empty: killed by whom, nobody can say."""
    pid, ticks = killed_process()
    path = leave_lock(env, pid, ticks)
    clues, notes = look(env, life(pid, ticks, ready_ms=5, peak_rss_bytes=77))
    assert (clues.exit_code, clues.signal, clues.oom_kills) == (None, None, None)
    assert (clues.was_ready, clues.peak_rss_bytes) == (True, 77)
    assert any(str(path) in note and str(pid) in note for note in notes)
    assert any("L1" in note for note in notes)
    assert look(env)[1] == notes[:1]  # also without a ledger


def test_a_life_that_still_lives_has_not_ended(env, no_systemd):
    leave_lock(env, *killed_process())
    ours = life(os.getpid(), start_ticks(os.getpid()))
    assert look(env, ours) is None
    worker = life(*killed_process(), worker_pid=os.getpid(), worker_ticks=start_ticks(os.getpid()))
    assert look(env, worker) is None


def test_the_pid_of_a_dead_life_may_be_used_again(env, no_systemd):
    """In a container the gateway is pid 1 in every life."""
    leave_lock(env, *killed_process())
    assert look(env, life(os.getpid(), start_ticks(os.getpid()) - 1)) is not None
    assert look(env, life(os.getpid(), start_ticks(os.getpid()), boot_id="other")) is not None


def test_a_lock_that_is_older_than_the_last_life_says_nothing_of_it(env, no_systemd):
    dead = killed_process()
    leave_lock(env, *dead, age_s=600)
    assert look(env, life(*killed_process(), age_s=60)) is None
    assert look(env, life(*dead, age_s=60, mode="run")) is not None  # it was taken over
    judged = life(*dead, age_s=900, ended_ms=clock.now_ms() - 1000)
    assert look(env, judged) is None


def test_a_death_after_the_one_that_was_judged_is_a_new_one(env, no_systemd):
    """Somebody started the gateway by hand between two starts of ours."""
    leave_lock(env, *killed_process())
    judged = life(1, 1, age_s=900, ended_ms=clock.now_ms() - 500_000, ready_ms=3)
    clues, notes = look(env, judged)
    assert not clues.was_ready
    assert len(notes) == 1


def test_a_power_cut_is_nobodys_failure(env, no_systemd):
    leave_lock(env, *killed_process(), age_s=40 * 365 * 86_400)
    assert look(env, life(5, 5, age_s=50 * 365 * 86_400, boot_id="other")) is None


# --- node reports ---------------------------------------------------------------------------


def report(folder, pid, *, trigger="OOMError", event="Allocation failed", command=()):
    folder.mkdir(exist_ok=True)
    path = folder / f"report.20261121.161846.{pid}.0.001.json"
    header = {"trigger": trigger, "event": event, "processId": pid, "commandLine": list(command)}
    path.write_text(json.dumps({"header": header, "environmentVariables": {"KEY": "sekrit"}}))
    return path


@pytest.mark.parametrize("place", ["cwd", "state", "named"])
def test_a_report_is_proof_wherever_node_put_it(env, tmp_path, no_systemd, place):
    pid, ticks = killed_process()
    env["NODE_OPTIONS"] = f"--report-on-fatalerror --report-directory={tmp_path / 'named'}"
    path = report(tmp_path / place, pid)
    clues, notes = look(env, life(pid, ticks, age_s=100))
    assert clues.heap_report == "OOMError"
    assert 99 <= clues.uptime_s < 130
    assert str(path) in notes[0]
    assert "sekrit" not in repr((clues, notes))


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ({}, True),
        ({"trigger": "FatalError", "event": "JavaScript heap out of memory"}, True),
        ({"trigger": "Signal", "event": "SIGUSR2"}, False),
        ({"trigger": "GetReport", "event": "JavaScript API"}, False),
        ({"pid": 1}, False),
        ({"pid": 1, "command": ["node", "/opt/openclaw/openclaw.mjs"]}, True),
    ],
)
def test_only_a_deadly_report_of_the_gateway_counts(env, tmp_path, no_systemd, change, counts):
    pid, ticks = killed_process()
    report(tmp_path / "cwd", **{"pid": pid, **change})
    found = look(env, life(pid, ticks))
    assert (found is not None) is counts
    if found is not None:
        assert found[0].heap_report == "OOMError"


def test_a_report_from_before_and_a_torn_one_are_nothing(env, tmp_path, no_systemd):
    pid, ticks = killed_process()
    path = report(tmp_path / "cwd", pid)
    os.utime(path, (1, 1))
    assert look(env, life(pid, ticks)) is None
    path.write_text('{"header": {"trigger"')
    assert look(env, life(pid, ticks)) is None


@pytest.mark.skipif(not any(n and Path(n).exists() for n in NODES), reason="needs node")
def test_the_report_of_a_real_heap_death(env, tmp_path, no_systemd):
    node = next(n for n in NODES if n and Path(n).exists())
    eat = "const a=[];for(;;)a.push(new Array(10000).fill({x:Math.random()}))"
    flags = ["--report-on-fatalerror", "--max-old-space-size=20"]
    before_ms = clock.now_ms()
    child = subprocess.Popen([node, *flags, "-e", eat], stderr=subprocess.DEVNULL)
    ticks = start_ticks(child.pid)
    assert child.wait(60) != 0
    clues, _ = look(env, life(child.pid, ticks, started_ms=before_ms))
    assert clues.heap_report == "OOMError"


# --- systemd ----------------------------------------------------------------------------------


def test_what_systemd_saw_are_the_clues(env, monkeypatch):
    end = ServiceEnd(signal=9, oom_kills=1, result="oom-kill", at_ms=clock.now_ms(), tail="last")
    tell(monkeypatch, end)
    clues, notes = look(env, life(*killed_process(), age_s=50))
    assert (clues.signal, clues.oom_kills, clues.stderr_tail) == (9, 1, "last")
    assert 49 <= clues.uptime_s < 80
    assert (
        notes[0] == "systemd on gw.service: signal 9, 1 killed for want of memory, result oom-kill"
    )
    assert "last" not in "".join(notes)


def test_a_clean_end_for_systemd_is_clean_though_a_helper_was_killed(env, monkeypatch):
    """OOMPolicy=continue: the gateway outlived its browser, and was stopped a day later."""
    tell(monkeypatch, ServiceEnd(oom_kills=3, at_ms=5, tail="bye"))
    assert look(env, life(*killed_process())) is None


def test_of_a_life_that_we_were_parent_of_systemd_saw_our_own_end(env, monkeypatch):
    tell(monkeypatch, ServiceEnd(exit_code=1, oom_kills=1, tail="JavaScript heap out of memory"))
    last = life(*killed_process(), mode="run")
    assert look(env, last) is None
    leave_lock(env, *killed_process())
    clues, notes = look(env, last)
    assert (clues.exit_code, clues.oom_kills) == (None, 1)
    assert "heap" in clues.stderr_tail
    assert any("1 killed for want of memory" in note for note in notes)


def test_a_stop_that_was_asked_for_is_told(env, monkeypatch):
    tell(monkeypatch, ServiceEnd(asked=True, at_ms=5))
    assert look(env, life(*killed_process())) is None
    tell(monkeypatch, ServiceEnd(asked=True, signal=9, at_ms=5))
    clues, notes = look(env, life(*killed_process()))
    assert (clues.asked, clues.signal) == ("service manager", 9)
    assert "after it was asked to stop" in notes[0]


def test_it_costs_little_when_there_is_nothing_to_ask(env):
    """Every healthy start pays this."""
    installation = locate(env)
    last = life(*killed_process())
    took = []
    for _ in range(9):
        began = time.perf_counter()
        assert find_past_clues(installation, env, last, clock.now_ms(), None) is None
        took.append(time.perf_counter() - began)
    assert min(took) < 0.020
