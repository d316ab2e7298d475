"""The old bytes come back; what was appended since stays; anything else is refused."""

from __future__ import annotations

import os

import pytest

from support.headless import make_messages
from tailflip.base.errors import StoreInvalid, TailflipError, TryLater
from tailflip.flow.observed import Gateway
from tailflip.reconcile.write import undo


@pytest.fixture
def before(place):
    data = place.path.read_bytes()
    place.heal()
    return data


def test_an_undo_gives_back_every_byte(place, before):
    healed = place.path.read_bytes()
    assert place.undo(apply=False).replaced == 1
    assert place.path.read_bytes() == healed
    outcome = place.undo()
    assert place.path.read_bytes() == before
    assert outcome.report.bytes_after == len(before)
    # What was undone is kept as well.
    assert place.home.quarantined(outcome.report.action_id).read_bytes() == healed


def test_what_was_appended_since_stays(place, before):
    more = make_messages(2, "later")
    with place.path.open("ab") as file:
        file.write(more)
    os.utime(place.path, ns=(5, 5))
    place.undo()
    assert place.path.read_bytes() == before + more
    assert place.path.stat().st_mtime_ns == 5


def test_other_changes_than_appended_lines_are_refused(place, before):
    for data in (b"", before[:-1] + b"x" * 300, place.path.read_bytes()[:-1]):
        place.path.write_bytes(data)
        with pytest.raises(TryLater, match="not by appending"):
            place.undo()
        assert place.path.read_bytes() == data


def test_a_second_undo_does_nothing(place, before):
    action = place.action()
    place.undo()
    outcome = undo.undo(
        action,
        env={"HOME": "/nowhere"},
        workspace=place.workspace(),
        apply=True,
        now_ms=1,
        state_dir=place.path.parents[3],
    )
    assert (outcome.replaced, outcome.unchanged, outcome.report) == (0, 1, None)
    assert place.path.read_bytes() == before


def test_not_beside_a_living_gateway(place, before):
    healed = place.path.read_bytes()
    place.gateway = Gateway(True, 7, None, "test")
    assert place.undo(apply=False).replaced == 1
    with pytest.raises(TryLater, match="only while it is stopped"):
        place.undo()
    assert place.path.read_bytes() == healed != before


@pytest.mark.parametrize("text", ["{", "", "{}"])
@pytest.mark.usefixtures("before")
def test_a_damaged_record_is_told_with_the_place_of_the_original(place, text):
    record = place.home.archive(place.action().id) / "changes.json"
    record.write_text(text)
    with pytest.raises(StoreInvalid, match="record of changes is damaged") as raised:
        place.undo()
    assert str(place.home.quarantined(place.action().id)) in raised.value.hint


@pytest.mark.usefixtures("before")
def test_without_the_original_nothing_is_written(place):
    healed = place.path.read_bytes()
    place.home.quarantined(place.action().id).unlink()
    with pytest.raises(TailflipError):
        place.undo()
    assert place.path.read_bytes() == healed
