"""Runs that a killed gateway left in SQLite: every verb tells the same, and one ends them."""

from __future__ import annotations

import json
from contextlib import closing

import pytest

from support.agent_database import VERSIONS, connect, dump, make_database, read_entries
from support.state_rows import JSON_ONLY, StateRows
from tailflip.base import clock

HOUR_MS = 3_600_000
JOB = "7c0f6b0e-0000-4000-8000-000000000001"
OTHER = "7c0f6b0e-0000-4000-8000-000000000002"
GONE_PID = 2**22 + 5
INTERRUPTED = "cron: job interrupted by gateway restart"
ENDED = {"ok": "done", "repaired": "killed", "left": "killed"}


class Era:
    """Runs that say "running": each has another trace in the gateway's own records."""

    def __init__(self, place, version):
        self.place, self.now = place, clock.now_ms()
        self.path = place.state / "agents" / "main" / "agent" / "openclaw-agent.sqlite"
        self.entries = {"agent:main:main": self.make("chat", 2) | {"status": "running"}}
        self.rows = StateRows(place.state, JSON_ONLY)
        for session, hours in {"ok": 0.6, "repaired": 0.5, "left": 0.3, "odd": 0.2}.items():
            job = OTHER if session == "left" else JOB
            self.entries[f"agent:main:cron:{job}:run:{session}"] = self.make(session, hours)
        began = self.entries[f"agent:main:cron:{JOB}:run:ok"]["startedAt"]
        self.rows.add_run(JOB, began, lasted_ms=60_000, session="ok", key=None)
        began = self.entries[f"agent:main:cron:{JOB}:run:repaired"]["startedAt"]
        self.rows.add_receipt(JOB, began, GONE_PID, 1, status="interrupted", lasted_ms=HOUR_MS // 4)
        self.rows.add_run(JOB, began, lasted_ms=HOUR_MS // 4, status="error", error=INTERRUPTED)
        began = self.entries[f"agent:main:cron:{OTHER}:run:left"]["startedAt"]
        self.rows.add_job(OTHER, {"runningAtMs": began})
        self.rows.add_receipt(OTHER, began, GONE_PID, 1)
        self.rows.add_task("t", job_id=OTHER, status="running", began_ms=began)
        make_database(self.path, self.entries, version)
        with closing(connect(self.path)) as db, db:
            odd = f"agent:main:cron:{JOB}:run:odd"
            db.execute("UPDATE session_nodes SET entry_valid = 0 WHERE session_key = ?", (odd,))

    def make(self, session, hours):
        began = self.now - int(hours * HOUR_MS)
        return {
            "sessionId": session,
            "updatedAt": began + 1000,
            "startedAt": began,
            "status": "running",
        }

    def read(self):
        return {entry["sessionId"]: entry for entry in read_entries(self.path).values()}


@pytest.fixture(params=VERSIONS)
def era(place, request):
    return Era(place, request.param)


def ask(place, *argv):
    code, out, err = place.run(*argv, "--json")
    assert code in (0, 1), err
    return json.loads(out)


def zombies(told):
    return next(step for step in told["steps"] if step["kind"] == "zombies")


def test_every_verb_tells_the_same_number_and_the_records_stay_as_they_are(place, era):
    """4,101 runs said "running", and `reconcile` said "nothing to do" beside them."""
    before, records = dump(era.path), era.rows.path.read_bytes()
    planned = zombies(ask(place, "reconcile"))
    assert planned["counts"] == {"retire": len(ENDED)}
    assert planned["running_by_fate"] == {"over": 2, "dead": 3}
    [store] = ask(place, "compact")["stores"]
    rules = {rule["name"]: rule["entries"] for rule in store["survey"]["rules"]}
    assert rules["retire"] == len(ENDED)
    found = {each["code"]: each for each in ask(place, "check")["findings"]}
    assert found["runs-stuck"]["message"].startswith("4 cron runs claim")
    assert dump(era.path) == before
    done = zombies(ask(place, "reconcile", "--apply"))
    assert done["counts"] == planned["counts"]
    now = era.read()
    assert {name: now[name]["status"] for name in ENDED} == ENDED
    assert (now["chat"]["status"], now["odd"]["status"]) == ("running", "running")
    assert now["ok"]["endedAt"] == now["ok"]["startedAt"] + 60_000
    assert now["repaired"]["endedAt"] == now["repaired"]["updatedAt"], "not when it was repaired"
    assert now["left"]["runtimeMs"] == 1000
    assert zombies(ask(place, "reconcile", "--apply"))["counts"] == {}
    found = {each["code"]: each for each in ask(place, "check")["findings"]}
    assert found["runs-stuck"]["message"].startswith("1 cron run claims")
    assert era.rows.path.read_bytes() == records
    code, _, err = place.run("restore", done["action_id"], "--apply")
    assert code == 0, err
    assert dump(era.path) == before


@pytest.mark.parametrize("argv", [("compact", "--apply"), ("preflight", "--", "true")])
def test_other_verbs_end_the_same_runs(place, era, argv):
    code, _, err = place.run(*argv)
    assert code == 0, err
    now = era.read()
    assert {name: now[name]["status"] for name in ENDED} == ENDED
    assert now["left"]["runtimeMs"] == 1000
    assert zombies(ask(place, "reconcile"))["counts"] == {}
