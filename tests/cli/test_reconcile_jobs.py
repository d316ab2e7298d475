"""Markers and holds on the cron store of a stopped gateway: done, recorded, and taken back."""

from __future__ import annotations

import json
import os
import re
import socket

import pytest

from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.config.load import load
from tailflip.flow.lives import Cause, Confidence, Death, Life
from tailflip.flow.work import Work, WorkKind
from tailflip.ledger.history import History
from tailflip.ledger.runs import Runs
from tailflip.supervise.context import GuardedGateway
from tailflip.supervise.preparation import prepare_start

HOUR_MS = 3_600_000


class Cron:
    def __init__(self, place):
        self.place = place
        self.now = clock.now_ms()
        place.put(b"{}")
        self.path = place.state / "cron" / "jobs.json"
        self.path.parent.mkdir()
        jobs = [self.job("stuck", runningAtMs=self.now - HOUR_MS), self.job("idle")]
        self.text = json.dumps({"version": 1, "jobs": jobs}, indent=2).replace("1000", "1e3")
        self.path.write_text(self.text)
        self.path.chmod(0o600)

    def job(self, name, **state):
        return {
            "id": name,
            "name": f"the {name} job",
            "enabled": True,
            "odd": [1000, "\u00e9"],
            "schedule": {"kind": "cron", "expr": "0 * * * *"},
            "state": {"nextRunAtMs": self.now - HOUR_MS, **state, "lastStatus": "ok"},
        }

    def read(self, name="stuck"):
        return next(j for j in json.loads(self.path.read_text())["jobs"] if j["id"] == name)

    def run(self, *argv):
        code, out, err = self.place.run("reconcile", "markers", "hold", "--json", *argv)
        assert code == 0, err
        return json.loads(out)["steps"]

    def die(self, times=3):
        """Put deaths by memory on record, each with the stuck job in flight, now the last."""
        history = History(
            Workspace(Home(self.place.home), RealDisk()), str(self.place.state.resolve())
        )
        history.workspace.create()
        death = Death(cause=Cause.V8_HEAP, signature="x", confidence=Confidence.PROVEN, evidence=())
        for n in range(times, 0, -1):
            end = clock.now_ms() - n
            history.lives.begin(
                Life(
                    id=f"{end}",
                    guard=history.guard,
                    mode="run",
                    started_ms=end - HOUR_MS,
                    ended_ms=end,
                    death=death,
                    in_flight=(Work(kind=WorkKind.JOB, key="stuck"),),
                )
            )


@pytest.fixture
def cron(place):
    return Cron(place)


def test_marker_of_the_dead_goes_and_comes_back(cron):
    (planned,) = cron.run()
    assert planned["counts"] == {"markers of a dead gateway cleared": 1}
    assert cron.path.read_text() == cron.text

    (done,) = cron.run("--apply")
    assert cron.path.read_text() == cron.text.replace(
        f'\n        "runningAtMs": {cron.now - HOUR_MS},', ""
    )
    assert cron.path.stat().st_mode & 0o777 == 0o600
    assert "no run log has an end of it: it was interrupted" in done["reasons"][0]
    assert cron.run("--apply") == [], "a second run does nothing"

    code, _, err = cron.place.run("archive", "show", done["action_id"])
    assert code == 64
    assert f"hint: `tailflip restore {done['action_id']}` shows what undoing it would" in err
    code, out, _ = cron.place.run("restore", done["action_id"])
    assert code == 0
    assert "nothing was changed" in out
    code, out, err = cron.place.run("restore", done["action_id"], "--apply")
    assert code == 0, err
    assert cron.path.read_text() == cron.text
    assert not list(cron.path.parent.glob("jobs.json?*")), "no litter"
    code, out, _ = cron.place.run("archive", "list")
    assert code == 0
    assert "reconcile: 1 marker cleared" in out
    assert "restore" in out
    assert "reconcile: 1 marker cleared" in cron.place.run("status")[1]


def test_interrupted_run_is_on_record(cron):
    cron.run("--apply")
    home = Home(cron.place.home)
    (run,) = Runs(Workspace(home, RealDisk()), str(cron.place.state.resolve())).read()
    assert (run.job_id, run.began_ms, run.verdict) == ("stuck", cron.now - HOUR_MS, "interrupted")


def test_undo_after_the_gateway_wrote_keeps_what_it_wrote(cron):
    (done,) = cron.run("--apply")
    text = cron.path.read_text().replace("the idle job", "renamed since")
    cron.path.write_text(text)
    code, _, err = cron.place.run("restore", done["action_id"], "--apply")
    assert code == 0, err
    assert cron.read()["state"]["runningAtMs"] == cron.now - HOUR_MS
    assert cron.read("idle")["name"] == "renamed since"


def test_undo_leaves_what_somebody_set_since(cron):
    (done,) = cron.run("--apply")
    jobs = json.loads(cron.path.read_text())
    jobs["jobs"][0]["state"]["runningAtMs"] = 77
    cron.path.write_text(json.dumps(jobs, indent=2))
    before = cron.path.read_text()
    code, out, err = cron.place.run("restore", done["action_id"], "--apply")
    assert code == 0, err
    assert "stuck state.runningAtMs" in out
    assert cron.path.read_text() == before


def find_held(cron):
    """Which verbs tell of a job that is held, and by which action it was."""
    found = []
    for verb in ("check", "status"):
        told = json.loads(cron.place.run(verb, "--json")[1])["findings"]
        held = [each.get("finding", each) for each in told]
        hints = [each["hint"] for each in held if each["code"] == "job-held"]
        found += [(verb, re.search(r"tailflip release (\S+) --apply", hint)[1]) for hint in hints]
    return found


def test_a_killer_is_pushed_out_or_with_consent_disabled(cron, monkeypatch):
    cron.die()
    cleared, hold = cron.run()
    assert (cleared["kind"], hold["counts"]) == ("markers", {"jobs held": 1})
    assert "in flight at the last 3 deaths in a row" in hold["reasons"][0]

    monkeypatch.setenv("TAILFLIP_RECONCILE_HOLD_JOBS", "true")
    _, hold = cron.run("--apply")
    assert cron.read()["enabled"] is False
    assert "runningAtMs" not in cron.read()["state"]
    assert cron.run("--apply") == []
    assert find_held(cron) == [("check", hold["action_id"]), ("status", hold["action_id"])]
    assert "held; tailflip release" in cron.place.run("release")[1]
    code, out, err = cron.place.run("release", "the stuck job")
    assert (code, "would be released" in out) == (0, True), err
    assert cron.read()["enabled"] is False
    code, out, err = cron.place.run("release", "stuck", "--apply")
    assert (code, out) == (0, "job the stuck job (stuck): released\n"), err
    assert cron.read()["enabled"] is True
    assert find_held(cron) == []
    code, _, err = cron.place.run("release", "stuck")
    assert (code, "not held: stuck" in err) == (64, True)
    assert cron.run("--apply") == [], "what it was held for is its due no more"

    cron.die()
    monkeypatch.delenv("TAILFLIP_RECONCILE_HOLD_JOBS")
    (pushed,) = cron.run("--apply")
    assert find_held(cron) == [("check", pushed["action_id"]), ("status", pushed["action_id"])]
    state = cron.read()["state"]
    assert cron.read()["enabled"] is True
    assert state["nextRunAtMs"] > clock.now_ms() + 5 * HOUR_MS
    assert state["lastRunAtMs"] >= cron.now


@pytest.mark.parametrize("consent", ["true", "false"])
def test_to_hold_a_killer_before_a_start_is_a_cure(cron, consent):
    """Else the breaker would open, though what killed the gateway cannot happen again."""
    cron.die()
    config = load(os.environ, {"reconcile.hold_jobs": consent}).config
    gateway = GuardedGateway.prepare(("openclaw", "gateway", "run"), os.environ, config)
    found = prepare_start(gateway, died_of_memory=3)
    assert (found.go, found.reports, found.held) == (True, [], 1)
    assert found.cured
    assert any("in flight at the last 3 deaths" in note for note in found.notes)
    again = prepare_start(gateway, died_of_memory=3)
    assert (again.held, again.cured) == (0, False)


def test_a_marker_that_only_goes_is_no_cure(cron):
    cron.die(times=2)
    gateway = GuardedGateway.prepare(
        ("openclaw", "gateway", "run"), os.environ, load(os.environ).config
    )
    found = prepare_start(gateway, died_of_memory=2)
    assert any("1 marker of a dead gateway cleared" in note for note in found.notes)
    assert (found.held, found.cured) == (0, False)


def test_two_deaths_are_no_reason_to_hold(cron):
    cron.die(times=2)
    assert [step["kind"] for step in cron.run("--apply")] == ["markers"]


def test_beside_a_gateway_that_may_live_nothing_is_written(cron, monkeypatch):
    (done,) = cron.run("--apply")
    cron.path.write_text(cron.text)
    with socket.create_server(("127.0.0.1", 0)) as server:
        (cron.place.state / "openclaw.json").write_text(
            json.dumps({"gateway": {"port": server.getsockname()[1]}})
        )
        monkeypatch.delenv("OPENCLAW_GATEWAY_PORT")
        assert cron.run("--apply") == []
        assert cron.path.read_text() == cron.text
        code, _, err = cron.place.run("restore", done["action_id"], "--apply")
    assert code == 75
    assert "may be running" in err
    assert cron.path.read_text() == cron.text


@pytest.mark.parametrize(
    "text",
    ["{version: 1, jobs: [{id: 'a', state: {runningAtMs: 5}}]}", '{"jobs": [{"id": "a", "id": "a"'],
)
def test_a_cron_store_that_is_not_plain_is_left_alone(cron, text):
    cron.path.write_text(text)
    code, _, err = cron.place.run("reconcile", "markers", "--apply")
    assert cron.path.read_text() == text
    assert code == 65 or "not valid JSON" in err
