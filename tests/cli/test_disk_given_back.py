"""Disk is given back: by hand, by the limits of the settings, and each gateway's archives apart."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.sdnotify import Notifier
from tailflip.base.state_dir import Home
from tailflip.config.load import load
from tailflip.demo.incident import write_incident
from tailflip.supervise.context import GuardedGateway
from tailflip.supervise.event_loop import Loop
from tailflip.supervise.housekeeping import keep_house
from tailflip.supervise.preparation import prepare_start
from tailflip.supervise.watch import Watch, Where

DAY_MS = 86_400_000


def compact(place, *argv):
    assert place.run("compact", "--apply", *argv)[0] == 0


def list_actions(place, *argv):
    _, out, _ = place.run("archive", "list", "--json", *argv)
    return [each["id"] for each in json.loads(out)["actions"]]


def age(place, days):
    """Make every action on record older."""
    with closing(sqlite3.connect(place.home / "ledger.sqlite")) as db:
        db.execute("UPDATE actions SET created_ms = created_ms - ?", (days * DAY_MS,))
        db.commit()


def list_archives(place):
    return sorted(path.name for path in (place.home / "archive").iterdir())


# --- several gateways


@pytest.fixture
def second(place):
    """A second gateway's state directory, compacted like the first."""
    other = place.root / "second"
    write_incident(other, size_bytes=400_000, now_ms=clock.now_ms())
    place.fill(400_000)
    compact(place)
    time.sleep(0.002)
    compact(place, "--state-dir", str(other))
    return other


def test_the_archives_of_one_gateway_are_listed_alone(place, second):
    both = list_actions(place)
    (one,) = list_actions(place, "--state-dir", str(place.state))
    (two,) = list_actions(place, "--state-dir", str(second))
    assert {one, two} == set(both)
    _, out, _ = place.run("archive", "list", "--state-dir", str(second))
    assert (two in out, one in out) == (True, False)
    assert "in all 1 archive takes" in out
    _, out, err = place.run("archive", "list", "--state-dir", str(place.root / "none"))
    assert (out, err.startswith(f"nothing of {place.root}/none archived in")) == ("", True)


def test_a_gateway_that_is_gone_still_has_its_archives(place, second):
    (two,) = list_actions(place, "--state-dir", str(second))
    second.rename(place.root / "moved")
    assert list_actions(place, "--state-dir", str(second)) == [two]


def test_restore_all_chooses_by_the_state_directory(place, second):
    """Once it refused: archives of 2 stores hold that."""
    code, _, err = place.run("restore", "--all")
    assert (code, "archives of 2 stores" in err) == (64, True)
    before = place.store.read_bytes()
    code, out, err = place.run("restore", "--all", "--state-dir", str(second), "--apply")
    assert code == 0, err
    assert "come back" in out
    assert place.store.read_bytes() == before
    code, _, err = place.run("restore", "--all", "--state-dir", str(place.root / "none"))
    assert (code, "no archive holds that" in err) == (64, True)


# --- by hand


def test_the_list_tells_what_all_take_and_the_limits(place):
    place.fill(400_000)
    compact(place)
    out = place.run("archive", "list")[1].splitlines()
    assert out[-2].startswith("in all 1 archive takes ")
    assert "the oldest is of " in out[-2]
    assert out[-1].startswith("limits of all: archive.keep (90d) or archive.max_size (5gb); ")


def test_expire_says_that_the_undo_of_the_jobs_goes(place):
    place.fill(400_000)
    cron = place.state / "cron" / "jobs.json"
    jobs = json.loads(cron.read_text())
    jobs["jobs"][0].setdefault("state", {})["runningAtMs"] = clock.now_ms() - DAY_MS
    cron.write_text(json.dumps(jobs))
    assert place.run("reconcile", "markers", "--apply")[0] == 0
    (action,) = list_actions(place)
    lost = f"of {cron} can then not be undone any more: reconcile: "
    code, out, err = place.run("archive", "expire", action)
    assert (code, lost in err) == (0, True)
    assert "markers cleared" in out
    assert "nothing was deleted" in err
    code, _, err = place.run("archive", "expire", action, "--apply")
    assert (code, f"of {cron} cannot be undone any more" in err) == (0, True)
    assert "1 archive deleted, " in err


def test_expire_beyond_limits_does_what_the_guards_do(place, monkeypatch):
    place.fill(400_000)
    compact(place)
    assert "no archive is beyond the limits" in place.run("archive", "expire", "--beyond-limits")[2]
    monkeypatch.setenv("TAILFLIP_ARCHIVE_KEEP", "1m")
    age(place, 1)
    (action,) = list_actions(place)
    code, out, err = place.run("archive", "expire", "--beyond-limits")
    assert (code, action in out, "nothing was deleted" in err) == (0, True, True)
    assert place.run("archive", "expire", "--beyond-limits", action)[0] == 64
    code, out, _ = place.run("archive", "expire", "--beyond-limits", "--apply", "--json")
    told = json.loads(out)
    assert (code, [each["id"] for each in told["actions"]]) == (0, [action])
    assert told["size_bytes"] > 0
    assert list_archives(place) == []


# --- by themselves


def test_check_tells_of_archives_beyond_the_limits(place, monkeypatch):
    place.fill(400_000)
    compact(place)
    assert "archives-beyond" not in place.run("check")[1]
    monkeypatch.setenv("TAILFLIP_ARCHIVE_KEEP", "1m")
    age(place, 1)
    code, out, _ = place.run("check")
    assert code == 1
    assert "warning: 1 archive is older than archive.keep (1m)" in out.replace("\n", " ")
    assert "[archives-beyond]" in out
    monkeypatch.setenv("TAILFLIP_ARCHIVE_KEEP", "false")
    monkeypatch.setenv("TAILFLIP_ARCHIVE_MAX_SIZE", "1")
    assert "none goes by itself" in place.run("check")[1].replace("\n", " ")


def guarded(**flags):
    config = load(os.environ, {f"archive.{name}": value for name, value in flags.items()}).config
    return GuardedGateway.prepare(("openclaw", "gateway", "run"), os.environ, config)


def test_a_start_lets_go_what_is_beyond_the_limits_and_says_so(place):
    place.fill(400_000)
    compact(place)
    time.sleep(0.002)
    place.fill(400_000)
    compact(place)
    prepare_start(guarded())
    newest, oldest = list_actions(place, "--state-dir", str(place.state / "agents"))
    assert {newest, oldest} < set(list_archives(place))
    found = prepare_start(guarded(max_size="1"))
    assert found.go
    (note,) = [note for note in found.notes if "archive" in note]
    assert note.startswith("1 archive was deleted for ever, beyond archive.keep")
    assert (newest in list_archives(place), oldest in list_archives(place)) == (True, False)
    age(place, 91)
    prepare_start(guarded(keep="false"))
    assert newest in list_archives(place)
    prepare_start(guarded())
    assert list_archives(place) == []


def test_run_looks_every_six_hours_and_watch_in_its_rounds(place, caplog):
    for tend in (tend_as_run, tend_as_watch):
        place.fill(400_000)
        compact(place)
        age(place, 91)
        assert list_archives(place)
        tend(place)
        assert list_archives(place) == []
        assert "deleted for ever" in caplog.text
        caplog.clear()


def tend_as_run(_place):
    loop = Loop()
    keep_house(guarded(), loop)
    assert loop.has("house")


def tend_as_watch(place):
    where = Where({**os.environ, "TAILFLIP_RECONCILE_ENABLED": "false"}, state_dir=place.state)
    Watch(where, Home(Path(place.home)), RealDisk(), Notifier(None)).run(most_rounds=1)


def test_settings_that_cannot_be_read_let_no_archive_go(place, monkeypatch):
    """They may say `keep = false`."""
    place.fill(400_000)
    compact(place)
    age(place, 91)
    file = place.root / "config.toml"
    file.mkdir()
    monkeypatch.setenv("TAILFLIP_CONFIG", str(file))
    loaded = load(os.environ, goes_on=True)
    assert (loaded.config.archive.keep_ms, loaded.config.archive.max_bytes) == (None, None)
    prepare_start(GuardedGateway.prepare(("openclaw", "gateway"), os.environ, loaded.config))
    assert len(list_archives(place)) == 1
