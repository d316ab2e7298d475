"""What kills the gateway each time it is resumed is held, and the gateway lives."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from contextlib import closing

import pytest

from support.agent_database import make_database, read_entries
from support.guarded_gateway import wait_until
from support.state_rows import JSON_ONLY, StateRows
from tailflip.flow.outcomes import ActionKind
from tailflip.flow.work import Work, WorkKind
from tailflip.ledger.actions import Ledger

MAIN, OTHER, PHONE = "agent:main:main", "agent:main:other", "agent:main:direct:+4915112345678"
ALLOWED = {"TAILFLIP_RECONCILE_ENABLED": "true"}
SETTINGS = {"restart.trial_first_s": 3000, "restart.cap_s": 0.2}  # no trial within the test


def put_sessions(place, *keys):
    entry = {"updatedAt": 1, "status": "running"}
    path = place.state / "agents" / "main" / "agent" / "openclaw-agent.sqlite"
    make_database(path, {key: {**entry, "sessionId": f"s{n}"} for n, key in enumerate(keys)})
    return path


def read_status(path):
    return {key: entry["status"] for key, entry in read_entries(path).items()}


def ask(place, *words):
    asked = place.start(*words, env=ALLOWED, stdout=subprocess.PIPE)
    return asked.process.communicate()[0].decode()


def find_codes(place):
    told = json.loads(ask(place, "check", "--json"))["findings"]
    return {each["code"]: each for each in told}


@pytest.mark.parametrize("key", [MAIN, PHONE])
def test_a_session_is_held_after_three_deaths_and_released(place, key):
    """The gateway resumed it without end, and the breaker made trials of the same death."""
    path = put_sessions(place, key)
    guarded = place.run("--resume", key, settings=SETTINGS, env=ALLOWED)
    guarded.wait_ready(4, 120)
    guarded.hear("what was in flight at each of the last deaths is held")
    assert [len(life.in_flight or ()) for life in place.lives()] == [0, 1, 1, 1]
    assert read_status(path) == {key: "failed"}
    wait_until(place.is_alone, "a gateway that lives", story=guarded.said)
    assert len(place.pids()) == 4
    found = find_codes(place)["session-held"]
    assert "4915" not in json.dumps(found) + guarded.said()
    assert "tailflip release" in found["hint"]
    story = " ".join(ask(place, "incidents", "why").split())
    assert "1 session held" in story
    assert "in flight when it died: session agent:main:" in story
    assert guarded.stop() == 0
    assert "released" in ask(place, "release", key, "--apply")
    assert read_status(path) == {key: "running"}
    assert "session-held" not in find_codes(place)

    again = place.run("--resume", "nothing", settings=SETTINGS, env=ALLOWED)
    again.wait_ready(5)
    assert again.stop() == 0


def test_one_of_two_cannot_be_told_and_is_not_held(place):
    path = put_sessions(place, MAIN, OTHER)
    guarded = place.run("--resume", MAIN, settings=SETTINGS, env=ALLOWED)
    guarded.hear("waiting before a trial start", deadline_s=120)
    assert read_status(path) == {MAIN: "running", OTHER: "running"}
    found = find_codes(place)["work-kills"]
    assert "which of them kills the gateway cannot be told" in found["message"]
    assert guarded.stop() == 0


@pytest.mark.parametrize("consent", [True, False])
def test_a_job_of_the_database_is_disabled_where_that_is_allowed(place, consent):
    put_sessions(place)
    rows = StateRows(place.state, JSON_ONLY)
    rows.add_job("nightly")
    settings = {**SETTINGS, "reconcile.hold_jobs": str(consent).lower()}
    guarded = place.run("--resume", "nightly", settings=settings, env=ALLOWED)
    if consent:
        guarded.wait_ready(4, 120)
    else:
        guarded.hear("waiting before a trial start", deadline_s=120)
    works = (Work(kind=WorkKind.JOB, key="nightly"),)
    deaths = 3 if consent else 5  # what is not held is tried without cron jobs, without channels
    assert [life.in_flight for life in place.lives() if life.death] == [works] * deaths
    with closing(sqlite3.connect(rows.path)) as db:
        enabled, text = db.execute("SELECT enabled, job_json FROM cron_jobs").fetchone()
    assert (bool(enabled), json.loads(text)["enabled"]) == (not consent, not consent)
    codes = find_codes(place)
    assert ("job-held" in codes, "work-kills" in codes) == (consent, not consent)
    if not consent:
        assert "hold_jobs = true" in codes["work-kills"]["message"]
    assert guarded.stop() == 0
    if consent:
        kinds = [each.kind for each in Ledger(place.history.workspace).read_all()]
        assert kinds == [ActionKind.HOLD]
        assert "released" in ask(place, "release", "nightly", "--apply")
        assert "job-held" not in find_codes(place)


def test_a_session_is_left_alone_where_that_is_not_allowed(place):
    path = put_sessions(place, MAIN)
    settings = {**SETTINGS, "reconcile.hold_sessions": "false"}
    guarded = place.run("--resume", MAIN, settings=settings, env=ALLOWED)
    guarded.hear("waiting before a trial start", deadline_s=120)
    assert read_status(path) == {MAIN: "running"}
    assert "hold_sessions = true" in find_codes(place)["work-kills"]["message"]
    assert guarded.stop() == 0
