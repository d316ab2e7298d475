"""Storms, stuck jobs and growth as `tailflip reconcile` tells them, and the release."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import sys
from contextlib import closing

import pytest

from support.heap import need
from support.incident_history import make_death, make_life
from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.config.load import load
from tailflip.ledger.actions import Ledger
from tailflip.ledger.history import History
from tailflip.observe.gateway.process import start_ticks
from tailflip.observe.host.space import read_space
from tailflip.reconcile.judge.growth import HOUR_MS, Point, to_fact
from tailflip.supervise.context import GuardedGateway
from tailflip.supervise.preparation import prepare_start

MIN_MS = 60_000
# Does what the gateway's own command does to the file, slowly and through itself.
FAKE = """#!{python}
import json, sys
verb, job = sys.argv[2:]
path = {path!r}
with open({log!r}, "a") as log:
    log.write(verb + " " + job + "\\n")
if {broken!r} == verb:
    sys.exit(3)
root = json.loads(open(path).read())
for each in root["jobs"]:
    if each["id"] == job:
        each["enabled"] = verb == "enable"
        each["state"].pop("runningAtMs", None)
open(path, "w").write(json.dumps(root, indent=2))
"""


class Cron:
    def __init__(self, place, monkeypatch):
        self.place, self.now = place, clock.now_ms()
        place.put(b"{}")
        self.path = place.state / "cron" / "jobs.json"
        (self.path.parent / "runs").mkdir(parents=True)
        self.log = place.root / "calls"
        monkeypatch.setenv("TMPDIR", str(place.root))

    def write(self, **state):
        schedule = {"kind": "every", "everyMs": 15 * MIN_MS}
        job = {"id": "j", "name": "n", "enabled": True, "schedule": schedule, "state": state}
        self.path.write_text(json.dumps({"version": 1, "jobs": [job]}, indent=2))

    def log_runs(self, starts):
        lines = (
            {"jobId": "j", "action": "finished", "status": "ok", "runAtMs": at, "durationMs": 100}
            for at in starts
        )
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (self.path.parent / "runs" / "j.jsonl").write_text(text)

    def live(self):
        """Let this very process pass for the gateway."""
        config = self.place.state / "openclaw.json"
        name = hashlib.sha256(str(config).encode()).hexdigest()[:8]
        folder = self.place.root / f"openclaw-{os.getuid()}"
        folder.mkdir(exist_ok=True)
        lock = {"pid": os.getpid(), "startTime": start_ticks(os.getpid())}
        (folder / f"gateway.{name}.lock").write_text(json.dumps(lock))

    def fake(self, python, broken=""):
        bin_ = self.place.root / "bin"
        bin_.mkdir(exist_ok=True)
        text = FAKE.format(python=python, path=str(self.path), log=str(self.log), broken=broken)
        (bin_ / "openclaw").write_text(text)
        (bin_ / "openclaw").chmod(0o755)

    def run(self, kind, *argv, code=0):
        got, out, err = self.place.run("reconcile", kind, "--json", *argv)
        assert got == code, err
        return json.loads(out)

    def calls(self):
        return self.log.read_text().split("\n")[:-1] if self.log.exists() else []


@pytest.fixture
def cron(place, monkeypatch):
    return Cron(place, monkeypatch)


def codes(answer):
    return [finding["code"] for finding in answer["findings"]]


def test_a_storm_is_told_and_with_consent_held(cron, monkeypatch):
    cron.write()
    cron.log_runs([cron.now - 25 * MIN_MS + n * 20_000 for n in range(60)])
    answer = cron.run("storms", "--apply")
    assert codes(answer) == ["job-storm"]
    assert "60 runs in" in answer["findings"][0]["message"]
    assert "one every 20 s" in answer["findings"][0]["message"]
    assert answer["steps"] == []

    history = History(Workspace(Home(cron.place.home), RealDisk()), str(cron.place.state.resolve()))
    assert [noted.finding.code for noted in history.findings.read()] == ["job-storm"]
    monkeypatch.setenv("TAILFLIP_RECONCILE_HOLD_JOBS", "true")
    before = cron.path.read_bytes()
    (step,) = cron.run("storms", "--apply")["steps"]
    assert json.loads(cron.path.read_bytes())["jobs"][0]["enabled"] is False
    assert cron.run("storms", "--apply")["steps"] == []
    code, _, err = cron.place.run("restore", step["action_id"], "--apply")
    assert code == 0, err
    assert cron.path.read_bytes() == before

    cron.log_runs([])
    cron.run("storms", "--apply")
    assert history.findings.read() == (), "what is gone ends"


@pytest.mark.parametrize("consent", [True, False])
def test_a_start_does_not_feed_a_storm(cron, consent):
    cron.write(runningAtMs=cron.now - MIN_MS)
    cron.log_runs([cron.now - 25 * MIN_MS + n * 20_000 for n in range(60)])
    config = load(os.environ, {"reconcile.hold_jobs": str(consent).lower()}).config
    gateway = GuardedGateway.prepare(("openclaw", "gateway", "run"), os.environ, config)
    found = prepare_start(gateway)
    assert found.go
    job = json.loads(cron.path.read_bytes())["jobs"][0]
    assert job["enabled"] is not consent
    assert "runningAtMs" not in job["state"]
    assert any("retry storm: 60 runs" in note for note in found.notes) is consent


def test_check_sees_runs_that_are_over_beside_a_living_gateway(cron):
    """Beside a dead one the survey finds them; beside a living one only `reconcile` did."""
    cron.live()
    cron.write()
    began = cron.now - 3 * HOUR_MS
    cron.log_runs([began])
    key = "agent:main:cron:j:run:r"
    entry = {"sessionId": "r", "updatedAt": began + 50, "startedAt": began, "status": "running"}
    cron.place.put(json.dumps({key: entry}).encode())
    _, out, _ = cron.place.run("check")
    told = " ".join(out.split())
    assert 'warning: 1 entry says "running", and all ledgers together prove another end' in told
    assert json.loads(cron.place.store.read_bytes())[key] == entry
    assert cron.place.run("reconcile", "zombies", "--apply")[0] == 0
    assert "ledgers-disagree" not in cron.place.run("check")[1]


def test_a_stuck_job_is_told_and_released_only_where_that_is_allowed(cron, monkeypatch):
    cron.live()
    cron.fake(sys.executable)
    began = cron.now - 3 * HOUR_MS
    cron.write(runningAtMs=began)
    answer = cron.run("stuck", "--apply")
    assert codes(answer) == ["job-stuck"]
    assert answer["steps"] == []
    assert cron.calls() == []

    monkeypatch.setenv("TAILFLIP_RECONCILE_RELEASE_STUCK_JOBS", "true")
    assert cron.run("stuck")["steps"][0]["counts"] == {"stuck jobs released through openclaw": 1}
    assert cron.calls() == [], "a dry run asks nobody"
    cron.run("stuck", "--apply")
    assert cron.calls() == ["disable j", "enable j"]
    (job,) = json.loads(cron.path.read_bytes())["jobs"]
    assert (job["enabled"], job["state"]) == (True, {})
    assert codes(cron.run("stuck", "--apply")) == []
    home = Home(cron.place.home)
    (action,) = Ledger(Workspace(home, RealDisk())).read_all()
    assert action.kind == "release"
    code, _, err = cron.place.run("restore", action.id, "--apply")
    assert code == 64
    assert "archives nothing" in err
    assert "there is nothing to undo" in err
    code, _, err = cron.place.run("archive", "show", action.id)
    assert code == 64
    assert "it took nothing out" in err


def test_openclaw_is_found_on_the_callers_path_where_the_gateways_has_none(cron, monkeypatch):
    """A living gateway's own PATH, as its service gives it, seldom has the command."""
    cron.live()
    cron.fake(sys.executable)
    cron.write(runningAtMs=cron.now - 3 * HOUR_MS)
    monkeypatch.setenv("TAILFLIP_RECONCILE_RELEASE_STUCK_JOBS", "true")
    bare = {**os.environ, "PATH": "/nonexistent"}
    monkeypatch.setattr("tailflip.stores.target.find_gateway_env", lambda *_: bare)
    cron.run("stuck", "--apply")
    assert cron.calls() == ["disable j", "enable j"]


def test_a_release_that_fails_is_an_error_and_enabling_is_tried_again(cron, monkeypatch):
    cron.live()
    cron.fake(sys.executable, broken="enable")
    cron.write(runningAtMs=cron.now - 3 * HOUR_MS)
    monkeypatch.setenv("TAILFLIP_RECONCILE_RELEASE_STUCK_JOBS", "true")
    code, _, err = cron.place.run("reconcile", "stuck", "--apply")
    assert code == 69
    assert "openclaw cron enable j" in err
    assert cron.calls() == ["disable j", "enable j", "enable j", "enable j"]


def test_without_openclaw_nothing_is_disabled(cron, monkeypatch):
    cron.live()
    cron.write(runningAtMs=cron.now - 3 * HOUR_MS)
    monkeypatch.setenv("TAILFLIP_RECONCILE_RELEASE_STUCK_JOBS", "true")
    code, _, err = cron.place.run("reconcile", "stuck", "--apply")
    assert code == 69
    assert "no `openclaw` on the PATH" in err


def test_growth_is_foretold_from_the_ledger(cron, monkeypatch):
    entries = {
        f"agent:main:cron:j:run:{n}": {"sessionId": str(n), "updatedAt": cron.now, "x": "y" * 1000}
        for n in range(100)
    }
    cron.place.put(json.dumps(entries, indent=2).encode())
    size = cron.place.store.stat().st_size
    home = Home(cron.place.home)
    home.create(RealDisk())
    history = History(Workspace(home, RealDisk()), str(cron.place.state.resolve()))
    points = [
        Point(cron.now - (10 - n) * HOUR_MS, n * 10, n * size // 10, {"j": (n, n * size // 10)})
        for n in range(1, 10)
    ]
    fact = f"growth {cron.place.store}"
    history.facts.put(fact, to_fact(points))
    assert codes(cron.run("growth")) == [], "without a heap limit only 512 MB hurt"
    assert len(history.facts.get(fact)) == 9, "dry runs write nothing"

    monkeypatch.setenv("TAILFLIP_GATEWAY_HEAP_LIMIT", str(need(4_520_000)))
    answer = cron.run("growth", "--apply")
    assert codes(answer) == ["store-growing"]
    assert "(at 4.5 MB)" in answer["findings"][0]["message"]
    assert "240 entries" in answer["findings"][0]["message"]
    assert len(history.facts.get(fact)) == 10
    cron.run("growth", "--apply")
    assert len(history.facts.get(fact)) == 10, "one an hour is enough"


def test_a_disk_that_will_be_full_is_foretold_from_the_ledger(cron):
    cron.place.put(b"{}")
    home = Home(cron.place.home)
    home.create(RealDisk())
    history = History(Workspace(home, RealDisk()), str(cron.place.state.resolve()))
    free_bytes = read_space(cron.place.state)[0].free_bytes
    fact = f"room {cron.place.state}"
    loss = free_bytes // 72  # an hour, of what will be gone in three days
    points = [[cron.now - n * HOUR_MS, free_bytes + n * loss] for n in range(40, 0, -1)]
    history.facts.put(fact, points)
    answer = cron.run("growth")
    assert codes(answer) == ["disk-ahead"]
    assert "a day: full on 20" in answer["findings"][0]["message"]
    assert len(history.facts.get(fact)) == 40, "dry runs write nothing"
    cron.run("growth", "--apply")
    assert len(history.facts.get(fact)) == 41


# --- a job is judged by its history and its schedule, whatever was removed since


def stormy_store(cron, count=30):
    """Interrupted runs of one job, seconds apart: they are in the store, and in no run log."""
    began = cron.now - 2 * HOUR_MS
    runs = {
        f"agent:main:cron:j:run:r{n}": {
            "sessionId": f"r{n}",
            "updatedAt": began + n * 2_000,
            "startedAt": began + n * 2_000,
            "status": "running",
        }
        for n in range(count)
    }
    cron.place.put(json.dumps(runs, indent=2).encode())
    cron.write()


def check(cron):
    code, out, _ = cron.place.run("check", "--json")
    return code, {each["code"]: each for each in json.loads(out)["findings"]}


def test_compact_ends_by_naming_the_job_and_check_does_not_forget_it(cron):
    """The evidence went with the runs: `check` then said that nothing is wrong."""
    stormy_store(cron)
    before = check(cron)[1]["job-storm"]
    assert cron.place.run("compact", "--apply")[0] == 0, "it marks the runs over"
    code, out, err = cron.place.run("compact", "--retention", "1h", "--apply")
    assert code == 0, err
    end = out.strip().splitlines()[-2:]
    assert end[0].startswith("this will fill the store again: n (j): 30 runs in 58 s")
    assert "`openclaw cron disable j`" in end[1]
    assert json.loads(cron.place.store.read_bytes()) == {}
    code, found = check(cron)
    assert (code, list(found)) == (1, ["job-storm"])
    assert found["job-storm"] == before
    assert "`openclaw cron disable j`" in before["hint"]


@pytest.mark.parametrize("first", ["compact", "reconcile"])
def test_the_answer_does_not_depend_on_the_order(cron, first):
    stormy_store(cron)
    before = check(cron)[1]["job-storm"]
    for verb in sorted(("compact", "reconcile"), key=lambda each: each != first):
        assert cron.place.run(verb, "--apply")[0] == 0
        assert check(cron)[1]["job-storm"] == before, verb
    assert list(check(cron)[1]) == ["job-storm"]


def disable(cron):
    root = json.loads(cron.path.read_bytes())
    root["jobs"][0]["enabled"] = False
    cron.path.write_text(json.dumps(root))


HEALED = {
    "it was disabled": disable,
    "it was deleted": lambda cron: cron.path.write_text('{"version": 1, "jobs": []}'),
    "it ran well since": lambda cron: cron.write(lastRunAtMs=cron.now - HOUR_MS, lastStatus="ok"),
}


@pytest.mark.parametrize("how", HEALED)
@pytest.mark.parametrize("verb", ["compact", "reconcile"])
def test_what_is_healed_is_not_red_any_more(cron, verb, how):
    """After `reconcile` it stayed red although all was healed: killed runs stay for a day."""
    stormy_store(cron)
    assert cron.place.run(verb, "--apply")[0] == 0
    HEALED[how](cron)
    assert check(cron) == (0, {})


def test_a_job_that_failed_since_is_not_healed(cron):
    stormy_store(cron)
    assert cron.place.run("compact", "--apply")[0] == 0
    cron.write(lastRunAtMs=cron.now - HOUR_MS, lastStatus="error")
    assert list(check(cron)[1]) == ["job-storm"]


def test_a_schedule_in_the_database_is_not_said_to_be_gone(cron):
    """2026.7.35 keeps jobs in state/openclaw.sqlite: "it has no schedule any more" was untrue."""
    stormy_store(cron)
    cron.path.unlink()
    (cron.place.state / "state").mkdir()
    with closing(sqlite3.connect(cron.place.state / "state" / "openclaw.sqlite")) as db:
        db.execute("CREATE TABLE cron_jobs (id TEXT)")
    message = check(cron)[1]["job-storm"]["message"]
    assert message.endswith("its schedule stands in records that tailflip cannot read")


def test_a_run_has_one_end_whoever_writes_it(cron):
    """`compact` did not know of its gateway's death, and wrote another end than `reconcile`."""
    guard = str(cron.place.state.resolve())
    history = History(Workspace(Home(cron.place.home), RealDisk()), guard)
    life = make_life("a", cron.now - 3 * HOUR_MS, 2 * HOUR_MS, guard=guard, death=make_death())
    history.lives.begin(life)
    ends = {}
    for verb in ("compact", "reconcile"):
        stormy_store(cron, count=3)
        assert cron.place.run(verb, "--apply")[0] == 0
        ends[verb] = {
            key: (entry["status"], entry["endedAt"])
            for key, entry in json.loads(cron.place.store.read_bytes()).items()
        }
    assert ends["compact"] == ends["reconcile"]
    assert set(ends["compact"].values()) == {("killed", life.ended_ms)}
