"""The header comes back, every other line keeps its bytes, and the original is kept whole."""

from __future__ import annotations

import json
import os
import stat

import pytest

from support.headless import SESSION, line_of, make_header, make_messages
from support.stores import FULL, FaultyDisk, list_tree
from tailflip.base import clock
from tailflip.base.errors import CannotCreate, NoPermission, OnRecord, StoreInvalid, TryLater
from tailflip.flow.observed import Gateway
from tailflip.flow.outcomes import ActionKind
from tailflip.ledger.actions import Ledger, State
from tailflip.observe.records.heads import Head
from tailflip.observe.records.transcript_files import read_head
from tailflip.reconcile.headers import headless, leave
from tailflip.stores import archive
from tailflip.stores.lock import format_created


def test_a_header_is_written_and_all_other_lines_keep_their_bytes(place):
    before, info = place.path.read_bytes(), place.path.stat()
    healed = place.heal()
    first, _, rest = place.path.read_bytes().partition(b"\n")
    assert json.loads(first)["id"] == SESSION
    assert rest == before.partition(b"\n")[2]
    assert read_head(place.path).head is Head.WHOLE
    after = place.path.stat()
    assert stat.S_IMODE(after.st_mode) == 0o640
    # A run whose transcript was written a moment ago counts as alive.
    assert after.st_mtime_ns == info.st_mtime_ns
    action = place.action()
    assert (action.kind, action.state, action.id) == (
        ActionKind.HEADERS, State.DONE, healed.action_id
    )  # fmt: skip
    assert place.home.quarantined(action.id).read_bytes() == before
    assert healed.undo == f"tailflip restore {action.id} --apply"
    assert healed.size_bytes == after.st_size
    assert sorted(each.name for each in place.path.parent.iterdir()) == [
        place.path.name, "sessions.json"
    ]  # fmt: skip


def test_a_record_in_the_first_line_stays_behind_the_header(place):
    data = line_of({"type": "model_change", "id": "m", "parentId": None}) + make_messages()
    place.path.write_bytes(data)
    place.heal()
    assert place.path.read_bytes().partition(b"\n")[2] == data


def test_without_apply_nothing_is_written(place):
    before = list_tree(place.path.parents[3])
    assert place.heal(apply=False).action_id is None
    assert list_tree(place.path.parents[3]) == before
    assert Ledger(place.workspace()).read_all() == ()


def test_it_is_listed_among_the_actions_with_one_change(place):
    healed = place.heal()
    (listed,) = archive.list_actions(place.workspace())
    assert (listed.action.id, listed.changed) == (healed.action_id, 1)


@pytest.mark.parametrize("alive", [True, None])
def test_not_while_a_gateway_lives_or_may(place, alive):
    before = place.path.read_bytes()
    place.gateway = Gateway(alive, 7 if alive else None, None, "test")
    for apply in (True, False):
        with pytest.raises(TryLater, match="only while it is stopped"):
            place.heal(apply=apply)
    assert place.path.read_bytes() == before


def link(place):
    other = place.path.with_name("other.jsonl")
    place.path.rename(other)
    place.path.symlink_to(other)


def link_hard(place):
    os.link(place.path, place.path.with_name("other"))


def lock(place):
    held = {"pid": os.getppid(), "createdAt": format_created(clock.now_ms())}
    place.path.with_name(f"{place.path.name}.lock").write_text(json.dumps(held))


def lock_torn(place):
    place.path.with_name(f"{place.path.name}.lock").touch()


def make_whole(place):
    place.path.write_bytes(make_header() + make_messages())


def make_foreign(place):
    place.path.write_bytes(b"damaged\n" * 9)


def append_header_far_behind(place):
    with place.path.open("ab") as file:
        file.write(make_messages(1_000) + make_header("other") + make_messages())


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (link, StoreInvalid, "not a regular file"),
        (link_hard, StoreInvalid, "has 2 names"),
        (lock, TryLater, "has the transcript locked"),
        (lock_torn, TryLater, "has the transcript locked"),
        (make_whole, StoreInvalid, "transcript has a header"),
        (make_foreign, StoreInvalid, "not clearly a transcript"),
        (append_header_far_behind, StoreInvalid, "a header further down"),
    ],
)
def test_what_is_not_surely_ours_to_mend_keeps_its_bytes(place, change, error, words):
    change(place)
    before = list_tree(place.path.parent)
    with pytest.raises(error, match=words):
        place.heal()
    assert list_tree(place.path.parent) == before
    assert all(each.state is State.UNDONE for each in Ledger(place.workspace()).read_all())
    assert list(place.home.quarantine.iterdir()) == []
    assert list(place.home.archives.iterdir()) == []


def test_a_transcript_of_another_user_is_left(place, monkeypatch):
    monkeypatch.setattr(leave.os, "geteuid", lambda: place.path.stat().st_uid + 1)
    with pytest.raises(NoPermission, match="belongs to user id"):
        place.heal()


def test_a_transcript_on_record_is_left(place, monkeypatch):
    def refuse(*_, **__):
        raise OnRecord("left alone: it is on record")

    monkeypatch.setattr(headless, "find_refusals", refuse)
    with pytest.raises(OnRecord):
        place.heal()


def test_a_full_disk_leaves_the_transcript_as_it_was(place):
    place.workspace().create()
    before = place.path.read_bytes()
    for at in range(1, 60):
        disk = FaultyDisk(at, error=FULL)
        try:
            place.heal(disk=disk)
        except CannotCreate:
            pass
        else:
            break
        if place.path.read_bytes() != before:
            assert read_head(place.path).head is Head.WHOLE
            break
        assert not [each for each in place.path.parent.iterdir() if each.suffix == ".tmp"]


def test_lines_of_any_kind_and_length_are_copied_as_they_are(place):
    odd = b"\r\n\xff\xfe damaged \0\n" + b"y" * 3_000_000 + b"\n" + make_messages(5)[:-20]
    data = b"gone\n" + make_messages(9) + odd
    place.path.write_bytes(data)
    place.heal()
    assert place.path.read_bytes().partition(b"\n")[2] == data.partition(b"\n")[2]
