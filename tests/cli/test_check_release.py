"""`check --release` and `preflight --release`: what the stores will meet in another release."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest

from support.agent_database import make_database
from support.sqlite_records import fill_agent_database
from support.state_rows import JSON_ONLY, StateRows
from tailflip.flow.ahead import Meets


class Site:
    """An installation of a release, with its Node, and a way to ask what is ahead."""

    def __init__(self, place, release):
        self.place = place
        place.put_openclaw(release)
        self.put_node("v24.18.0")

    def put_node(self, version):
        node = self.place.root / "bin" / "node"
        size = "echo 1000000000; exit 0; # the size of its heap"
        node.write_text(f'#!/bin/sh\n[ "$1" = --version ] && {{ echo {version}; exit 0; }}\n{size}')
        node.chmod(0o755)

    def keep_sessions_in_database(self, schema=23):
        """As 2026.9.6 leaves an installation: no `sessions.json`, two databases."""
        self.place.state.mkdir(exist_ok=True)
        (self.place.state / "openclaw.json").write_text("{}")
        path = fill_agent_database(self.place.state)
        with closing(sqlite3.connect(path)) as db:
            db.execute(f"PRAGMA user_version = {schema}")
        StateRows(self.place.state, JSON_ONLY).add_job("daily")

    def ask(self, release, *more):
        code, out, err = self.place.run("check", "--release", release, "--json", *more)
        ahead = json.loads(out).get("ahead")
        assert ahead is not None, (out, err)
        assert code == (0 if ahead["is_clear"] else 1), err
        return ahead, {each["kind"]: each for each in ahead["meetings"]}


def test_sessions_in_files_stay_there_in_2026_7_35(place):
    site = Site(place, "2026.4.14")
    place.fill()
    ahead, met = site.ask("2026.7.35")
    assert ahead["is_clear"]
    assert ahead["can_compact"]
    assert ahead["judged_as"] == "2026.7.35"
    assert "cron jobs" in met[Meets.RECORDS_MOVED]["says"]
    assert Meets.IMPORT not in met
    assert Meets.READ_ONLY not in met


def test_sessions_in_files_are_imported_by_2026_9_6(place):
    site = Site(place, "2026.4.14")
    place.fill()
    ahead, met = site.ask("2026.9.6")
    assert ahead["is_clear"]
    assert ahead["can_compact"]
    assert "1 store of 3.0 MB" in met[Meets.IMPORT]["says"]
    assert ahead["forecast"]["factor"] >= 1
    assert "325 s" in met[Meets.STOP_BUDGET]["says"]
    assert "25 s" in met[Meets.STOP_BUDGET]["says"]


@pytest.mark.parametrize("release", ["2026.8.1", "2026.8.2", "2026.9.5"])
def test_others_with_databases_refuse_sessions_in_files(place, release):
    site = Site(place, "2026.4.14")
    place.fill()
    ahead, met = site.ask(release)
    assert not ahead["is_clear"]
    assert "exit 78" in met[Meets.IMPORT_REFUSED]["says"]
    assert "--session-sqlite import" in met[Meets.IMPORT_REFUSED]["step"]


def test_an_import_that_will_not_fit_stands_in_the_way(place):
    site = Site(place, "2026.4.14")
    place.fill(20_000_000)
    ahead, met = site.ask("2026.9.6", "--heap-limit", "300mb")
    assert not ahead["is_clear"]
    assert met[Meets.HEAP]["is_grave"]
    assert met[Meets.HEAP]["step"] == "tailflip compact --apply"
    assert ahead["forecast"]["limit_bytes"] < ahead["forecast"]["heap_bytes"]


def test_back_from_2026_9_6_to_2026_4_14_leaves_all_behind(place):
    site = Site(place, "2026.9.6")
    site.keep_sessions_in_database()
    ahead, met = site.ask("2026.4.14")
    assert not ahead["is_clear"]
    assert met[Meets.SESSIONS_LEFT]["is_grave"]
    assert met[Meets.RECORDS_LEFT]["is_grave"]
    assert "cron jobs" in met[Meets.RECORDS_LEFT]["says"]
    assert Meets.SCHEMA_NEWER not in met, "it opens no database"


def test_back_to_a_release_that_knows_older_schemas_ends_with_78(place):
    site = Site(place, "2026.9.6")
    site.keep_sessions_in_database()
    ahead, _ = site.ask("2026.9.5")
    assert not ahead["is_clear"]
    newer = [each for each in ahead["meetings"] if each["kind"] == Meets.SCHEMA_NEWER]
    assert ["schema 23" in newer[0]["says"], "knows 21" in newer[0]["says"]] == [True, True]
    assert "knows 17" in newer[1]["says"]


def test_forward_within_the_same_era_migrates(place):
    site = Site(place, "2026.9.5")
    site.keep_sessions_in_database(21)
    ahead, met = site.ask("2026.9.6")
    assert ahead["is_clear"]
    assert "from schema 21 to 23" in met[Meets.SCHEMA_MIGRATED]["says"]
    assert "database preflight" in met[Meets.PREFLIGHT]["step"]


def test_rows_of_a_database_that_will_not_fit_stand_in_the_way(place):
    site = Site(place, "2026.9.5")
    place.state.mkdir()
    (place.state / "openclaw.json").write_text("{}")
    entry = {"sessionId": "a", "updatedAt": 1, "label": "x" * 1_000_000}
    entries = {f"agent:main:{n}": {**entry, "sessionId": f"s{n}"} for n in range(20)}
    path = place.state / "agents" / "main" / "agent" / "openclaw-agent.sqlite"
    path.parent.mkdir(parents=True)
    make_database(path, entries, 21)
    ahead, met = site.ask("2026.9.6", "--heap-limit", "300mb")
    assert met[Meets.HEAP]["says"].startswith("loading the sessions takes about 3")
    assert ahead["can_compact"]
    assert site.ask("2026.9.6", "--heap-limit", "2gb")[0]["is_clear"]
    assert site.ask("2026.7.35")[0]["forecast"] is None


def test_the_same_release_has_nothing_in_the_way(place):
    site = Site(place, "2026.4.14")
    site.put_node("v22.14.0")
    place.fill()
    ahead, met = site.ask("2026.4.14")
    assert ahead["is_clear"]
    assert met == {}


@pytest.mark.parametrize(
    ("release", "is_clear", "says"),
    [("2026.9.5", False, "no start succeeds"), ("2026.9.6", True, "merges the two")],
)
def test_a_store_beside_a_database_is_merged_or_ends_the_start(place, release, is_clear, says):
    """As the real releases do."""
    site = Site(place, release)
    site.keep_sessions_in_database()
    place.put(b"{}")
    ahead, met = site.ask(release)
    assert ahead["is_clear"] is is_clear
    assert str(place.store) in met[Meets.BESIDE_DATABASE]["says"]
    assert says in met[Meets.BESIDE_DATABASE]["says"]


def test_a_node_that_the_release_refuses(place):
    site = Site(place, "2026.4.14")
    site.put_node("v22.14.0")
    place.fill()
    ahead, met = site.ask("2026.9.6")
    assert not ahead["is_clear"]
    assert "22.14.0" in met[Meets.NODE]["says"]
    assert ">=24.16.0" in met[Meets.NODE]["says"]


def test_a_node_that_may_not_be_the_gateways_is_a_note(place):
    site = Site(place, "2026.4.14")
    site.put_node("v22.14.0")
    (place.root / "bin" / "openclaw").unlink()
    place.fill()
    ahead, met = site.ask("2026.9.6")
    assert ahead["is_clear"]
    assert not met[Meets.NODE]["is_grave"]


@pytest.mark.parametrize(
    ("release", "judged", "standing"),
    [
        ("2027.1.1", "2026.9.6", "later than all"),
        ("2026.7.2", "2026.7.1-2", "between two"),
        ("2025.12.1", "2026.1.29", "earlier than all"),
        ("2026.9.6-beta.2", "2026.9.6", "another build"),
    ],
)
def test_a_release_that_nobody_read_is_said_to_be_one(place, release, judged, standing):
    site = Site(place, "2026.4.14")
    place.fill()
    ahead, met = site.ask(release)
    assert (ahead["judged_as"], ahead["is_listed"]) == (judged, False)
    assert release in met[Meets.UNLISTED]["says"]
    assert standing in met[Meets.UNLISTED]["says"]
    assert ahead["can_compact"] is (standing != "later than all")
    assert (Meets.READ_ONLY in met) is (standing == "later than all")


def test_check_names_an_installed_release_that_nobody_read(place):
    Site(place, "2027.1.1")
    place.fill()
    _, out, err = place.run("check", "--json")
    note = "2027.1.1 is not in the catalogue (later than all there): judged as 2026.9.6"
    assert note in json.loads(out)["notes"]
    _, _, err = place.run("check")
    assert f"note: {note}" in err
    Site(place, "2026.9.6")
    assert "catalogue" not in place.run("check")[2]


def test_the_verdict_comes_first(place):
    site = Site(place, "2026.4.14")
    place.fill()
    code, out, _ = place.run("check", "--release", "2026.9.6")
    assert code == 0
    assert out.startswith("READY for 2026.9.6: nothing stands in the way\n")
    assert out.splitlines()[-1].startswith("today: ")
    site.put_node("v20.1.0")
    code, out, _ = place.run("check", "--release", "2026.9.6")
    first, then, *_ = out.splitlines()
    assert code == 1
    assert first.startswith("NOT READY for 2026.9.6: it needs Node >=24.16.0")
    assert then.startswith("next: install a Node")


def test_what_is_no_version_is_a_mistake(place):
    place.fill()
    code, _, err = place.run("check", "--release", "latest")
    assert code == 64
    assert "wants a version such as 2026.9.6, found latest" in err


def test_preflight_answers_the_same_and_changes_nothing(place):
    Site(place, "2026.4.14")
    before = place.fill()
    code, out, _ = place.run("preflight", "--release", "2026.9.5", "--json")
    answer = json.loads(out)
    assert (code, answer["go"]) == (78, False)
    assert Meets.IMPORT_REFUSED in {each["kind"] for each in answer["ahead"]["meetings"]}
    code, out, _ = place.run("preflight", "--release", "2026.9.6")
    assert code == 0
    assert out.startswith("READY for 2026.9.6")
    assert place.store.read_bytes() == before
    assert not place.home.exists()
