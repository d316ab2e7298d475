"""A gateway that refused to start is started within seconds after its cure, whatever that is."""

from __future__ import annotations

import os
import subprocess
import time

import pytest

from support.guarded_gateway import wait_until
from tailflip.flow.lives import Cause

ONCE = ("--refuse", "--deaths", "1")
STALE = "Gateway failed to start: Legacy exec approvals exist at /x. Run `openclaw doctor --fix`"
NO_MODULE = "Error [ERR_MODULE_NOT_FOUND]: Cannot find module '/x/dist/a.js' imported from /x/b.js"
TRIALS = {"restart.trial_first_s": 3000}  # no start but by a cure
SOON_S = 25.0  # files are to settle first, and are looked at every 5 s


def write_databases(place, text):
    """What `openclaw doctor --fix` writes."""
    for name in ("state/openclaw.sqlite", "agents/main/agent/openclaw-agent.sqlite-wal"):
        path = place.state / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def ask(place, *words):
    asked = place.start(*words, stdout=subprocess.PIPE)
    return " ".join(asked.process.communicate()[0].decode().split())


@pytest.mark.parametrize("touched", ["databases", "exec-approvals.json", "wal only"])
def test_a_state_that_was_migrated_is_seen(place, touched):
    """Doctor had run, and the gateway stayed down for an hour: only the stores were looked at."""
    write_databases(place, "old")
    guarded = place.run("--die", "78", "--say", STALE, *ONCE, settings=TRIALS)
    guarded.hear("waiting=state-change")
    assert place.lives()[0].death.cause is Cause.MIGRATION
    assert "run `openclaw doctor --fix`" in ask(place, "status")
    assert "next: stop the gateway's service, run `openclaw doctor" in ask(
        place, "incidents", "why"
    )
    if touched == "databases":
        write_databases(place, "migrated")
    elif touched == "wal only":
        (place.state / "agents/main/agent/openclaw-agent.sqlite-wal").write_text("migrated")
    else:
        (place.state / touched).write_text("{}")
    guarded.wait_ready(2, SOON_S)
    assert guarded.stop() == 0


@pytest.mark.parametrize("cure", ["same version again", "module", "node"])
def test_a_package_that_was_installed_again_is_seen(place, cure):
    """The same version was installed again: its text is the same, and that was looked at."""
    program = place.install("2026.9.6")
    package = place.root / "lib" / "node_modules" / "openclaw"
    options = place.options("--die", "1", "--say", NO_MODULE, *ONCE)
    guarded = place.run(command=[program, "gateway", "run", *options], settings=TRIALS)
    guarded.hear("waiting=program-change")
    assert place.lives()[0].death.cause is Cause.INSTALLATION
    assert "npm i -g openclaw@2026.9.6" in ask(place, "status")
    if cure == "same version again":
        new = package / "package.json.new"
        new.write_bytes((package / "package.json").read_bytes())
        new.replace(package / "package.json")
    elif cure == "module":
        (package / "dist").mkdir()
    else:
        os.utime(place.root / "bin" / "node")
    guarded.wait_ready(2, SOON_S)
    assert guarded.stop() == 0


def test_while_files_still_change_no_start_disturbs_a_doctor(place):
    write_databases(place, "old")
    guarded = place.run("--die", "78", "--say", STALE, *ONCE, settings=TRIALS)
    guarded.hear("waiting=state-change")
    until = time.monotonic() + 12
    while time.monotonic() < until:
        write_databases(place, f"{time.monotonic()}")
        time.sleep(0.5)
    assert len(place.lives()) == 1
    guarded.wait_ready(2, SOON_S)
    assert guarded.stop() == 0


def test_a_gate_holds_a_start_until_the_state_was_migrated(place):
    write_databases(place, "old")
    guarded = place.run("--die", "78", "--say", STALE, *ONCE, settings=TRIALS)
    guarded.hear("waiting=state-change")
    assert guarded.stop() == 0
    held = place.start("gate", "--", *place.command())
    assert held.wait() == 75
    assert "openclaw doctor --fix" in held.said()
    parked = place.start("gate", "--park", "--", *place.command())
    parked.hear("parked until something changes")
    write_databases(place, "migrated")
    assert wait_until(place.listener, "gateway", SOON_S, parked.said) == parked.pid


def test_a_variable_that_was_set_is_seen(place):
    said = 'Gateway failed to start: Startup failed: required secrets are unavailable. "X"'
    guarded = place.run("--die", "1", "--say", said, *ONCE, settings=TRIALS)
    guarded.hear("waiting=config-change")
    assert "set the variable" in ask(place, "status")
    (place.state / ".env").write_text("SOME_API_KEY=x\n")
    guarded.wait_ready(2, SOON_S)
    assert guarded.stop() == 0
