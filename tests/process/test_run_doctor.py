"""By consent, OpenClaw's own doctor is run once after a death that only it can repair."""

from __future__ import annotations

import json
import os
import signal
import sys
import time

import pytest

from support.guarded_gateway import FAKE, is_there, wait_until
from tailflip.flow.lives import Cause, Waiting

MIGRATE = "Gateway failed to start: Legacy exec approvals exist at /x. Run `openclaw doctor --fix`"
OLD_STORE = "Gateway failed to start: Legacy session store requires migration before startup."
SOURCE = "Gateway failed to start: Retained session migration source changed: /x"
CONSENT = {"heal.doctor": "true", "restart.trial_first_s": 3000}
# A doctor as the package has it: it tells how it was called, and does what it is told.
DOCTOR = """
import json, os, pathlib, sys, time
if sys.argv[1] == "doctor":
    state = pathlib.Path(os.environ["OPENCLAW_STATE_DIR"])
    names = ("NODE_OPTIONS", "OPENCLAW_SERVICE_REPAIR_POLICY", "INVOCATION_ID", "OURS")
    told = {"argv": sys.argv[1:], "env": {n: os.environ.get(n) for n in names}, "pid": os.getpid()}
    with (state / "doctor-calls").open("a") as calls:
        calls.write(json.dumps(told) + "\\n")
    if DOES == "sleep":
        time.sleep(600)
    while DOES == "wait" and not (state / "go").exists():
        time.sleep(0.05)
    print("Doctor complete." if DOES != "fail" else "it cannot repair this")
    raise SystemExit(0 if DOES != "fail" else 1)
"""


def install(place, does):
    """Install the fake gateway with a doctor; return its program."""
    program = place.install("2026.9.6")
    entry = place.root / "lib/node_modules/openclaw/openclaw.mjs"
    doctor = DOCTOR.replace("DOES", repr(does))
    text = FAKE.read_text().replace("from __future__ import annotations\n", "", 1)
    entry.write_text(f"#!{sys.executable}\nfrom __future__ import annotations\n{doctor}\n{text}")
    return program


def run(place, does, *options, settings=CONSENT, env=None):
    program = install(place, does)
    command = [program, "gateway", "run", *place.options(*options)]
    return place.run(command=command, settings=settings, env=env)


def calls(place):
    path = place.state / "doctor-calls"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def dies(text, times="1"):
    return ("--refuse", "--die", "78", "--say", text, "--deaths", times)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (MIGRATE, ["doctor", "--fix", "--non-interactive"]),
        (
            OLD_STORE,
            ["doctor", "--session-sqlite", "import", "--session-sqlite-all-agents"],
        ),
    ],
)
def test_the_doctor_repairs_and_the_gateway_lives(place, text, words):
    guarded = run(place, "repair", *dies(text), env={"INVOCATION_ID": "x", "OURS": "kept"})
    guarded.wait_ready(2)
    (call,) = calls(place)
    assert call["argv"] == words
    assert call["env"]["OPENCLAW_SERVICE_REPAIR_POLICY"] == "external"
    assert call["env"]["INVOCATION_ID"] is None, "it would take the service for its own"
    assert call["env"]["OURS"] == "kept"
    assert "--max-old-space-size=" in call["env"]["NODE_OPTIONS"]
    assert place.lives()[1].death.cause is Cause.MIGRATION
    assert place.lives()[1].cured
    shown = f"openclaw {' '.join(words)}"
    assert shown in guarded.said()
    told = place.start("incidents", "why", stdout=-1).process.communicate()[0].decode()
    assert f"`{shown}` was run, as heal.doctor allows" in " ".join(told.split())
    assert guarded.stop() == 0


def test_a_doctor_that_did_not_help_is_run_once_and_then_it_waits(place):
    guarded = run(place, "repair", *dies(MIGRATE, "9"))
    guarded.hear("waiting=state-change")
    assert [life.death.cause for life in place.lives()] == [Cause.MIGRATION] * 2
    assert len(calls(place)) == 1
    assert guarded.stop() == 0


def test_a_doctor_that_fails_cures_nothing(place):
    guarded = run(place, "fail", *dies(MIGRATE, "9"))
    guarded.hear("waiting=state-change")
    assert "the doctor failed" in guarded.said()
    assert "it cannot repair this" in guarded.said()
    (life,) = place.lives()
    assert not life.cured
    assert life.doctored is None
    assert guarded.stop() == 0


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        (MIGRATE, {**CONSENT, "heal.doctor": "false"}),
        (MIGRATE, {**CONSENT, "heal.enabled": "false"}),
        (SOURCE, CONSENT),
        ("Gateway failed to start: Invalid config", CONSENT),
    ],
)
def test_without_consent_or_for_another_cause_it_is_not_run(place, text, settings):
    guarded = run(place, "repair", *dies(text, "9"), settings=settings)
    guarded.hear("-change")
    assert not calls(place)
    assert guarded.stop() == 0


def test_a_stop_ends_the_doctor_too(place):
    guarded = run(place, "sleep", *dies(MIGRATE, "9"))
    (call,) = wait_until(lambda: calls(place), "doctor", story=guarded.said)
    guarded.send(signal.SIGTERM)
    assert guarded.wait() == 0
    assert not is_there(call["pid"])


def test_after_a_kill_in_the_middle_the_next_supervisor_has_it_run_again(place):
    guarded = run(place, "sleep", *dies(MIGRATE, "9"))
    (call,) = wait_until(lambda: calls(place), "doctor", story=guarded.said)
    guarded.die()
    os.kill(call["pid"], signal.SIGKILL)
    time.sleep(0.1)
    again = place.run(
        command=[
            str(place.root / "bin/openclaw"),
            "gateway",
            "run",
            *place.options(*dies(MIGRATE, "9")),
        ],
        settings=CONSENT,
    )
    wait_until(lambda: len(calls(place)) == 2, "second run", story=again.said)
    assert again.stop() == 0


def test_a_maintenance_that_begins_meanwhile_keeps_the_gateway_down(place):
    """A person who works on the machine had the gateway started under their hands."""
    guarded = run(place, "wait", *dies(MIGRATE))
    wait_until(lambda: calls(place), "doctor", story=guarded.said)
    words = ("maintenance", "on", "--for", "1h")
    assert place.start(*words, stdout=-1).process.wait() == 0
    (place.state / "go").touch()
    guarded.hear("maintenance: hands off")

    def rests():
        standing = place.history.decisions.read_standing()
        return standing is not None and standing.waiting is Waiting.MAINTENANCE

    wait_until(rests, "rest", story=guarded.said)
    assert len(place.lives()) == 1
    assert place.start("maintenance", "off", stdout=-1).process.wait() == 0
    guarded.wait_ready(2)
    assert guarded.stop() == 0
