"""How a guarded gateway ends, and what is on record about it."""

from __future__ import annotations

import os
import signal
import time

import pytest

from support.guarded_gateway import is_there, wait_until
from tailflip.flow.lives import Cause, Confidence

ONCE = ("--deaths", "1")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_reaches_the_gateway_and_ends_both(place, number):
    signals = place.root / "signals"
    guarded = place.run("--signals-file", str(signals))
    life = guarded.wait_ready()
    guarded.send(number)
    assert guarded.wait() == 0
    assert signals.read_text().split() == ["SIGTERM"]
    assert not place.living()
    [ended] = place.lives()
    assert (ended.id, ended.death.cause, ended.exit_code) == (life.id, Cause.ASKED_STOP, 0)
    assert place.history.incidents.read() == ()


def test_a_gateway_may_take_its_time_to_end(place):
    guarded = place.run("--term-takes-s", "1")
    guarded.wait_ready()
    began = time.monotonic()
    assert guarded.stop() == 0
    assert time.monotonic() - began >= 1
    assert place.lives()[0].exit_code == 0


def test_a_gateway_that_ignores_sigterm_is_killed_after_its_drain_time(place):
    """Its work was cut off: systemd, too, calls a stop failed that it had to enforce."""
    guarded = place.run("--ignore-term", settings={"gateway.drain_s": 1})
    guarded.wait_ready()
    began = time.monotonic()
    assert guarded.stop() == 128 + signal.SIGKILL
    assert time.monotonic() - began >= 1
    assert not place.living()
    [life] = place.lives()
    assert (life.signal, life.death.cause) == (signal.SIGKILL, Cause.ASKED_STOP)


def test_a_stop_while_the_gateway_starts_ends_it(place):
    guarded = place.run("--silent-start-s", "2")
    guarded.hear("gateway started")
    wait_until(place.pids, "start of the gateway")
    assert guarded.stop() == 0
    assert not place.living()
    assert place.lives()[0].death.cause is Cause.ASKED_STOP


ENDS = [
    # how it dies, what it says, cause, confidence, exit code, signal
    ("1", None, Cause.UNKNOWN, Confidence.GUESS, 1, None),
    ("2", None, Cause.UNKNOWN, Confidence.GUESS, 2, None),
    ("1", "TypeError: boom", Cause.UNKNOWN, Confidence.GUESS, 1, None),
    ("sigsegv", None, Cause.NATIVE_CRASH, Confidence.LIKELY, None, signal.SIGSEGV),
    ("sigkill", None, Cause.UNKNOWN, Confidence.GUESS, None, signal.SIGKILL),
    ("v8", None, Cause.V8_HEAP, Confidence.PROVEN, None, signal.SIGABRT),
]


@pytest.mark.parametrize("end", ENDS)
def test_a_death_gets_its_verdict_and_the_gateway_is_started_again(place, end):
    how, said, cause, confidence, code, number = end
    words = ("--say", said) if said else ()
    guarded = place.run("--die", how, *ONCE, *words)
    guarded.wait_ready(2)
    living, dead = place.lives()
    assert (dead.death.cause, dead.death.confidence) == (cause, confidence)
    assert (dead.exit_code, dead.signal) == (code, number)
    assert dead.end_known
    assert dead.incident is not None
    assert living.ended_ms is None
    if said:
        assert said.encode() in place.history.lives.read_stderr(dead.id)
        assert "TypeError" in dead.death.signature
    assert guarded.stop() == 0
    assert place.doubles() == ""


@pytest.mark.parametrize(
    ("how", "cause"), [("v8", Cause.V8_HEAP), ("sigkill", Cause.UNKNOWN), ("2", Cause.UNKNOWN)]
)
def test_a_death_behind_the_wrapper_gets_the_same_verdict(place, how, cause):
    guarded = place.run("--wrapper", "--die", how, *ONCE, "--after-s", "0.3")
    guarded.wait_ready(2)
    living, dead = place.lives()
    assert dead.death.cause is cause
    assert dead.exit_code == (2 if how == "2" else 1)
    assert dead.worker_pid not in (None, dead.pid)
    assert living.worker_pid not in (None, living.pid)
    assert guarded.stop() == 0
    assert not place.living()


@pytest.mark.parametrize("how", ["0", "sighup", "sigquit"])
@pytest.mark.parametrize("wrapped", [(), ("--wrapper",)])
def test_an_end_that_nobody_is_known_to_have_asked_for_is_followed_by_a_start(place, how, wrapped):
    """earlyoom, a stray kill, an exit with 0: the guard called it a stop, and nobody was left."""
    guarded = place.run("--die", how, *ONCE, *wrapped)
    guarded.wait_ready(2)
    dead = place.lives()[1].death
    if not (wrapped and how != "0"):  # of a signal, a wrapper makes exit 1
        assert dead.cause is Cause.ENDED
        assert "stop its guard" in guarded.said()
    assert guarded.process.poll() is None
    assert guarded.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("wrapped", [(), ("--wrapper",)])
def test_a_stranger_who_stops_the_gateway_does_not_stop_its_guard(place, number, wrapped):
    guarded = place.run(*wrapped)
    guarded.wait_ready()
    wait_until(lambda: not wrapped or place.lives()[0].worker_pid, "worker", story=guarded.said)
    life = place.lives()[0]
    os.kill(life.worker_pid or life.pid, number)
    guarded.wait_ready(2)
    assert place.lives()[1].death.cause is Cause.ENDED
    assert guarded.stop() == 0


def test_a_stop_of_all_processes_at_once_is_one_stop(place):
    """systemd signals the whole cgroup, and the gateway may be the first to end."""
    guarded = place.run()
    life = guarded.wait_ready()
    os.kill(life.pid, signal.SIGTERM)
    time.sleep(0.3)
    assert guarded.stop() == 0
    [ended] = place.lives()
    assert ended.death.cause is Cause.ASKED_STOP
    assert place.history.incidents.read() == ()


def test_a_gateway_that_its_updater_parked_is_left_alone_and_its_guard_stays(place):
    guarded = place.run("--die", "79")
    guarded.hear("waiting before the next start")
    [life] = place.lives()
    assert (life.death.cause, life.exit_code) == (Cause.PARKED, 79)
    assert guarded.process.poll() is None
    assert guarded.stop() == 0


RESTART = "2026-05-16T10:00:00Z [gateway] restart mode: full process restart (supervisor restart)"


@pytest.mark.parametrize("after_s", ["0", "1"])
def test_a_gateway_that_restarts_itself_all_the_time_is_held_back(place, after_s):
    """It asked for 384 restarts in 15 s and got them; also one that answers in between."""
    guarded = place.run("--die", "0", "--say", RESTART, "--after-s", after_s)
    guarded.hear("restarts itself again and again, 3 times in a row, once every", deadline_s=60)
    assert len(place.pids()) <= 4
    assert [each.cause for each in place.history.incidents.read()] == [Cause.PLANNED_RESTART]
    wait_until(
        lambda: "restart-loop" in [f.finding.code for f in place.history.findings.read()],
        "finding",
        story=guarded.said,
    )
    assert guarded.stop() == 0


def test_a_gateway_that_ended_with_0_is_started_again(place):
    """It ended in order, nobody had asked, and nobody was left who could start it."""
    guarded = place.run("--die", "0", *ONCE)
    guarded.wait_ready(2)
    _living, dead = place.lives()
    assert (dead.death.cause, dead.exit_code) == (Cause.ENDED, 0)
    assert guarded.stop() == 0


def test_an_update_is_waited_for_and_then_the_gateway_starts(place):
    guarded = place.run("--die", "75", *ONCE, settings={"restart.cap_s": 1})
    guarded.wait_ready(2)
    living, dead = place.lives()
    assert dead.death.cause is Cause.UPDATE
    assert living.started_ms - dead.ended_ms >= 900
    assert guarded.stop() == 0


def test_a_configuration_that_was_refused_is_waited_for_and_then_tried_at_once(place):
    guarded = place.run(
        "--die", "78", "--say", "Config invalid", *ONCE, settings={"restart.trial_first_s": 3000}
    )
    guarded.hear("waiting=config-change")
    assert place.lives()[0].death.cause is Cause.CONFIG
    guarded.wait_watching(place.config)
    began = time.monotonic()
    place.configure(bind="loopback")
    guarded.wait_ready(2)
    assert time.monotonic() - began < 4  # the kernel tells, we need not look every 5 s
    assert guarded.stop() == 0


def test_a_hand_off_of_a_new_release_is_consumed_and_followed(place):
    program = place.install("2026.9.6")
    command = [program, "gateway", "run", *place.options("--hand-off", "--after-s", "0.5")]
    told = place.root / "told"
    guarded = place.run(command=[*command, "--tell", str(told)])
    guarded.wait_ready(2)
    living, ended = place.lives()
    assert (ended.death.cause, ended.version) == (Cause.PLANNED_RESTART, "2026.9.6")
    assert place.history.decisions.read_breaker().deaths == 1  # it was no good life
    assert place.history.incidents.read() == ()
    assert '"OPENCLAW_SUPERVISOR_MODE": "external"' in told.read_text()
    assert not (place.state / "hand-off").exists()
    assert guarded.stop() == 0
    assert place.lives()[0].id == living.id


def test_a_gateway_that_starts_its_successor_itself_is_followed_to_it(place):
    guarded = place.run("--respawn", "--after-s", "0.5")
    guarded.hear("the gateway goes on in another process")
    first, second = place.pids()
    wait_until(lambda: place.listener() == second, "successor that listens", story=guarded.said)
    assert not is_there(first)
    assert place.doubles() == ""
    assert guarded.stop() == 0
    assert not place.living()
    [life] = place.lives()
    assert (life.pid, life.worker_pid) == (first, second)


@pytest.mark.parametrize("version", ["2026.4.14", "2026.9.6"])
def test_a_wish_to_restart_is_handed_on_by_the_signal_that_the_release_knows(place, version):
    signals = place.root / "signals"
    program = place.install(version)
    options = place.options("--wrapper", "--signals-file", str(signals))
    guarded = place.run(command=[program, "gateway", "run", *options])
    guarded.wait_ready()
    known = "SIGUSR2" if version == "2026.9.6" else "SIGUSR1"
    guarded.send(signal.SIGUSR1)
    wait_until(lambda: signals.exists() and signals.read_text(), "signal", story=guarded.said)
    assert signals.read_text().split() == [known]
    assert guarded.stop() == 0


def test_a_gateway_of_unknown_release_is_restarted_by_us_when_asked(place):
    guarded = place.run()
    guarded.wait_ready()
    guarded.send(signal.SIGUSR1)
    guarded.wait_ready(2)
    living, ended = place.lives()
    assert ended.death.cause is Cause.PLANNED_RESTART
    assert guarded.stop() == 0
    assert place.lives()[0].id == living.id
