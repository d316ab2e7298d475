"""The heartbeat: what it says and when; an attempt is on record before it is made."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tailflip.alerts.heartbeat import (
    Beat,
    BeatWord,
    Health,
    LastBeat,
    choose_beat,
    find_due_ms,
    keep_beating,
    read_last,
)
from tailflip.base import clock
from tailflip.base.durable import RealDisk
from tailflip.base.workspace import Workspace
from tailflip.config.telling import HeartbeatSettings
from tailflip.flow.alerts import Delivery
from tailflip.ledger.facts import Facts

NOW = 1_800_000_000_000
FINE = Health(silent_s=10.0, interval_s=15.0, answer_ms=12)
CODES = ("crash-loop", "gateway-down", "disk-full", "store-missing", "rotation-trap", "salvaged")


@pytest.mark.parametrize(
    ("health", "when", "word", "text"),
    [
        (FINE, "well", "well", "the gateway answers"),
        (replace(FINE, silent_s=45.0), "well", "well", "the gateway answers"),
        (
            replace(FINE, silent_s=46.0),
            "well",
            "fail",
            "the gateway has not answered for 46 s",
        ),
        (replace(FINE, silent_s=None), "well", "fail", "the gateway does not answer"),
        (
            replace(FINE, silent_s=None, is_starting=True),
            "well",
            "starting",
            "the gateway starts",
        ),
        (
            replace(FINE, silent_s=600.0, is_starting=True),
            "well",
            "starting",
            "the gateway starts",
        ),
        (replace(FINE, critical=CODES[:1]), "well", "fail", "crash-loop"),
        (
            replace(FINE, critical=CODES),
            "well",
            "fail",
            "crash-loop, gateway-down, disk-full, store-missing, rotation-trap and 1 more",
        ),
        (replace(FINE, critical=CODES[:1], is_starting=True), "well", "fail", "crash-loop"),
        (replace(FINE, stuck=1), "well", "fail", "1 message could not be delivered for an hour"),
        (replace(FINE, stuck=3), "well", "fail", "3 messages could not be delivered for an hour"),
        (replace(FINE, critical=CODES, in_maintenance=True), "well", "maintenance", "maintenance"),
        (replace(FINE, silent_s=None), "alive", "alive", "alive"),
        (replace(FINE, critical=CODES, stuck=1), "alive", "alive", "alive"),
        (replace(FINE, in_maintenance=True), "alive", "maintenance", "maintenance"),
    ],
)
def test_what_it_says(health, when, word, text):
    beat = choose_beat(health, when)
    assert (beat.word, beat.text) == (word, text)


LAST = LastBeat(attempt_ms=NOW - 100_000, due_ms=NOW + 200_000, word="well", delivered_ms=NOW)


@pytest.mark.parametrize(
    ("last", "word", "due_ms"),
    [
        (None, BeatWord.WELL, NOW),
        (LAST, BeatWord.WELL, NOW + 200_000),
        # Bad news at once, and that they are over; but no faster than every 15 s.
        (LAST, BeatWord.FAIL, NOW - 85_000),
        (replace(LAST, word="fail"), BeatWord.WELL, NOW - 85_000),
        (replace(LAST, attempt_ms=NOW - 5_000), BeatWord.FAIL, NOW + 10_000),
        (replace(LAST, attempt_ms=NOW - 5_000, due_ms=NOW + 100), BeatWord.FAIL, NOW + 100),
        # The clock was set back: nobody waits for a time that is a year away.
        (replace(LAST, attempt_ms=NOW + 1, due_ms=NOW + 10**11), BeatWord.WELL, NOW),
    ],
)
def test_when_it_is_due(last, word, due_ms):
    assert find_due_ms(last, word, 300.0, NOW) == due_ms


@pytest.fixture
def facts(home, monkeypatch):
    monkeypatch.setattr(clock, "now_ms", lambda: NOW)
    return Facts(Workspace(home, RealDisk()), "/guard")


SETTINGS = HeartbeatSettings()


@pytest.mark.parametrize(("chance", "after_s"), [(0, 270), (0.5, 300), (1, 330)])
def test_one_is_sent_and_the_next_is_due_in_five_minutes_or_a_tenth_around(facts, chance, after_s):
    sent = []

    def send(beat):
        sent.append(beat)
        assert read_last(facts).attempt_ms == NOW, "the attempt is on record before it is made"
        return Delivery(True)

    due_ms = keep_beating(facts, SETTINGS, FINE, send, chance)
    assert due_ms == NOW + 1000 * after_s
    assert sent == [Beat(BeatWord.WELL, "the gateway answers", 12)]
    last = read_last(facts)
    assert (last.delivered_ms, last.failures, last.due_ms) == (NOW, 0, due_ms)
    assert keep_beating(facts, SETTINGS, FINE, send, chance) == due_ms
    assert len(sent) == 1


def test_a_failure_is_on_record_and_does_not_hasten_the_next(facts, monkeypatch):
    def fail(_beat):
        return Delivery(False, "https://hc-ping.com: no answer in time")

    first_ms = keep_beating(facts, SETTINGS, FINE, lambda _: Delivery(True), 0.5)
    monkeypatch.setattr(clock, "now_ms", lambda: first_ms)
    second_ms = keep_beating(facts, SETTINGS, FINE, fail, 0.5)
    assert second_ms == first_ms + 300_000
    last = read_last(facts)
    assert (last.delivered_ms, last.failures) == (NOW, 1)
    assert last.error == "https://hc-ping.com: no answer in time"
    monkeypatch.setattr(clock, "now_ms", lambda: second_ms)
    keep_beating(facts, SETTINGS, FINE, fail, 0.5)
    assert read_last(facts).failures == 2


def test_a_try_that_was_killed_is_not_made_again_at_once(facts):
    def die(_beat):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        keep_beating(facts, SETTINGS, FINE, die, 0.5)
    assert keep_beating(facts, SETTINGS, FINE, die, 0.5) == NOW + 300_000
