"""What `run` is told: settings that change, commands that cannot be started, a broken ledger."""

from __future__ import annotations

import json
import os
import signal
import sys

import pytest

from support.guarded_gateway import FAKE, wait_until
from tailflip.flow.lives import Cause


def write(place, text):
    path = place.root / "config.toml"
    path.write_text(text)
    return {"TAILFLIP_CONFIG": str(path)}


def test_a_bad_file_changes_nothing(place):
    env = write(place, "[gateway]\ndrain_s = 1\n")
    guarded = place.start("run", "--", *place.command("--ignore-term"), env=env)
    guarded.wait_ready()
    write(place, "[gateway]\ndrain_s = -5\n")
    guarded.send(signal.SIGHUP)
    guarded.hear("settings are not valid, the old ones stay")
    assert "gateway.drain_s" in guarded.said()
    guarded.send(signal.SIGTERM)
    assert guarded.wait(4) == 128 + signal.SIGKILL


def test_a_good_file_takes_effect(place):
    env = write(place, "[gateway]\ndrain_s = 3600\n")
    guarded = place.start("run", "--", *place.command("--ignore-term"), env=env)
    guarded.wait_ready()
    pid = place.living()
    write(place, "[gateway]\ndrain_s = 1\n")
    guarded.send(signal.SIGHUP)
    guarded.hear("settings were read again")
    assert place.living() == pid
    guarded.send(signal.SIGTERM)
    assert guarded.wait(4) == 128 + signal.SIGKILL


def test_flags_win_over_a_file_that_is_read_again(place):
    env = write(place, "")
    flags = ("--set", "gateway.drain_s=1")
    guarded = place.start("run", *flags, "--", *place.command("--ignore-term"), env=env)
    guarded.wait_ready()
    write(place, "[gateway]\ndrain_s = 3600\n")
    guarded.send(signal.SIGHUP)
    guarded.hear("settings were read again")
    guarded.send(signal.SIGTERM)
    assert guarded.wait(4) == 128 + signal.SIGKILL


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (
            ("openclaw", "gateway", "run"),
            64,
            "got unexpected extra argument(s) (openclaw gateway run)",
        ),
        (("--set", "restart.cap_s=-1", "--", "true"), 78, "restart.cap_s"),
        (("--", "/nonexistent/openclaw"), 78, "cannot start /nonexistent/openclaw"),
        (("--", "no-such-program"), 78, "cannot start no-such-program"),
    ],
)
def test_what_cannot_be_done_is_said_with_its_exit_code(place, words, code, said):
    guarded = place.start("run", *words)
    assert guarded.wait() == code, guarded.said()
    assert said in guarded.said()
    assert "Traceback" not in guarded.said()
    assert place.pids() == []


def test_a_program_that_may_not_be_executed(place):
    program = place.root / "bin" / "openclaw"
    program.write_text("#!/bin/sh\n")
    guarded = place.start("run", "--", str(program))
    assert guarded.wait() == 77
    assert "hint:" in guarded.said() or "error:" in guarded.said()


def test_a_program_that_is_gone_for_a_while_is_waited_for(place):
    """npm replaces the package while the gateway dies: to end now is to keep it down for good."""
    program = place.root / "bin" / "gateway"
    script = f'#!/bin/sh\nexec {sys.executable} {FAKE} "$@"\n'
    program.write_text(script)
    program.chmod(0o755)
    options = place.options("--die", "2", "--after-s", "0.5", "--deaths", "1")
    settings = {"restart.first_delay_s": 0.5}
    guarded = place.run(command=[str(program), *options], settings=settings)
    guarded.wait_ready(1)
    program.unlink()
    guarded.hear("cannot start")
    program.write_text(script)
    program.chmod(0o755)
    wait_until(lambda: len(place.pids()) == 2, "second start", story=guarded.said)
    guarded.hear("gateway answers", 2)
    assert guarded.stop() == 0


def test_a_ledger_that_cannot_be_written_keeps_no_gateway_down(place):
    place.home.root.mkdir()
    place.home.ledger.mkdir()  # also for root, who may write anywhere
    guarded = place.run("--die", "2", "--deaths", "1")
    wait_until(lambda: len(place.pids()) == 2, "second start", story=guarded.said)
    guarded.hear("gateway answers")
    assert "the ledger could not be" in guarded.said()
    assert guarded.stop() == 0
    assert place.living() == []


def test_a_ledger_that_is_garbage_keeps_no_gateway_down(place):
    place.home.root.mkdir()
    place.home.ledger.write_bytes(b"not a database, and long enough to be looked at" * 100)
    guarded = place.run()
    guarded.hear("gateway answers")
    assert guarded.stop() == 0


@pytest.mark.parametrize("where", ["a file", "nowhere"])
def test_a_state_directory_that_cannot_be_made_keeps_no_gateway_down(place, where):
    (place.root / "file").write_text("")
    home = {"a file": place.root / "file" / "tailflip", "nowhere": "/proc/tailflip"}[where]
    guarded = place.run("--die", "2", "--deaths", "1", env={"TAILFLIP_STATE_DIR": str(home)})
    wait_until(lambda: len(place.pids()) == 2, "second start", story=guarded.said)
    guarded.hear("gateway answers")
    assert "nothing can be remembered" in guarded.said()
    assert guarded.stop() == 0
    assert place.living() == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_state_directory_that_may_not_be_written_keeps_no_gateway_down(place):
    place.home.root.mkdir(mode=0o500)
    guarded = place.run("--die", "2", "--deaths", "1")
    guarded.hear("gateway answers")
    assert guarded.stop() == 0


def test_no_state_directory_of_openclaw_yet(place):
    place.config.unlink()
    place.state.rmdir()
    guarded = place.run(flags=("--port", str(place.port)))
    wait_until(lambda: place.pids() or guarded.process.poll() is not None, "start")
    assert "gateway started" in guarded.said()
    guarded.send(signal.SIGTERM)
    guarded.wait()
    assert place.living() == []


def test_the_ports_order_is_flag_command_configuration(place):
    place.configure(port=1)
    guarded = place.run()
    guarded.wait_ready()  # by the command's own --port
    assert guarded.stop() == 0
    assert place.deaths()[-1].cause is Cause.ASKED_STOP


def test_a_restart_waits_for_the_jobs_in_flight(place):
    """Whoever asks for a restart wants no job to die of it."""
    jobs = place.state / "cron" / "jobs.json"
    jobs.parent.mkdir()
    job = {"id": "j", "name": "backup", "enabled": True, "state": {"runningAtMs": 1}}
    guarded = place.run(settings={"gateway.drain_s": 60})
    guarded.wait_ready()
    jobs.write_text(json.dumps({"version": 1, "jobs": [job]}))
    guarded.send(signal.SIGUSR1)
    guarded.hear("waiting for the jobs in flight")
    assert len(place.living()) == 1
    job["state"] = {}
    jobs.write_text(json.dumps({"version": 1, "jobs": [job]}))
    guarded.wait_ready(2)
    first = place.lives()[-1]
    assert first.death is not None
    assert first.death.cause is Cause.PLANNED_RESTART
    assert guarded.stop() == 0
