"""One look at each store and at what lies beside it."""

from __future__ import annotations

import os

from tailflip.base.errors import StoreInvalid, TryLater
from tailflip.flow.numbers import SurveyNumbers
from tailflip.flow.observed import Store
from tailflip.stores.json.look import observe_all

NOW = 1_800_000_000_000


def numbers():
    return SurveyNumbers(
        bytes=1000,
        entries=1,
        digest="",
        wide=False,
        kinds=(),
        running=(),
        fields=(),
        jobs=(),
        jobs_untracked=0,
        duplicate=None,
        rules=(),
        entries_after=1,
        bytes_after=1000,
    )


def look(path, measure=lambda _store: numbers(), now_ms=NOW):
    (found,) = observe_all([Store(path, None)], measure, now_ms)
    return found


def test_a_store_and_what_lies_beside_it(tmp_path):
    path = tmp_path / "sessions.json"
    path.write_text("{}")
    tmp = "sessions.json.0a1b2c3d-0000-4000-8000-000000000000.tmp"
    names = ("sessions.json.bak.1", "sessions.json.bak.2", tmp, "sessions.json.bak.x", "other.tmp")
    for seconds, name in enumerate(names):
        (tmp_path / name).write_text("12345")
        os.utime(tmp_path / name, (seconds, seconds))
    (tmp_path / "sessions.json.lock").write_text('{"pid": 4194999, "starttime": 1}')
    found = look(path)
    assert found.size_bytes == 2
    assert found.numbers == numbers()
    assert [b.path.name for b in found.backups] == ["sessions.json.bak.2", "sessions.json.bak.1"]
    assert [old.path.name for old in found.litter] == [tmp, "sessions.json.lock"]


def test_a_held_lock_and_a_write_in_progress_are_no_litter(tmp_path):
    path = tmp_path / "sessions.json"
    path.write_text("{}")
    now_ms = path.stat().st_mtime_ns // 1_000_000
    (tmp_path / "sessions.json.0a1b2c3d-0000-4000-8000-000000000000.tmp").write_text("")
    (tmp_path / "sessions.json.lock").write_text(f'{{"pid": {os.getpid()}}}')
    assert look(path, now_ms=now_ms).litter == ()
    (tmp_path / "sessions.json.lock").write_text("")  # made, payload not yet written
    assert look(path, now_ms=now_ms).litter == ()
    assert len(look(path, now_ms=now_ms + 60_000).litter) == 1


def test_what_goes_wrong_becomes_the_stores_error(tmp_path):
    def cut(_store):
        raise StoreInvalid("cut off at byte 5")

    def changed(_store):
        raise TryLater("changed")

    path = tmp_path / "sessions.json"
    assert look(path).error == "missing"
    path.write_text("{")
    assert (look(path, cut).error, look(path, cut).damaged) == ("cut off at byte 5", True)
    assert (look(path, changed).error, look(path, changed).damaged) == ("changed", False)
    os.mkfifo(tmp_path / "fifo")
    assert look(tmp_path / "fifo").error == "not a regular file"
    (tmp_path / "loop").symlink_to("loop")
    assert "symbolic links" in look(tmp_path / "loop").error
