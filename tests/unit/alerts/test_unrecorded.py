"""A message without the ledger: one in a while, and none where its time cannot be noted."""

from __future__ import annotations

import errno
import os
import tempfile

import pytest

from support.stores import HOUR_MS, NOW_MS
from tailflip.alerts.unrecorded import tell_unrecorded
from tailflip.base import clock, log
from tailflip.base.durable import RealDisk
from tailflip.base.workspace import Workspace
from tailflip.flow.alerts import AlertSettings, Delivery, Destination

SETTINGS = AlertSettings(
    host="claw",
    destinations=(Destination("phone"), Destination("mail"), Destination("boss", after_ms=900_000)),
)


class FullDisk(RealDisk):
    """No file can be made on it, in the folder or everywhere."""

    def __init__(self, below=""):
        self.below = str(below)

    def open_new(self, path, mode):
        if str(path).startswith(self.below):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().open_new(path, mode)


@pytest.fixture
def now(monkeypatch, tmp_path, home):
    at = [NOW_MS]
    monkeypatch.setattr(clock, "now_ms", lambda: at[0])
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(log, "warning", lambda *_, **__: None)
    home.guards.mkdir(parents=True)
    return at


def tell(home, disk=None, answer=Delivery(True)):  # noqa: B008 - a frozen value
    sent = []

    def send(name, message):
        sent.append((name, message))
        return answer

    told = tell_unrecorded(Workspace(home, disk or RealDisk()), "/guard", SETTINGS, send)
    return told, sent


def test_each_destination_is_told_once_in_six_hours(home, now):
    told, sent = tell(home)
    assert told == ("phone", "mail"), "one for what nobody acknowledged is not woken"
    first = sent[0][1]
    assert first.subject == "claw (guard): tailflip cannot remember"
    assert first.body.splitlines()[-1] == "Next: tailflip status"
    assert str(home.root) not in first.subject + first.body
    now[0] += 6 * HOUR_MS - 1_000
    assert tell(home) == ((), [])
    now[0] += 1_000
    _, again = tell(home)
    assert len(again) == 2
    assert again[0][1].number != first.number, "a receiver takes it for another message"


def test_a_receiver_that_cannot_be_reached_makes_no_loop(home, now):
    assert tell(home, answer=Delivery(False, "refused"))[0] == ()
    assert tell(home) == ((), [])


def test_a_clock_that_was_set_back_silences_nobody(home, now):
    tell(home)
    now[0] -= 24 * HOUR_MS
    assert tell(home)[0] == ("phone", "mail")
    assert tell(home) == ((), [])


def test_where_our_own_disk_is_full_another_place_is_taken(home, now):
    full = FullDisk(home.root)
    assert tell(home, full)[0] == ("phone", "mail")
    assert tell(home, full) == ((), [])


def test_where_nothing_can_be_noted_nothing_is_sent(home, now):
    assert tell(home, FullDisk()) == ((), [])


def test_a_link_in_its_place_is_not_followed(home, now, tmp_path):
    other = tmp_path / "other"
    other.write_text("")
    os.utime(other, (1, 1))
    home.untold("/guard").symlink_to(other)
    os.utime(home.untold("/guard"), (1, 1), follow_symlinks=False)
    tell(home)
    assert other.stat().st_mtime == 1
