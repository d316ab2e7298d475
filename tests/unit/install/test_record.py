"""Records of what was installed: written before the first effect, gone with the last."""

from __future__ import annotations

import os
import stat

import pytest

from support.stores import FaultyDisk
from tailflip.base.durable import RealDisk
from tailflip.base.errors import StoreInvalid
from tailflip.base.workspace import Workspace
from tailflip.install.record import (
    Record,
    Written,
    digest,
    encode,
    folder,
    read_records,
    remove_record,
    replace_file,
    write_record,
)
from tailflip.install.values import Mode

DISK = RealDisk()


def make_record(subject="openclaw-gateway.service", **changed):
    fields = {
        "subject": subject,
        "manager": "systemd",
        "scope": "user",
        "mode": Mode.GATE,
        "at_ms": 1,
        "files": (
            Written(path="/x", digest=digest(b"new"), before=encode(b"\xff"), mode_before=1),
        ),
        "folders": ("/a", "/a/b"),
        "enable": (),
        "undo": (("systemctl", "daemon-reload"),),
    }
    return Record(**fields | changed)


def test_records_come_back_oldest_first(home):
    new, old = make_record("a", at_ms=2), make_record("b", at_ms=1)
    write_record(Workspace(home, DISK), new)
    write_record(Workspace(home, DISK), old)
    assert read_records(home) == [old, new]
    assert [stat.S_IMODE(path.stat().st_mode) for path in folder(home).iterdir()] == [0o600] * 2
    assert stat.S_IMODE(folder(home).stat().st_mode) == 0o700


def test_a_later_one_of_the_same_service_takes_the_place(home):
    write_record(Workspace(home, DISK), make_record(mode=Mode.GATE))
    write_record(Workspace(home, DISK), make_record(mode=Mode.RUN))
    assert [record.mode for record in read_records(home)] == [Mode.RUN]


def test_the_watcher_is_a_service_of_its_own():
    names = {make_record(mode=mode).name for mode in Mode}
    assert len(names) == 2
    assert make_record(mode=Mode.WATCH).name != make_record(mode=Mode.RUN).name
    assert make_record(scope="user").name != make_record(scope="system").name
    assert make_record(manager="launchd").name != make_record(manager="systemd").name


def test_the_folder_goes_with_the_last_one(home):
    one, two = make_record("a"), make_record("b")
    write_record(Workspace(home, DISK), one)
    write_record(Workspace(home, DISK), two)
    remove_record(Workspace(home, DISK), one)
    assert read_records(home) == [two]
    remove_record(Workspace(home, DISK), two)
    assert not folder(home).exists()
    assert read_records(home) == []


@pytest.mark.parametrize("text", ["", "{torn", "[]", '{"subject": "x"}'])
def test_a_record_that_is_none_is_told_by_its_path(home, text):
    write_record(Workspace(home, DISK), make_record())
    (path,) = folder(home).iterdir()
    path.write_text(text)
    with pytest.raises(StoreInvalid, match=f"not a record of an installation: {path}"):
        read_records(home)


@pytest.mark.parametrize("before", [None, b"", b"\x00\xff"])
def test_what_stood_there_comes_back_byte_for_byte(before):
    kept = Written(path="/x", digest="", before=encode(before), mode_before=None)
    assert Written.model_validate_json(kept.model_dump_json()).read_before() == before


def test_killed_at_any_effect_a_file_is_wholly_old_or_new(tmp_path):
    path, kinds = tmp_path / "unit", set()
    for at in range(1, 20):
        path.write_bytes(b"old")
        pid = os.fork()
        if pid == 0:
            try:
                replace_file(FaultyDisk(at), path, b"new text", 0o640)
                os._exit(0)
            finally:
                os._exit(1)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        kinds.add(path.read_bytes())
        if code == 0:
            break
        assert code == 9
    assert code == 0
    assert kinds == {b"old", b"new text"}
    assert list(tmp_path.iterdir()) == [path], "what a killed one left is taken away"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
