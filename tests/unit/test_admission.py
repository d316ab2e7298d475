"""May it start? Only proof or forecast of harm says no; a failure of ours never does."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest

from support import NOW_MS, FaultyDisk, format_store, make_entries, make_entry
from tailflip import admission, clock
from tailflip.admission import Start, admit
from tailflip.demo.incident import write_incident
from tailflip.durable import RealDisk
from tailflip.errors import ConfigInvalid
from tailflip.flow import Waiting
from tailflip.settings import HealSettings

MB = 1_000_000
BIG = 3 * MB
# The forecast of an unknown release: 200 MB and 22 bytes of heap for each of the stores'.
ROOM, TIGHT = 2000 * MB, 260 * MB


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

    def admit(self, limit_bytes=ROOM, *, disk=None, heal=None, on_progress=None, **start):
        asked = Start(
            env=self.env,
            version=None,
            limit_bytes=limit_bytes,
            limit_source="test",
            heal=HealSettings(**(heal or {})),
        )
        return admit(
            replace(asked, **start),
            home=self.home,
            disk=disk or RealDisk(),
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


def test_what_does_not_fit_is_compacted_and_forecast_again(scene):
    before = scene.fill()
    found = scene.admit(TIGHT)
    assert found.go
    assert found.cured
    [report] = found.reports
    assert (report.kind, report.bytes_before) == ("compact", len(before))
    assert report.bytes_after == scene.store.stat().st_size < len(before)
    assert found.after.heap_bytes < found.before.heap_bytes


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
    found = scene.admit(TIGHT, heal=heal)
    assert (found.cured, found.go) == (changed, go)
    assert (scene.store.read_bytes() != before) is changed


def test_what_must_stay_and_does_not_fit_is_told_with_what_fills_it(scene):
    entry = make_entry("s", NOW_MS - clock.now_ms(), note="x" * 6 * MB)
    before = format_store({"agent:main:main": entry})
    scene.put(before)
    found = scene.admit(TIGHT)
    assert (found.go, found.exit_code, found.waiting) == (False, 65, Waiting.CURE)
    assert "260.0 MB" in found.reason
    assert "test" in found.reason
    assert "6.0 MB" in found.reason
    assert "--max-old-space-size" in found.hint
    assert scene.store.read_bytes() == before
    assert scene.admit(TIGHT, heal={"admission": False}).go


@pytest.mark.parametrize("died", [1, 2, 3])
def test_after_deaths_of_memory_the_forecast_is_not_believed(scene, died):
    """It said "fits", and was wrong: each time more must go."""
    scene.fill()
    found = scene.admit(ROOM, died_of_memory=died)
    assert found.cured
    beyond = [note for note in found.notes if note.startswith("beyond hygiene")]
    assert bool(beyond) is (died > 1)


def test_a_cure_after_a_death_can_be_forbidden(scene):
    before = scene.fill()
    found = scene.admit(ROOM, died_of_memory=3, heal={"after_oom": False})
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
    found = scene.admit(ROOM, died_of_memory=1)
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
    found = scene.admit(TIGHT, disk=FaultyDisk(at, error=28, for_good=True))
    # It does not fit as it is: that, and not our disk, may forbid it.
    json.loads(scene.store.read_bytes())
    assert found.go is found.cured or "of heap" in found.reason
    found = scene.admit(ROOM, disk=FaultyDisk(at, error=28, for_good=True))
    assert found.go


def test_another_tailflip_at_work_is_waited_for_and_then_done_without(scene, monkeypatch):
    monkeypatch.setattr(admission, "_CLAIM_PATIENCE_S", 0.3)
    before = scene.fill()
    with scene.home.claim(RealDisk()):
        found = scene.admit(ROOM, died_of_memory=1)
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
