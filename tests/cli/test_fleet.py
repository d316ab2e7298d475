"""`tailflip fleet`: every gateway has its line, the worst is first, and a broken one stops none."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from support.incident_history import make_death
from support.service_definitions import Host
from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.moments import read_moment
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.flow.lives import Life
from tailflip.ledger.history import History

HOUR_MS = 3_600_000
GATEWAYS = 20


class Yard:
    """A user with many gateways: units of profiles, stores, and what tailflip knows of them."""

    def __init__(self, place):
        self.place, self.host = place, Host(place.root)

    def add(self, profile, *, has_unit=True):
        """Add a gateway that is quiet: nothing was ever wrong, and none lives."""
        state = self.place.root / f".openclaw-{profile}"
        if has_unit:
            self.host.put_unit(profile=profile, port=1)
        sessions = state / "agents/main/sessions"
        sessions.mkdir(parents=True, exist_ok=True)
        (sessions / "sessions.json").write_text("{}")
        (state / "openclaw.json").write_text('{"gateway": {"port": 1}}')
        return History(Workspace(Home(self.place.home), RealDisk()), os.path.realpath(state))

    def kill(self, history):
        """Let its last life end in a death that nobody has seen yet."""
        now_ms = clock.now_ms()
        life = Life(id=history.guard, guard=history.guard, mode="run", started_ms=now_ms - HOUR_MS)
        history.lives.begin(life)
        incident = history.incidents.open(make_death(), now_ms)
        ended = {"ended_ms": now_ms, "death": make_death(), "incident": incident.id}
        history.lives.end(life.model_copy(update=ended), b"")

    def read(self):
        code, out, err = self.place.run("fleet", "--json")
        assert err == ""
        return code, json.loads(out)


@pytest.fixture
def yard(place, monkeypatch):
    for name in ("OPENCLAW_STATE_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", Host(place.root).put_service_manager())
    return Yard(place)


def name_of(row):
    return row["state_dir"].rpartition("-")[2]


def test_no_gateway_is_no_error(yard):
    code, told = yard.read()
    assert (code, told["members"], told["gone"]) == (0, [], [])
    assert "no gateway is known" in yard.place.run("fleet")[1]


def test_twenty_gateways_have_twenty_lines_and_the_worst_is_first(yard):
    """Who guards twenty looks at one screen: what is down must not be in its last line."""
    histories = [yard.add(f"p{n:02}") for n in range(GATEWAYS)]
    yard.kill(histories[13])
    code, told = yard.read()
    assert code == 1
    assert name_of(told["members"][0]) == "p13"
    assert {name_of(row) for row in told["members"]} == {f"p{n:02}" for n in range(GATEWAYS)}
    worst, *others = told["members"]
    assert (worst["verdict"]["state"], worst["deaths_in_a_day"]) == ("down", 1)
    assert {row["verdict"]["state"] for row in others} == {"ok"}
    assert worst["open_incident_count"] == 1
    lines = yard.place.run("fleet")[1].splitlines()
    assert len([line for line in lines if ".openclaw-p" in line]) == GATEWAYS + 1  # and the next
    assert lines[1].startswith("DOWN")
    assert f"tailflip status --state-dir {worst['state_dir']}" in lines[-1]


def test_one_is_known_by_its_service_or_by_the_record_alone(yard):
    yard.add("unit")
    yard.add("record", has_unit=False).facts.put("heap-limit", None)
    code, told = yard.read()
    rows = {name_of(row): row for row in told["members"]}
    assert rows.keys() == {"unit", "record"}
    assert rows["unit"]["service"] == "openclaw-gateway-unit.service"
    assert rows["record"]["service"] is None
    assert code == 0


def test_what_is_on_record_and_gone_is_named_and_no_gateway(yard):
    history = yard.add("gone", has_unit=False)
    yard.kill(history)
    subprocess.run(["/bin/rm", "-r", history.guard], check=True)
    code, told = yard.read()
    assert (code, told["members"], told["gone"]) == (0, [], [history.guard])
    assert "1 gateway is on record, and no directory is left" in yard.place.run("fleet")[1]


def test_a_broken_gateway_has_a_line_and_the_others_too(yard):
    """One row of garbage in the ledger, and nobody saw any of the others."""
    broken, fine = yard.add("broken"), yard.add("fine")
    yard.kill(broken)
    fine.facts.put("heap-limit", None)
    with closing(sqlite3.connect(yard.place.home / "ledger.sqlite")) as db, db:
        db.execute("UPDATE lives SET details = '{}' WHERE guard = ?", (broken.guard,))
    code, told = yard.read()
    assert code == 1
    first, second = told["members"]
    assert (name_of(first), first["verdict"], first["is_grave"]) == ("broken", None, True)
    assert "did not write" in first["problem"]
    assert (name_of(second), second["is_grave"]) == ("fine", False)
    assert yard.place.run("fleet")[1].splitlines()[1].startswith("UNKNOWN")


def test_a_broken_configuration_is_at_risk(yard):
    history = yard.add("torn")
    (yard.place.root / ".openclaw-torn" / "openclaw.json").write_text("{")
    history.facts.put("heap-limit", None)
    code, told = yard.read()
    assert code == 1
    assert told["members"][0]["verdict"]["state"] == "at-risk"


def test_a_maintenance_is_told(yard):
    history = yard.add("a")
    history.maintenances.begin(HOUR_MS, read_moment(), reason="new disk")
    _, told = yard.read()
    assert told["members"][0]["maintenance"]["reason"] == "new disk"
    assert "maintenance; " in yard.place.run("fleet")[1]


def test_it_says_what_status_says(yard):
    history = yard.add("same")
    yard.kill(history)
    row = yard.read()[1]["members"][0]
    status = json.loads(yard.place.run("status", "--json", "--state-dir", history.guard)[1])
    for name in ("state", "reason", "step", "since_ms", "warning_count"):
        assert row["verdict"][name] == status["verdict"][name]
    for name in ("openclaw_version", "port", "next_step", "deaths_in_a_day", "state_dir"):
        assert row[name] == status[name]


def test_a_watch_writes_a_line_each_time(yard):
    yard.add("a")
    process = subprocess.Popen(
        [sys.executable, "-m", "tailflip", "fleet", "--watch", "--json"],
        stdout=subprocess.PIPE,
        text=True,
    )
    lines = [process.stdout.readline() for _ in range(2)]
    process.send_signal(2)
    assert process.wait(30) in (0, 1)
    process.stdout.close()
    assert [json.loads(line)["verb"] for line in lines] == ["fleet", "fleet"]
