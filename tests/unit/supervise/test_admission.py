"""May it start? Only proof or forecast of harm says no; a failure of ours never does."""

from __future__ import annotations

import errno
import json
import os
from contextlib import closing
from dataclasses import replace

import pytest

from support.agent_database import connect, dump, make_database, write_receipt
from support.heap import make_near, make_tight
from support.sqlite_records import make_state_database, write_manifest
from support.stores import NOW_MS, FaultyDisk, format_store, make_entries, make_entry
from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.errors import ConfigInvalid, NoPermission
from tailflip.base.workspace import Workspace
from tailflip.config.schema import HealSettings
from tailflip.demo.incident import write_incident
from tailflip.flow.lives import Waiting
from tailflip.flow.outcomes import HeapLimit
from tailflip.observe.gateway.capabilities import find_capabilities
from tailflip.stores import tables, transaction
from tailflip.stores.json import engine, native
from tailflip.stores.sqlite.engine import SQLITE
from tailflip.supervise import admission
from tailflip.supervise.admission import Start, admit

MB = 1_000_000
BIG = 3 * MB
# By the forecast of an unknown release.
ROOM, TIGHT, NEAR = 2000 * MB, make_tight(BIG), make_near(BIG)
# A release whose factor was measured, with 330 MB and 22 bytes: only there a start is refused.
MEASURED, MEASURED_TIGHT = (2026, 4, 14), 380 * MB


class Scene:
    """An installation without a gateway, and one start of it after another."""

    def __init__(self, root, home):
        self.state, self.home = root / "openclaw", home
        self.env = {
            "HOME": str(root),
            "OPENCLAW_STATE_DIR": str(self.state),
            "OPENCLAW_GATEWAY_PORT": "1",  # nobody listens there
            "TMPDIR": str(root),
        }
        self.store = self.state / "agents" / "main" / "sessions" / "sessions.json"

    def fill(self, size_bytes=BIG):
        write_incident(self.state, size_bytes=size_bytes, now_ms=clock.now_ms())
        return self.store.read_bytes()

    def put(self, data):
        self.store.parent.mkdir(parents=True, exist_ok=True)
        self.store.write_bytes(data)
        self.store.chmod(0o600)

    def admit(
        self, limit_bytes=ROOM, *, disk=None, heal=None, on_progress=None, version=None, **start
    ):
        asked = Start(
            env=self.env,
            capabilities=find_capabilities(version),
            limit=HeapLimit(limit_bytes, "test"),
            heal=HealSettings(**(heal or {})),
        )
        return admit(
            replace(asked, **start),
            workspace=Workspace(self.home, disk or RealDisk()),
            on_progress=on_progress,
        )


@pytest.fixture
def scene(tmp_path, home):
    return Scene(tmp_path, home)


def test_without_a_state_directory_there_is_nothing_to_look_at(scene):
    found = scene.admit()
    assert found.go
    assert found.notes == ["no state directory yet: nothing to look at"]
    assert not scene.home.root.exists()


@pytest.mark.parametrize("limit_bytes", [ROOM, None])
def test_what_fits_or_cannot_be_judged_is_left_as_it_is(scene, limit_bytes):
    before = scene.fill()
    found = scene.admit(limit_bytes)
    assert (found.go, found.cured, found.reports, found.exit_code) == (True, False, [], 0)
    assert scene.store.read_bytes() == before
    (numbers,) = found.surveyed["main"]
    assert numbers.entries == len(json.loads(before))


def test_what_does_not_fit_is_compacted_and_forecast_again(scene):
    before = scene.fill()
    found = scene.admit(TIGHT)
    assert found.go
    assert found.cured
    [report] = found.reports
    assert (report.kind, report.bytes_before) == ("compact", len(before))
    assert report.bytes_after == scene.store.stat().st_size < len(before)
    assert found.after.heap_bytes < found.before.heap_bytes
    assert found.surveyed == {}, "it was counted before it was changed"


def test_a_healthy_start_reads_a_store_no_oftener_than_it_must(scene, monkeypatch):
    """One read by the policy, and two for evidence: what ledgers lines are about, and entries."""
    reads = []

    def count(owner, name):
        real = getattr(owner, name)

        def read(*args, **options):
            reads.append(name)
            return real(*args, **options)

        monkeypatch.setattr(owner, name, read)

    count(native, "survey")
    count(engine, "list_entries")
    count(tables.Ledgers, "look_ahead")
    for name in ("verify", "rewrite", "salvage", "gather_sessions"):
        count(native, name)
    scene.fill()
    assert scene.admit(ROOM).go
    assert sorted(reads) == ["list_entries", "look_ahead", "survey"]


def test_the_margin_is_kept_free(scene):
    size = len(scene.fill())
    needed = scene.admit(ROOM).before.heap_bytes
    assert needed > size
    assert not scene.admit(int(needed / 0.85)).cured
    assert scene.admit(int(needed / 0.95)).cured


@pytest.mark.parametrize(
    ("heal", "changed", "go"),
    [
        ({}, True, True),
        ({"enabled": False}, False, False),
        ({"admission": False}, False, True),
        ({"enabled": False, "admission": False}, False, True),
        ({"pressure": False}, True, True),
    ],
)
def test_settings_say_what_may_be_done(scene, heal, changed, go):
    before = scene.fill()
    found = scene.admit(MEASURED_TIGHT, heal=heal, version=MEASURED)
    assert (found.cured, found.go) == (changed, go)
    assert (scene.store.read_bytes() != before) is changed


def test_what_must_stay_and_does_not_fit_is_told_with_what_fills_it(scene):
    entry = make_entry("s", NOW_MS - clock.now_ms(), note="x" * 6 * MB)
    before = format_store({"agent:main:main": entry})
    scene.put(before)
    found = scene.admit(MEASURED_TIGHT, version=MEASURED)
    assert (found.go, found.exit_code, found.waiting) == (False, 65, Waiting.CURE)
    assert "380.0 MB" in found.reason
    assert "test" in found.reason
    assert "6.0 MB" in found.reason
    assert "--max-old-space-size" in found.hint
    assert scene.store.read_bytes() == before
    assert scene.admit(MEASURED_TIGHT, heal={"admission": False}, version=MEASURED).go


@pytest.mark.parametrize("version", [None, (2026, 6, 1), (2026, 8, 1)])
def test_a_release_that_was_not_measured_is_warned_of_and_started(scene, version):
    """2026.7.35 was refused with 110 MB of chats and 2 GB of heap, with the factor of 2026.4.14."""
    entry = make_entry("s", NOW_MS - clock.now_ms(), note="x" * 30 * MB)
    before = format_store({"agent:main:main": entry})
    scene.put(before)
    found = scene.admit(260 * MB, version=version)
    assert found.go
    why = "the release is not known" if version is None else "not measured for this release"
    assert any(f"; {why}, so it is started" in note for note in found.notes)
    assert scene.store.read_bytes() == before


def test_what_loses_something_needs_figures_of_the_release_or_a_death(scene):
    store = {}
    for number in range(40):
        entry = make_entry(f"s{number}", 0, note="x" * 100_000) | {"status": "done"}
        entry["updatedAt"] = clock.now_ms() - number * 60_000
        store[f"agent:main:cron:j:run:{number}"] = entry
    scene.put(format_store(store))
    assert scene.admit(TIGHT).reports == []
    assert scene.admit(TIGHT, died_of_memory=1).reports != []


def test_a_compaction_that_failed_is_the_reason_and_no_other_is_made_up(scene, monkeypatch):
    """It was not "nothing more may go": we could not, and that has a cure of its own."""

    def find_refusals(*_, **__):
        return (NoPermission("directory cannot be written to: /x", hint="make it writable"),)

    monkeypatch.setattr(transaction, "find_refusals", find_refusals)
    before = scene.fill()
    found = scene.admit(MEASURED_TIGHT, version=MEASURED)
    assert (found.go, found.exit_code, found.hint) == (False, 77, "make it writable")
    assert "directory cannot be written to" in found.reason
    assert "nothing more may go" not in found.reason
    assert scene.store.read_bytes() == before
    assert scene.admit(ROOM, version=MEASURED).go, "what fits needs no compaction"


def test_a_store_that_cannot_be_compacted_keeps_no_other_from_it(scene, monkeypatch):
    real = transaction.find_refusals

    def find_refusals(path, *args, **options):
        refused = (NoPermission("not this one"),) if "main" in path.parts else ()
        return (*refused, *real(path, *args, **options))

    scene.fill()
    other = scene.state / "agents" / "other" / "sessions" / "sessions.json"
    other.parent.mkdir(parents=True)
    other.write_bytes(scene.store.read_bytes())
    other.chmod(0o600)
    monkeypatch.setattr(transaction, "find_refusals", find_refusals)
    found = scene.admit(MEASURED_TIGHT, version=MEASURED)
    assert [report.store for report in found.reports] == [str(other)]
    assert found.after.heap_bytes < found.before.heap_bytes
    assert found.exit_code == 77


@pytest.mark.parametrize("died", [1, 2, 3])
def test_after_deaths_of_memory_the_forecast_is_not_believed(scene, died):
    """It said "fits", and may have been wrong: what loses nothing goes, and that is enough."""
    scene.fill()
    assert scene.admit(NEAR).reports == []
    found = scene.admit(NEAR, died_of_memory=died)
    assert (found.cured, found.stores_may_kill) == (True, True)
    assert not any(note.startswith("beyond hygiene") for note in found.notes)


@pytest.mark.parametrize("died", [1, 2, 3, 9])
@pytest.mark.parametrize("limit_bytes", [ROOM, None])
@pytest.mark.parametrize("version", [None, (2026, 3, 28), (2026, 4, 14), (2026, 7, 35)])
def test_stores_that_cannot_be_the_cause_are_not_touched(scene, died, limit_bytes, version):
    """A log of 33 GB filled the heap: 28 of 31 entries were taken out of stores of 70 KB."""
    before = scene.fill(size_bytes=70_000)
    found = scene.admit(limit_bytes, died_of_memory=died, version=version)
    assert (found.go, found.cured, found.stores_may_kill) == (True, False, False)
    assert found.reports == []
    assert scene.store.read_bytes() == before


def test_a_cure_after_a_death_can_be_forbidden(scene):
    before = scene.fill()
    found = scene.admit(NEAR, died_of_memory=3, heal={"after_oom": False})
    assert (found.go, found.cured) == (True, False)
    assert scene.store.read_bytes() == before


# --- damage ------------------------------------------------------------------------------


def test_a_store_that_was_cut_off_is_salvaged(scene):
    before = scene.fill()
    scene.put(before[:-100])
    found = scene.admit()
    assert found.go
    assert found.cured
    assert [report.kind for report in found.reports] == ["salvage"]
    assert any("salvaged" in note for note in found.notes)
    assert json.loads(scene.store.read_bytes())


@pytest.mark.parametrize("heal", [{"salvage": False}, {"enabled": False}])
def test_without_salvage_a_damaged_store_forbids_the_start(scene, heal):
    before = scene.fill()[:-100]
    scene.put(before)
    found = scene.admit(heal=heal)
    assert (found.go, found.exit_code) == (False, 65)
    assert str(scene.store) in found.reason
    assert scene.store.read_bytes() == before


@pytest.mark.parametrize("data", [b"", b" \n", b"\0" * 100])
def test_a_store_that_nothing_was_in_is_begun_anew(scene, data):
    """Nothing can be saved and nothing lost: a gateway that stays down for it is our outage."""
    scene.put(data)
    found = scene.admit()
    assert found.go
    assert any("begins anew" in note for note in found.notes)
    assert scene.store.read_bytes() == b"{}"
    assert scene.home.quarantined(found.reports[0].action_id).read_bytes() == data


def test_an_empty_store_comes_back_from_the_temporary_file_of_a_killed_writer(scene):
    whole = format_store(make_entries())
    scene.put(b"")
    temp = scene.store.with_name("sessions.json.4711.0a1b2c3d-0000-4000-8000-000000000001.tmp")
    temp.write_bytes(whole)
    found = scene.admit()
    assert found.go
    assert scene.store.read_bytes() == whole == temp.read_bytes()


def test_one_bad_byte_costs_one_entry_and_is_told(scene):
    whole = format_store(make_entries())
    scene.put(whole.replace(b'"main-1"', b'"main\n-1"'))
    found = scene.admit()
    assert found.go
    assert (found.reports[0].entries_after, found.reports[0].entries_left) == (
        len(make_entries()) - 1,
        1,
    )
    assert any("at least an entry" in note for note in found.notes)


def test_what_may_be_a_whole_entry_is_not_left_behind_without_a_person(scene):
    key = b'  "agent:main:direct:peer"'
    whole = format_store(make_entries())
    data = whole.replace(key, b'  "x"' + key[2:])
    scene.put(data)
    found = scene.admit()
    assert (found.go, found.exit_code) == (False, 65)
    assert "may be a whole entry" in found.reason
    assert "--accept-loss --apply" in found.hint
    assert scene.store.read_bytes() == data


@pytest.mark.parametrize("data", [b"garbage", b"[]", json.dumps(make_entries()).encode()[:-9]])
def test_a_store_that_nothing_is_proven_of_forbids_the_start(scene, data):
    scene.put(data)
    found = scene.admit()
    assert (found.go, found.waiting) == (False, Waiting.CURE)
    assert scene.store.read_bytes() == data


def test_a_store_that_was_rotated_away_is_brought_back(scene):
    """2026.3.28 moves it aside, writes the new one, and may be killed in between."""
    scene.put(format_store(make_entries()))
    scene.store.rename(scene.store.with_name("sessions.json.bak.1770000000000"))
    found = scene.admit()
    assert found.go
    assert any("brought back" in note for note in found.notes)
    assert len(json.loads(scene.store.read_bytes())) == len(make_entries())


def test_keys_that_stand_twice_forbid_nothing_and_are_not_rewritten(scene):
    one = json.dumps(make_entry("a"))
    data = f'{{"agent:main:main": {one}, "agent:main:main": {one}}}'.encode()
    scene.put(data)
    found = scene.admit(201 * MB, died_of_memory=1)
    assert found.go
    assert scene.store.read_bytes() == data


def test_one_store_of_two_that_is_broken_is_enough(scene):
    scene.put(format_store(make_entries()))
    other = scene.state / "agents" / "work" / "sessions" / "sessions.json"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"garbage")
    found = scene.admit()
    assert not found.go
    assert str(other) in found.reason


# --- failures of ours --------------------------------------------------------------------


@pytest.mark.parametrize("at", [1, 2, 5, 9, 14])
def test_a_disk_of_ours_that_fails_forbids_no_start_that_it_can_do_without(scene, at):
    scene.fill()
    tight = {"limit_bytes": MEASURED_TIGHT, "version": MEASURED}
    found = scene.admit(**tight, disk=FaultyDisk(at, error=28, for_good=True))
    # It does not fit as it is: that, and not our disk, may forbid it.
    json.loads(scene.store.read_bytes())
    assert found.go is found.cured or "of heap" in found.reason
    found = scene.admit(ROOM, disk=FaultyDisk(at, error=28, for_good=True))
    assert found.go


def test_another_tailflip_at_work_is_waited_for_and_then_done_without(scene, monkeypatch):
    monkeypatch.setattr(admission, "_CLAIM_PATIENCE_S", 0.3)
    before = scene.fill()
    with scene.home.claim(RealDisk()):
        found = scene.admit(NEAR, died_of_memory=1)
    assert found.go
    assert found.notes
    assert scene.store.read_bytes() == before


def test_a_configuration_that_cannot_be_read_is_the_gateways_matter(scene):
    scene.fill()
    (scene.state / "openclaw.json").write_text("{ nonsense")
    with pytest.raises(ConfigInvalid):
        scene.admit()


def test_a_stop_comes_out_between_two_steps_and_leaves_the_store_whole(scene):
    before = scene.fill()

    class Stop(Exception):
        pass

    def stop(stage, done, total):
        raise Stop

    with pytest.raises(Stop):
        scene.admit(TIGHT, on_progress=stop)
    assert scene.store.read_bytes() == before


def test_a_living_gateway_is_not_touched(scene):
    before = scene.fill()
    lock = scene.state.parent / f"openclaw-{os.getuid()}" / "gateway.00000000.lock"
    lock.parent.mkdir()
    config = scene.state / "openclaw.json"
    lock.write_text(json.dumps({"pid": os.getpid(), "configPath": str(config)}))
    found = scene.admit(TIGHT, died_of_memory=1)
    assert found.go
    assert "a gateway is running" in found.notes[0]
    assert scene.store.read_bytes() == before


def test_what_is_on_record_is_in_no_forecast_and_holds_nobody_up(scene):
    """2026.9.6 does not load it again, however large or broken it is."""
    for data in (scene.fill(), b'{"cut'):
        scene.put(data)
        write_manifest(scene.state, scene.store, over=True, moves=[scene.store])
        for version in ((2026, 9, 6), None):
            found = scene.admit(TIGHT, version=version, died_of_memory=2)
            assert found.go, found.reason
            assert not found.actions
            assert any("left alone" in note for note in found.notes)
            assert scene.store.read_bytes() == data


def test_a_release_that_would_overwrite_a_broken_store_on_record_is_still_held(scene):
    """After a downgrade: 2026.7 takes the broken store for empty, and overwrites it."""
    scene.put(b'{"cut')
    write_manifest(scene.state, scene.store, over=True, moves=[scene.store])
    found = scene.admit(version=(2026, 7, 35))
    assert not found.go
    assert scene.store.read_bytes() == b'{"cut'


def test_a_state_database_that_cannot_be_read_keeps_nobody_down(scene):
    before = scene.fill()
    database = make_state_database(scene.state)
    database.write_bytes(b"no database" * 1000)
    for version in ((2026, 9, 6), (2026, 7, 35), None):
        found = scene.admit(version=version)
        assert found.go, found.reason
        assert any("cannot be told" in note for note in found.notes)
    assert scene.store.read_bytes() == before


# --- rows of a database that stop the gateway


@pytest.fixture
def database(scene):
    """An agent's database with an event that is no JSON, and an entry that is not proven."""
    path = scene.state / "agents" / "main" / "agent" / "openclaw-agent.sqlite"
    make_database(path, make_entries())
    write_receipt(path)
    (scene.state / "openclaw.json").write_text("{}")
    with closing(connect(path)) as db, db:
        db.execute("UPDATE transcript_events SET event_json = '{' WHERE session_id = 'main-1'")
        db.execute(
            "UPDATE session_nodes SET entry_json = entry_json || ' '"
            " WHERE session_key = 'agent:main:direct:peer'"
        )
    return path


def list_repairs(path, *, reads_events=True):
    found = SQLITE.find_repairs(path, 1, reads_events=reads_events, gives_back=False)
    return [] if found is None else sorted(rule.name for rule in found.numbers.rules)


def test_what_stops_the_gateway_is_set_right_and_nothing_else_is_touched(scene, database):
    before = dump(database)
    found = scene.admit()
    assert (found.go, found.cured, len(found.actions)) == (True, True, 1)
    assert list_repairs(database) == []
    assert dump(database)["session_nodes"] == before["session_nodes"], "expired runs are not asked"
    assert any("may not start on it: set right" in note for note in found.notes)
    assert scene.admit().actions == ()


def test_events_are_not_read_where_the_last_start_went_well(scene, database):
    assert len(scene.admit(is_in_doubt=False).actions) == 1
    assert list_repairs(database) == ["quarantine"]


@pytest.mark.parametrize("heal", [{"enabled": False}, {"salvage": False}])
def test_what_stops_the_gateway_stays_where_the_settings_say_so(scene, database, heal):
    before = dump(database)
    found = scene.admit(heal=heal)
    assert (found.go, found.actions) == (True, ())
    assert any("leaves it" in note for note in found.notes)
    assert dump(database) == before


def test_a_repair_that_fails_keeps_nobody_down(scene, database):
    before = dump(database)
    found = scene.admit(disk=FaultyDisk(1, error=errno.EIO, for_good=True))
    assert found.go
    assert found.actions == ()
    assert dump(database) == before
    assert any("not set right" in note or "not looked at" in note for note in found.notes)
