"""What only a timer finds: a gateway behind a gate that died, and a guard that was killed."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from support.ledger_rows import GUARD, make_life
from support.stores import HOUR_MS, NOW_MS
from tailflip.alerts.reading import GONE_FACT, UNGUARDED_FACT
from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.state_dir import Home, Presence
from tailflip.base.workspace import Workspace
from tailflip.flow.lives import Asked, Clues, LifeMode
from tailflip.flow.observed import Gateway
from tailflip.ledger.history import History
from tailflip.supervise import gone
from tailflip.supervise.gone import note_gone, note_lost_guard

DEAD = Gateway(False, None, None, "its process is gone")
ALIVE = Gateway(True, 4121, NOW_MS, "its process lives")
UNKNOWN = Gateway(None, None, None, "nothing can be read")
KILLED = Clues(signal=9, uptime_s=60.0), ("a lock was left",)


@pytest.fixture
def history(in_memory, monkeypatch):
    monkeypatch.setattr(clock, "now_ms", lambda: NOW_MS + HOUR_MS)
    monkeypatch.setattr(gone, "find_definitions", lambda *_: iter(()))
    return History(Workspace(Home(in_memory / "own"), RealDisk()), GUARD)


def begin(history, mode="gate"):
    history.lives.begin(make_life().model_copy(update={"mode": LifeMode(mode)}))


def look(history, monkeypatch, found, gateway=DEAD):
    asked = []

    def find(_installation, env, *_):
        asked.append(env)
        return found

    monkeypatch.setattr(gone, "find_past_clues", find)
    place = SimpleNamespace(state_dir=None)
    note_gone(history, place, gateway, None, {"INVOCATION_ID": "ours", "HOME": "/"})
    return asked


def test_a_gateway_that_was_killed_is_noted_and_asked_for_once(history, monkeypatch):
    begin(history)
    assert look(history, monkeypatch, KILLED) == [{"HOME": "/"}], "our own unit is not its"
    told = history.facts.get(GONE_FACT)
    assert (told["life"], told["ended_ms"]) == ("l1", NOW_MS + 60_000)
    assert json.loads(told["death"])["evidence"][-1] == "a lock was left"
    assert look(history, monkeypatch, None) == [], "it is known"
    assert history.facts.get(GONE_FACT) == told
    assert history.lives.read(1)[0].ended_ms is None, "the next start judges it"


@pytest.mark.parametrize(
    "found",
    [None, (Clues(exit_code=0, asked=Asked.SERVICE_MANAGER), ("systemd: it was stopped",))],
    ids=["no trace", "asked for"],
)
def test_an_end_that_may_have_been_wanted_is_no_alarm(history, monkeypatch, found):
    begin(history)
    assert len(look(history, monkeypatch, found)) == 1
    assert history.facts.get(GONE_FACT) is None


@pytest.mark.parametrize("gateway", [ALIVE, UNKNOWN], ids=["alive", "unknown"])
def test_what_lives_or_is_unknown_is_not_gone(history, monkeypatch, gateway):
    begin(history)
    look(history, monkeypatch, KILLED)
    assert look(history, monkeypatch, KILLED, gateway) == []
    assert history.facts.get(GONE_FACT) is None


@pytest.mark.parametrize("mode", ["run", "unseen"])
def test_whose_guard_looks_itself_is_left_to_it(history, monkeypatch, mode):
    begin(history, mode)
    assert look(history, monkeypatch, KILLED) == []


def test_a_guard_that_was_killed_is_dated_by_the_first_look(history):
    home, disk = history.workspace.home, history.workspace.disk
    with home.supervise(GUARD, Presence.WATCH, NOW_MS, disk):
        note_lost_guard(history, NOW_MS)
        note = home._supervisor(GUARD).read_bytes()
    assert history.facts.get(UNGUARDED_FACT) is None
    note_lost_guard(history, NOW_MS)
    assert history.facts.get(UNGUARDED_FACT) is None, "it ended as it should"
    home._supervisor(GUARD).write_bytes(note)  # as a kill leaves it
    note_lost_guard(history, NOW_MS)
    note_lost_guard(history, NOW_MS + HOUR_MS)
    assert history.facts.get(UNGUARDED_FACT) == NOW_MS
    with home.supervise(GUARD, Presence.WATCH, NOW_MS, disk):
        note_lost_guard(history, NOW_MS)
    assert history.facts.get(UNGUARDED_FACT) is None


def test_the_note_of_an_older_tailflip_says_nothing(history):
    home = history.workspace.home
    home.guards.mkdir(parents=True)
    note = {"guard": GUARD, "pid": 1, "mode": "run", "started_ms": 1}
    home._supervisor(GUARD).write_text(json.dumps(note))
    assert home.find_lost_supervisor(GUARD) is None
    home._supervisor(GUARD).write_text("no note")
    assert home.find_lost_supervisor(GUARD) is None
