"""`tailflip maintenance` and those who guard: hands off until it ends, and then at work again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from support.guarded_gateway import NEAR, is_there, wait_until
from tailflip.base.moments import read_moment
from tailflip.flow.lives import BreakerState, Cause, Waiting
from tailflip.flow.maintenance import MaintenanceEnd

SHELL = "/bin/sh"
NEAR_LIMIT = ("--heap-limit", NEAR)
SLOW = {"restart.first_delay_s": 300, "restart.cap_s": 300}


def ask(place, *words, **options):
    return subprocess.run(
        [sys.executable, "-m", "tailflip", *words],
        env=place.env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        **options,
    )


def begin(place, *words, length="1h"):
    done = ask(place, "maintenance", "on", "--for", length, *words)
    assert done.returncode == 0, done.stderr
    return done


def end(place):
    done = ask(place, "maintenance", "off")
    assert done.returncode == 0, done.stderr
    return done


def kill_gateway(place, guarded):
    """End the gateway as somebody does who works on it; wait until its guard knows."""
    os.kill(place.living()[0], signal.SIGKILL)
    wait_until(lambda: not place.living(), "end of the gateway", story=guarded.said)


def wait_resting(place, guarded):
    def rests():
        standing = place.history.decisions.read_standing()
        return standing is not None and standing.waiting is Waiting.MAINTENANCE

    wait_until(rests, "rest", story=guarded.said)


def test_a_gateway_that_ends_stays_down_and_is_started_at_the_end(place):
    """A guard that starts what a person has just stopped is worked against, not with."""
    guarded = place.run()
    guarded.wait_ready()
    begin(place, "--reason", "moving the disk", "--by", "ana")
    guarded.hear("maintenance: hands off")
    kill_gateway(place, guarded)
    wait_resting(place, guarded)
    assert guarded.process.poll() is None
    assert len(place.pids()) == 1
    assert place.lives()[0].death is not None, "its end is on record all the same"
    shown = ask(place, "status")
    assert "no gateway is started during a maintenance: moving the disk" in flat(shown.stdout)
    assert "by ana" in flat(shown.stdout)
    end(place)
    guarded.wait_ready(2)
    assert guarded.count("the maintenance is over") == 1
    assert place.history.decisions.read_breaker().state is BreakerState.CLOSED
    assert guarded.stop() == 0


def flat(text):
    return " ".join(text.split())


def test_it_ends_by_its_time_and_a_gateway_that_is_down_is_started(place):
    guarded = place.run()
    guarded.wait_ready()
    begin(place, length="3s")
    kill_gateway(place, guarded)
    wait_resting(place, guarded)
    guarded.wait_ready(2, deadline_s=20)
    (past,) = place.history.maintenances.read()
    assert past.end is MaintenanceEnd.TIME
    assert place.lives()[0].started_ms >= past.began_ms + 3_000
    assert guarded.stop() == 0


def test_a_gateway_that_lives_through_it_is_not_touched(place):
    guarded = place.run()
    guarded.wait_ready()
    begin(place)
    guarded.hear("maintenance: hands off")
    end(place)
    guarded.hear("the maintenance is over")
    assert place.living() == place.pids()
    assert guarded.stop() == 0


def test_a_gateway_that_hangs_is_left_alone_until_then(place):
    """A debugger holds a process still: a guard that kills it then takes the evidence away."""
    guarded = place.run()
    life = guarded.wait_ready()
    begin(place)
    os.kill(life.pid, signal.SIGSTOP)
    guarded.hear("it is left alone in maintenance", 2)
    assert is_there(life.pid)
    end(place)
    guarded.hear("gateway does not answer: ending it")
    guarded.wait_ready(2, deadline_s=60)
    assert guarded.stop() == 0


def test_a_store_that_kills_is_left_as_it_is(place):
    """After a death of memory stores are made small: not while a person looks at them."""
    before = place.fill()
    guarded = place.run("--die", "v8", "--after-s", "2", "--deaths", "1", flags=NEAR_LIMIT)
    guarded.wait_ready()
    begin(place)
    wait_resting(place, guarded)
    (death,) = place.deaths()
    assert death.cause is Cause.V8_HEAP
    assert place.store.read_bytes() == before
    assert ask(place, "archive", "list", "--json").stdout.count('"kind"') == 0
    end(place)
    guarded.wait_ready(2)
    assert guarded.stop() == 0


def test_quiet_only_leaves_the_hands_at_work(place):
    guarded = place.run()
    guarded.wait_ready()
    begin(place, "--quiet-only")
    guarded.hear("maintenance: alerts are silent")
    kill_gateway(place, guarded)
    guarded.wait_ready(2)
    assert guarded.stop() == 0


@pytest.mark.parametrize("how", ["SIGUSR1", "retry"])
def test_a_start_that_a_person_asks_for_is_made(place, how):
    guarded = place.run()
    guarded.wait_ready()
    begin(place)
    kill_gateway(place, guarded)
    wait_resting(place, guarded)
    if how == "retry":
        assert ask(place, "retry").returncode == 0
    else:
        guarded.send(signal.SIGUSR1)
    guarded.wait_ready(2)
    assert place.history.read_maintenance() is not None
    assert guarded.stop() == 0


def test_a_wait_becomes_a_rest_and_its_end_starts_the_gateway(place):
    guarded = place.run("--die", "2", "--deaths", "1", settings=SLOW)
    guarded.hear("the gateway will be started")
    begin(place)
    wait_resting(place, guarded)
    end(place)
    guarded.wait_ready(2)
    assert guarded.stop() == 0


def test_it_survives_the_guard(place):
    """A guard that was killed, or a machine that was booted, knows that somebody is at work."""
    guarded = place.run()
    guarded.wait_ready()
    begin(place)
    kill_gateway(place, guarded)
    wait_resting(place, guarded)
    guarded.die()
    again = place.run()
    again.hear("maintenance: hands off")
    wait_until(lambda: again.count("waiting before the next start"), "rest", story=again.said)
    assert len(place.pids()) == 1
    end(place)
    again.wait_ready(2)
    assert again.stop() == 0


def test_one_that_ended_while_no_guard_lived_holds_nothing(place):
    guarded = place.run()
    guarded.wait_ready()
    begin(place)
    kill_gateway(place, guarded)
    wait_resting(place, guarded)
    guarded.die()
    end(place)
    again = place.run()
    again.wait_ready(2)
    assert again.stop() == 0


def test_a_guard_that_begins_in_one_takes_a_living_gateway_over(place):
    guarded = place.run()
    guarded.wait_ready()
    begin(place)
    guarded.die()
    again = place.run()
    again.hear("took over a living gateway")
    assert place.living() == place.pids()
    assert again.stop() == 0


def test_a_guard_that_rests_ends_when_it_is_asked_to(place):
    begin(place)
    guarded = place.run()
    wait_resting(place, guarded)
    assert guarded.stop() == 0
    assert place.pids() == []


# --- wrapped round a command ---------------------------------------------------------------


def test_it_ends_with_its_command_whose_exit_code_is_passed_on(place):
    guarded = place.run()
    guarded.wait_ready()
    pid = place.living()[0]
    script = f"kill -9 {pid}; /bin/sleep 1; exit 7"
    done = ask(place, "maintenance", "run", "--reason", "update", "--", SHELL, "-c", script)
    assert done.returncode == 7, done.stderr
    assert "the maintenance is over" in done.stderr
    (past,) = place.history.maintenances.read()
    assert (past.end, past.command, past.reason) == (MaintenanceEnd.COMMAND, "sh", "update")
    guarded.wait_ready(2)
    assert place.lives()[0].started_ms >= past.ended_ms
    assert guarded.stop() == 0


def test_what_the_command_says_is_its_own(place):
    done = ask(place, "maintenance", "run", "--", SHELL, "-c", "/bin/cat; echo err >&2", input="in")
    assert done.stdout == "in"
    assert "err\n" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_passed_on_and_the_maintenance_ends(place, number):
    words = ("maintenance", "run", "--", SHELL, "-c", "echo on >&2; exec /bin/sleep 60")
    before = signal.signal(number, signal.SIG_DFL)  # `nohup` before the tests has it ignored
    wrapped = place.start(*words)
    signal.signal(number, before)
    wrapped.hear("on\n")
    wrapped.send(number)
    assert wrapped.wait() == 128 + number
    assert place.history.read_maintenance() is None


def test_ctrl_c_is_the_commands_own_to_answer(place):
    """A terminal sends it to both; a command that tidies up first is waited for."""
    script = "trap '/bin/sleep 1; exit 3' INT; echo on >&2; while :; do /bin/sleep 0.1; done"
    wrapped = place.start("maintenance", "run", "--", SHELL, "-c", script, start_new_session=True)
    wrapped.hear("on\n")
    os.killpg(wrapped.pid, signal.SIGINT)
    assert wrapped.wait() == 3
    assert place.history.read_maintenance() is None


@pytest.mark.parametrize(("program", "code"), [("not-there", 78), ("denied", 77)])
def test_a_command_that_cannot_be_started_leaves_no_maintenance(place, program, code):
    path = place.root / program
    if program == "denied":
        path.write_text("")
    done = ask(place, "maintenance", "run", "--", str(path))
    assert done.returncode == code
    assert "nothing was run" in done.stderr
    assert place.history.read_maintenance() is None


def test_in_one_that_is_on_the_command_runs_and_that_one_stays(place):
    begin(place)
    done = ask(place, "maintenance", "run", "--", SHELL, "-c", "exit 4")
    assert done.returncode == 4
    assert place.history.read_maintenance() is not None
    assert len(place.history.maintenances.read()) == 1


def test_two_commands_do_not_share_one(place):
    wrapped = place.start(
        "maintenance", "run", "--", SHELL, "-c", "echo on >&2; exec /bin/sleep 60"
    )
    wrapped.hear("on\n")
    second = ask(place, "maintenance", "run", "--", sys.executable, "-c", "")
    assert second.returncode == 75
    assert "on for `sh`" in second.stderr
    wrapped.send(signal.SIGTERM)
    wrapped.wait()


def test_one_that_a_person_made_longer_outlives_its_command(place):
    words = ("maintenance", "run", "--", SHELL, "-c", "echo on >&2; exec /bin/sleep 60")
    wrapped = place.start(*words)
    wrapped.hear("on\n")
    begin(place, length="2h")
    wrapped.send(signal.SIGTERM)
    wrapped.wait()
    assert "did not end with it" in wrapped.said()
    assert place.history.read_maintenance() is not None


# --- gate, preflight, watch ----------------------------------------------------------------


def test_a_gate_lets_a_start_through_that_it_would_hold(place):
    """The configuration was refused, and the person at work on it starts the gateway anew."""
    guarded = place.run("--die", "78", "--say", "Config invalid")
    guarded.hear("waiting=config-change")
    assert guarded.stop() == 0
    words = ("gate", "--", *place.command("--die", "78", "--say", "Config invalid"))
    assert place.start(*words).wait() == 78
    before = len(place.pids())
    begin(place)
    gate = place.start(*words)
    gate.wait()
    assert "no start is held back" in gate.said()
    assert len(place.pids()) == before + 1


def test_a_gate_heals_nothing_and_refuses_what_would_destroy_data(place):
    before = place.fill(50_000)[:-40]
    place.put(before)
    begin(place)
    for verb in ("gate", "preflight"):
        refused = place.start(verb, "--", *place.command())
        assert refused.wait() == 65, refused.said()
        assert "not valid JSON" in refused.said()
    assert place.store.read_bytes() == before
    assert place.pids() == []
    end(place)
    healed = place.start("preflight", "--", *place.command())
    assert healed.wait() == 0, healed.said()
    assert place.store.read_bytes() != before


def test_a_store_that_is_gone_beside_its_backup_is_no_empty_store(place):
    place.fill(50_000)
    place.store.rename(place.store.with_name(f"sessions.json.bak.{read_moment().at_ms}"))
    begin(place)
    refused = place.start("gate", "--", *place.command())
    assert refused.wait() == 65, refused.said()
    assert "store is missing" in refused.said()
    assert place.pids() == []


def test_a_store_that_would_not_fit_is_let_through_as_it_is(place):
    """Whether to try it is the matter of the person who works on it; nothing is lost by it."""
    before = place.fill()
    begin(place)
    heap = ("--heap-limit", "100mb")
    passed = place.start("preflight", *heap, "--", *place.command())
    assert passed.wait() == 0, passed.said()
    assert place.store.read_bytes() == before


def test_a_watch_only_looks(place):
    place.fill(50_000)
    begin(place)
    env = {"TAILFLIP_RECONCILE_ENABLED": "true"}
    before = {path: path.read_bytes() for path in place.state.rglob("*") if path.is_file()}
    watch = place.start("watch", "--rounds", "1", env=env)
    assert watch.wait() == 0, watch.said()
    assert "maintenance until" in watch.said()
    assert {path: path.read_bytes() for path in before} == before
    end(place)
    again = place.start("watch", "--rounds", "1", env=env)
    assert again.wait() == 0, again.said()
    assert {path: path.read_bytes() for path in before} != before


def test_what_a_person_asks_for_works_as_ever(place):
    before = place.fill()
    begin(place)
    done = ask(place, "compact", "--apply")
    assert done.returncode == 0, done.stderr
    assert len(place.store.read_bytes()) < len(before)


def test_a_timer_reconciles_later(place):
    """The timer of `install --timer` is nobody who works on the gateway."""
    place.fill(50_000)
    begin(place)
    before = {path: path.read_bytes() for path in place.state.rglob("*") if path.is_file()}
    done = ask(place, "reconcile", "--apply", "--by-itself")
    assert done.returncode == 75
    assert "nothing was reconciled" in done.stderr
    assert {path: path.read_bytes() for path in before} == before
    end(place)
    assert ask(place, "reconcile", "--apply", "--by-itself").returncode == 0
    assert {path: path.read_bytes() for path in before} != before


def test_status_and_check_show_it(place):
    place.fill(50_000)
    begin(place, "--reason", "upgrade", "--by", "ana")
    told = json.loads(ask(place, "status", "--json").stdout)["maintenance"]
    assert (told["reason"], told["by"], told["ended_ms"]) == ("upgrade", "ana", None)
    assert "maintenance until" in ask(place, "status").stdout
    assert "maintenance until" in ask(place, "check").stdout
    assert json.loads(ask(place, "check", "--json").stdout)["maintenance"]["id"] == told["id"]
