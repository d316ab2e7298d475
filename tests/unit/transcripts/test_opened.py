"""The lock of a transcript: in the gateway's form, held from the first read to the rename."""

from __future__ import annotations

import json
import os

import pytest

from support.transcripts import dump, make_turns
from tailflip.base.durable import RealDisk
from tailflip.base.errors import StoreChanged, StoreInvalid, TryLater
from tailflip.transcripts import opened
from tailflip.transcripts.opened import opening


@pytest.fixture
def path(tmp_path):
    made = tmp_path / "old.jsonl"
    made.write_bytes(dump(make_turns(1)))
    return made


def test_the_lock_is_the_gateways_own_and_goes_with_the_block(path):
    lock = path.with_name("old.jsonl.lock")
    with opening(path, RealDisk(), None) as transcript:
        payload = json.loads(lock.read_text())
        assert payload["pid"] == os.getpid()
        assert payload["createdAt"].endswith("Z")
        assert transcript.store == path
        assert os.fstat(transcript.fd).st_size == path.stat().st_size
        with pytest.raises(TryLater, match="in use"), opening(path, RealDisk(), None):
            pass
    assert not lock.exists()


@pytest.mark.parametrize("how", ["longer", "other"])
def test_a_file_that_is_another_now_is_not_replaced(path, how):
    new = path.with_name("new")
    new.write_bytes(b"new")
    with opening(path, RealDisk(), None) as transcript:
        if how == "longer":
            with path.open("ab") as file:
                file.write(b"more\n")
        else:
            path.unlink()
            path.write_bytes(b"other")
        there = path.read_bytes()
        with pytest.raises(StoreChanged), transcript.replacing(RealDisk(), new):
            pass
    assert path.read_bytes() == there


def test_without_the_lock_or_under_an_old_one_nothing_is_replaced(path, monkeypatch):
    new, before = path.with_name("new"), path.read_bytes()
    new.write_bytes(b"new")
    with opening(path, RealDisk(), None) as transcript:
        monkeypatch.setattr(opened, "_MAX_HELD_S", -1.0)
        with pytest.raises(TryLater, match="lost the lock"), transcript.replacing(RealDisk(), new):
            pass
        monkeypatch.undo()
        path.with_name("old.jsonl.lock").unlink()
        with pytest.raises(TryLater, match="lost the lock"), transcript.replacing(RealDisk(), new):
            pass
    assert path.read_bytes() == before


def test_what_is_missing_is_told(tmp_path):
    with pytest.raises(StoreInvalid, match="missing"), opening(tmp_path / "x", RealDisk(), None):
        pass
    assert list(tmp_path.iterdir()) == []
