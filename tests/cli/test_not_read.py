"""What stands in records that are not read is unknown: it is kept, and every verb says so."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from tailflip.base import clock
from tailflip.flow.observed import Gateway
from tailflip.observe.gateway.process import start_ticks

HOUR_MS = 3_600_000
JOB = "7c0f6b0e-0000-4000-8000-000000000001"
BASE = f"agent:main:cron:{JOB}"
TABLES = ("cron_jobs", "cron_run_logs", "task_runs", "subagent_runs")
AGES_H = (1, 3, 10, 20, 30, 100)


class Runs:
    """An installation with six runs that say "running", and some that say done."""

    def __init__(self, place):
        self.place, self.now = place, clock.now_ms()
        entries = {"agent:main:main": {"sessionId": "chat", "updatedAt": self.now - HOUR_MS}}
        for age in AGES_H:
            entry = {"sessionId": f"s{age}", "updatedAt": self.now - age * HOUR_MS - 1}
            entries[f"{BASE}:run:s{age}"] = {**entry, "status": "running"}
        for age in (2, 26):
            entry = {"sessionId": f"d{age}", "updatedAt": self.now - age * HOUR_MS - 1}
            entries[f"{BASE}:run:d{age}"] = {**entry, "status": "done"}
        place.put(json.dumps(entries, indent=2).encode())
        (place.state / "cron").mkdir(exist_ok=True)

    def mark(self, hours):
        """Mark the job as running, in the cron store as it was up to 2026.4."""
        state = {"runningAtMs": self.now - hours * HOUR_MS - 10}
        jobs = [{"id": JOB, "name": "report", "enabled": True, "state": state}]
        jobs[0]["schedule"] = {"kind": "every", "everyMs": HOUR_MS}
        self.jobs.write_text(json.dumps({"version": 1, "jobs": jobs}, indent=2))

    @property
    def jobs(self):
        return self.place.state / "cron" / "jobs.json"

    def move_to_sqlite(self):
        (self.place.state / "state").mkdir()
        with closing(sqlite3.connect(self.place.state / "state/openclaw.sqlite")) as db:
            for table in TABLES:
                db.execute(f"CREATE TABLE {table} (x)")

    def statuses(self):
        entries = json.loads(self.place.store.read_bytes())
        return {entry["sessionId"]: entry.get("status") for entry in entries.values()}


@pytest.fixture
def runs(place):
    return Runs(place)


@pytest.fixture
def living(monkeypatch):
    """A gateway that has lived for longer than any run."""
    gateway = Gateway(True, os.getpid(), 1, "a gateway lives", in_the_way=True)
    monkeypatch.setattr("tailflip.stores.target.read_gateway", lambda *_: gateway)


def test_a_gate_tells_no_run_an_end_that_it_cannot_know(place, runs):
    """2026.7.35: six runs that its own log called ok were written down as killed."""
    runs.move_to_sqlite()
    before = place.store.read_bytes()
    argv = [sys.executable, "-m", "tailflip", "gate", "--", "true"]
    ran = subprocess.run(
        argv,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={
            **os.environ,
            "PATH": os.defpath,
        },
    )
    assert ran.returncode == 0, ran.stderr
    assert place.store.read_bytes() == before
    assert '6 entries that say "running" were left as they are' in ran.stderr
    assert "openclaw.sqlite lacks " in ran.stderr


@pytest.mark.parametrize("verb", [("compact", "--apply"), ("reconcile", "--apply")])
def test_what_is_over_for_certain_goes_by_age_and_nothing_else_is_done(place, runs, verb):
    """Nobody runs, so all are over; how they ended stands where nobody has read."""
    runs.move_to_sqlite()
    code, out, err = place.run(*verb)
    assert code == 0, err
    left = runs.statuses()
    assert {f"s{age}": left.get(f"s{age}") for age in AGES_H} == {
        **dict.fromkeys(("s1", "s3", "s10", "s20"), "running"),
        **dict.fromkeys(("s30", "s100")),  # past the retention: gone
    }
    assert "d26" not in left
    assert left["d2"] == "done"
    assert "not read: " in out + err


@pytest.mark.parametrize("verb", [("compact", "--apply"), ("reconcile", "--apply")])
def test_beside_a_living_gateway_every_run_stays(place, runs, living, verb):
    runs.move_to_sqlite()
    assert place.run(*verb)[0] == 0
    left = runs.statuses()
    assert [left.get(f"s{age}") for age in AGES_H] == ["running"] * len(AGES_H)
    assert "d26" not in left


def test_check_says_what_is_not_read(place, runs):
    runs.move_to_sqlite()
    code, out, err = place.run("check")
    assert code == 1
    assert "how they ended stands in records that tailflip cannot read" in out
    assert "what the gateway has on record cannot be read: table cron_jobs" in " ".join(out.split())
    assert err == ""


@pytest.mark.parametrize("table", ["cron_jobs", "cron_run_logs", "task_runs"])
def test_no_marker_is_told_orphaned_where_its_proof_is_not_read(place, runs, table):
    runs.mark(3)
    (place.state / "state").mkdir()
    with closing(sqlite3.connect(place.state / "state/openclaw.sqlite")) as db:
        db.execute(f"CREATE TABLE {table} (x)")
    before = runs.jobs.read_bytes()
    code, out, err = place.run("reconcile", "--apply")
    assert code == 0, err
    assert runs.jobs.read_bytes() == before
    assert "markers:" not in out
    assert "the marker outlived its owner" not in out


def test_a_marker_is_left_alone_where_nobody_can_say_that_the_gateway_is_stopped(
    place, runs, monkeypatch
):
    runs.mark(3)
    unsure = Gateway(None, None, None, "the processes of other users are hidden")
    monkeypatch.setattr("tailflip.stores.target.read_gateway", lambda *_: unsure)
    before = runs.jobs.read_bytes()
    _, out, err = place.run("reconcile", "--apply")
    assert runs.jobs.read_bytes() == before
    assert "1 marker of running jobs was left alone" in out + err
    assert "the processes of other users are hidden" in out + err


@pytest.mark.parametrize("verb", [("compact", "--apply"), ("reconcile", "--apply")])
def test_a_run_whose_job_is_marked_since_it_began_is_left_alone(place, runs, living, verb):
    """A run of a command-line agent holds no lock: it was removed while it worked."""
    runs.mark(3)
    assert place.run(*verb)[0] == 0
    left = runs.statuses()
    assert (left.get("s3"), left.get("s1")) == ("running", "running")
    assert "s10" not in left  # it began before the mark, and is older than any run may be


@pytest.mark.parametrize("verb", [("compact", "--apply"), ("reconcile", "--apply")])
def test_a_run_that_a_living_process_works_for_is_left_alone(
    place, runs, living, monkeypatch, verb
):
    key = f"{BASE}:run:s20"
    monkeypatch.setattr("tailflip.stores.proof.judge.read_run_keys", lambda: frozenset({key}))
    assert place.run(*verb)[0] == 0
    assert runs.statuses().get("s20") == "running"
    assert "s10" not in runs.statuses()


def test_a_living_owner_of_a_transcript_keeps_all_hands_off(place, runs):
    """Its own next line named the pid: the marker was cleared beside a living gateway."""
    runs.mark(3)
    with subprocess.Popen(["/bin/sleep", "60"]) as child:
        lock = place.store.parent / "s3.jsonl.lock"
        lock.write_text(json.dumps({"pid": child.pid, "starttime": start_ticks(child.pid)}))
        before = runs.jobs.read_bytes()
        _, out, err = place.run("reconcile", "--apply")
        child.kill()
    assert runs.jobs.read_bytes() == before
    assert f"process {child.pid}" in out + err
    assert runs.statuses()["s3"] == "running"
