"""Kill the supervisor, the wrapper, or both: there is one gateway afterwards, never two."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time

from support.guarded_gateway import FAKE, is_there, wait_until
from tailflip.flow.lives import BreakerState, Cause

LATER = {"restart.first_delay_s": 30}


def wait_alone(place, guarded):
    """Wait until exactly one fake gateway lives and has the port; return its pid."""
    pid = wait_until(place.is_alone, "gateway that is alone", story=guarded.said)
    assert place.doubles() == ""
    return pid


# --- the wrapper -------------------------------------------------------------------------


def test_the_orphan_of_a_killed_wrapper_is_guarded_on(place):
    guarded = place.run("--wrapper")
    life = guarded.wait_ready()
    worker = place.living()[0]
    assert life.pid != worker
    os.kill(life.pid, signal.SIGKILL)
    guarded.hear("the gateway goes on in another process")
    assert wait_alone(place, guarded) == worker
    assert len(place.pids()) == 1
    # It is still asked to stop, waited for, and its end still known.
    assert guarded.stop() == 0
    assert not is_there(worker)
    [ended] = place.lives()
    assert (ended.id, ended.death.cause) == (life.id, Cause.ASKED_STOP)


def test_an_orphan_that_dies_is_started_again_behind_its_wrapper(place):
    guarded = place.run("--wrapper")
    life = guarded.wait_ready()
    worker = place.living()[0]
    os.kill(life.pid, signal.SIGKILL)
    guarded.hear("the gateway goes on in another process")
    os.kill(worker, signal.SIGSEGV)
    guarded.wait_ready(2)
    assert place.lives()[1].death.cause is Cause.NATIVE_CRASH
    wait_alone(place, guarded)
    assert guarded.stop() == 0


def test_wrapper_and_supervisor_may_be_killed_both(place):
    first = place.run("--wrapper")
    life = first.wait_ready()
    worker = place.living()[0]
    first.die()
    os.kill(life.pid, signal.SIGKILL)
    second = place.run("--wrapper")
    second.hear("took over a living gateway")
    assert wait_alone(place, second) == worker
    assert second.stop() == 0
    assert not is_there(worker)


def test_a_killed_worker_takes_nothing_else_with_it(place):
    guarded = place.run("--wrapper")
    guarded.wait_ready()
    os.kill(place.living()[0], signal.SIGKILL)
    guarded.wait_ready(2)
    dead = place.lives()[1]
    assert (dead.exit_code, dead.death.cause) == (1, Cause.UNKNOWN)
    wait_alone(place, guarded)
    assert guarded.stop() == 0


# --- the supervisor ----------------------------------------------------------------------


def test_a_living_gateway_is_taken_over_and_its_stderr_read_on(place):
    first = place.run("--ticks")
    life = first.wait_ready()
    pid = place.living()[0]
    first.die()
    # Nobody reads now, and the gateway goes on writing.
    time.sleep(0.1)
    second = place.run("--ticks")
    second.hear("took over a living gateway")
    second.hear("tick ", 20)
    assert wait_alone(place, second) == pid
    told = [int(line[5:]) for line in second.said().splitlines() if line.startswith("tick ")]
    assert all(0 < later - earlier < 2e9 for earlier, later in itertools.pairwise(told))
    assert second.stop() == 0
    [ended] = place.lives()
    assert (ended.id, ended.death.cause) == (life.id, Cause.ASKED_STOP)
    assert b"tick " in place.history.lives.read_stderr(life.id)
    assert not list(place.home.guards.glob("*.stderr"))


def test_the_end_of_a_gateway_that_was_taken_over_is_seen_at_once(place):
    first = place.run()
    first.wait_ready()
    pid = place.living()[0]
    first.die()
    second = place.run()
    second.hear("took over a living gateway")
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    second.hear("gateway ended")
    assert time.monotonic() - began < 1
    second.wait_ready(2)
    wait_alone(place, second)
    assert second.stop() == 0


def test_a_gateway_that_is_still_starting_is_taken_over(place):
    first = place.run("--silent-start-s", "2")
    wait_until(place.pids, "start of the gateway")
    first.hear("gateway started")
    first.die()
    second = place.run("--silent-start-s", "2")
    second.hear("took over a living gateway")
    second.wait_ready(1)
    wait_alone(place, second)
    assert len(place.pids()) == 1
    assert second.stop() == 0


def test_a_death_that_nobody_saw_is_on_record(place):
    first = place.run()
    first.wait_ready()
    pid = place.living()[0]
    first.die()
    os.kill(pid, signal.SIGSEGV)
    wait_until(lambda: not is_there(pid), "end of the gateway")
    second = place.run()
    second.wait_ready(2)
    dead = place.lives()[1]
    assert dead.death is not None
    assert not dead.end_known
    assert any("was left by pid" in text for text in dead.death.evidence)
    assert second.stop() == 0


def test_a_wait_is_resumed(place):
    settings = {"restart.trial_first_s": 600, "restart.safe_start": "false"}
    first = place.run("--die", "2", "--deaths", "3", settings=settings)
    first.hear("crash loop")
    wait_until(
        lambda: place.history.decisions.read_breaker().state is BreakerState.OPEN, "open breaker"
    )
    first.die()
    second = place.run("--die", "2", "--deaths", "3", settings=settings)
    second.hear("resuming a wait")
    second.wait_watching(place.config)
    assert len(place.pids()) == 3
    second.send(signal.SIGUSR1)
    second.wait_ready(4)
    assert second.stop() == 0


def test_a_delay_is_resumed(place):
    first = place.run("--die", "2", "--deaths", "1", settings=LATER)
    first.hear("the gateway will be started")
    first.die()
    second = place.run("--die", "2", "--deaths", "1", settings=LATER)
    second.hear("resuming a wait")
    second.wait_watching(place.config)
    assert len(place.pids()) == 1
    assert place.history.decisions.read_breaker().row == 1
    second.send(signal.SIGUSR1)
    second.wait_ready(2)
    assert second.stop() == 0


def test_a_delay_that_is_over_is_not_waited_for_again(place):
    first = place.run("--die", "2", "--deaths", "1")
    first.wait_ready(2)
    assert first.stop() == 0
    second = place.run("--die", "2", "--deaths", "1")
    second.wait_ready(3)
    assert second.stop() == 0


def test_an_old_wait_is_not_resumed_after_the_life_that_followed_it(place):
    """A start was refused once and the cure found. Days later a restart of tailflip waited
    for that cure again, for ever: what had changed since was known no more."""
    place.put(b"garbage")
    first = place.run()
    first.hear("waiting=cure")
    first.wait_watching(place.store)
    place.put(b"{}")
    first.wait_ready()
    assert first.stop() == 0
    second = place.run()
    second.wait_ready(2)
    assert second.stop() == 0


def test_a_death_that_was_not_yet_decided_on_is_decided_on_now(place):
    """Killed after the verdict was written, and before the decision."""
    first = place.run("--die", "2", "--deaths", "1", settings=LATER)
    first.hear("the gateway will be started")
    first.die()
    with place.history.lives._writing() as db:
        db.execute("DELETE FROM decisions")
        db.execute("DELETE FROM facts WHERE name = 'breaker'")
    second = place.run("--die", "2", "--deaths", "1", settings=LATER)
    second.hear("the gateway will be started")
    assert place.history.decisions.read_breaker().row == 1
    assert len(place.pids()) == 1
    assert second.stop() == 0


def test_two_supervisors_of_one_gateway(place):
    first = place.run()
    first.wait_ready()
    second = place.run()
    assert second.wait() == 75
    assert f"tailflip run, pid {first.pid}" in second.said()
    assert "hint:" in second.said()
    assert len(place.pids()) == 1
    assert first.stop() == 0


def test_a_gateway_that_somebody_else_started_is_waited_for(place):
    env = {**os.environ, **place.env}
    other = subprocess.Popen([sys.executable, str(FAKE), "--port", str(place.port)], env=env)
    try:
        lock = place.root / "tmp" / f"openclaw-{os.getuid()}"
        wait_until(lambda: list(lock.glob("*.lock")), "lock of the other gateway")
        guarded = place.run()
        guarded.hear("waiting=other-instance")
        assert place.pids() == []
    finally:
        other.terminate()
        other.wait()
    guarded.wait_ready(1)
    assert place.doubles() == ""
    assert guarded.stop() == 0
